"""cdk-nag's AwsSolutions rules, asked at every synth: a second opinion that is written down and stops nothing.

By itself cdk-nag fails the synth. The verdict is the gate's: what the rules say goes into the cloud assembly's
``validation-report.json``, which the gate ``security`` reads.
"""

from __future__ import annotations

import jsii
from aws_cdk import (
    App,
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyValidationPluginReport,
    PolicyViolation,
    Validations,
)
from cdk_nag import AwsSolutionsChecks

from readiness import contract


@jsii.implements(IPolicyValidationPlugin)
class Advice:
    """A pack of cdk-nag's rules whose errors are warnings.

    Args:
        app: The app that is looked at.
    """

    def __init__(self, app: App) -> None:
        self._rules = AwsSolutionsChecks(app)

    @property
    def name(self) -> str:
        """What the report calls it."""
        return contract.ADVICE

    @property
    def rule_ids(self) -> None:
        """Not told: CDK asks for statistics alone."""

    @property
    def version(self) -> None:
        """Not told: CDK asks for statistics alone."""

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        """Return what the rules say, as warnings."""
        found = self._rules.validate(context)
        violations = [
            PolicyViolation(
                rule_name=each.rule_name,
                description=each.description,
                violating_resources=each.violating_resources,
                fix=each.fix,
                severity="warning",
            )
            for each in found.violations
        ]
        return PolicyValidationPluginReport(success=True, violations=violations)


def advise(app: App) -> None:
    """Have the rules look at *app* when it is synthesized."""
    Validations.of(app).add_plugins(Advice(app))
