"""A parameter that is a secret must be NoEcho and have no default."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import PARAMETERS, Part
from readiness.scan.values import holds_credential, is_true, names_secret


def faults(part: Part) -> Iterator[str]:
    """Yield a secret parameter that is shown, or that has a default. Never the value."""
    if str(part.body.get("Type", "")).startswith(("AWS::SSM::Parameter::", "AWS::EC2::KeyPair")):
        return
    default = str(part.body.get("Default") or "")
    if holds_credential(default) or (default and names_secret(part.name) and "{{resolve:" not in default):
        yield "has a secret as its default"
    elif names_secret(part.name) and not is_true(part.body.get("NoEcho")):
        yield "is a secret by its name and is not NoEcho"


CHECK = OwnCheck(
    id="parameter-shows-secret",
    claim="A secret parameter is NoEcho and has no default",
    severity=Severity.HIGH,
    family=ControlFamily.SECRETS,
    looks_at=(PARAMETERS,),
    faults=faults,
    why="Without NoEcho the value stands in the console and in DescribeStacks; a default stands in the template.",
    mend="Set CfnParameter(no_echo=True) and no default; better, keep the secret in Secrets Manager.",
    link="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html",
)
