"""A security group whose way out is wider than its rules say."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import references, tables


def faults(part: Part) -> Iterator[str]:
    """Yield if egress rules stand beside the group and none in it: AWS's default then stays."""
    if tables(part.properties.get("SecurityGroupEgress")):
        return
    alone = part.template.of_kind("AWS::EC2::SecurityGroupEgress")
    if any(part.name in {name for name, _ in references(each.properties.get("GroupId"))} for each in alone):
        yield "its egress rules all stand alone, so that everything may leave it all the same"


CHECK = OwnCheck(
    id="egress-rule-beside-default",
    claim="A security group that says what may leave it lets out nothing else",
    severity=Severity.MEDIUM,
    family=ControlFamily.NETWORK,
    looks_at=("AWS::EC2::SecurityGroup",),
    faults=faults,
    why="AWS lets everything out of a group without an egress rule of its own, whatever stands beside it.",
    mend="Put a rule into the group itself: add_property_override('SecurityGroupEgress', [...]) on its resource.",
    link="https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-securitygroup.html",
)
