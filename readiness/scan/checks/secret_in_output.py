"""A stack's outputs are readable by whoever may describe it."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import OUTPUTS, Part
from readiness.scan.values import holds_credential, is_true, literal, names_secret, references, render, resolves_secret


def faults(part: Part) -> Iterator[str]:
    """Yield an output that holds or resolves a secret. Never the value."""
    value = part.body.get("Value")
    for name, attribute in references(value):
        resource = part.template.resources.get(name)
        parameter = part.template.parameters.get(name)
        if resource is not None and (resource.kind, attribute) == ("AWS::IAM::AccessKey", "SecretAccessKey"):
            yield f"shows the secret access key of {name}"
        if parameter is not None and is_true(parameter.body.get("NoEcho")):
            yield f"shows the NoEcho parameter {name}"
    text = literal(value, part.template)
    if resolves_secret(render(value, part.template)):
        yield "resolves a stored secret"
    elif text is not None and (names_secret(part.name) or holds_credential(text)):
        yield "holds a secret in clear"


CHECK = OwnCheck(
    id="secret-in-output",
    claim="No output of the stack shows a secret",
    severity=Severity.HIGH,
    family=ControlFamily.SECRETS,
    looks_at=(OUTPUTS,),
    faults=faults,
    why="Outputs stand in clear in the console, in DescribeStacks and in the log of every deployment.",
    mend="Output the secret's ARN instead of its value.",
    link="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/outputs-section-structure.html",
)
