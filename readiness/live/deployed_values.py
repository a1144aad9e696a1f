"""What a template's values came to in the account, as far as the stack tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from readiness.scan.template import Template
from readiness.scan.values import as_list, as_table


class Unknown:
    """A value that only CloudFormation knows: it is compared with nothing, and never taken for equal."""

    def __repr__(self) -> str:
        return "(not known)"


UNKNOWN: Final = Unknown()
_ABSENT: Final = Unknown()
"""What ``AWS::NoValue`` stands for: the key is left out."""

_REFERENCE = re.compile(r"\$\{([^!}][^}]*)\}")
_STACK = re.compile(
    r"arn:(?P<partition>[^:]+):cloudformation:(?P<region>[^:]+):(?P<account>\d+):stack/(?P<name>[^/]+)/"
)
_IDS = {("AWS::EC2::SecurityGroup", "GroupId"), ("AWS::EC2::VPC", "VpcId"), ("AWS::KMS::Key", "KeyId")}
"""Attributes that are the physical id."""


@dataclass(frozen=True, kw_only=True)
class DeployedValues:
    """A template as it was deployed.

    Attributes:
        template: The template.
        stack_id: ARN of the stack.
        physical: Logical id -> physical id.
    """

    template: Template
    stack_id: str
    physical: Mapping[str, str]

    def resolve(self, value: Any) -> Any:
        """Return *value* with each function's result in its place, or ``UNKNOWN`` where nobody can tell."""
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each is not _ABSENT]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            function, argument = next(iter(value.items()))
            if function in ("Ref", "Condition") or function.startswith("Fn::"):
                return self._call(function, argument)
        resolved = {key: self.resolve(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not _ABSENT}

    def _call(self, function: str, argument: Any) -> Any:
        if function == "Ref":
            return self._reference(str(argument))
        if function == "Fn::GetAtt":
            name, _, attribute = ".".join(str(part) for part in as_list(argument)).partition(".")
            return self._attribute(name, attribute)
        if function == "Fn::Join" and isinstance(argument, list) and len(argument) == 2:
            parts = self.resolve(argument[1])
            told = isinstance(parts, list) and all(isinstance(each, str | int) for each in parts)
            return str(argument[0]).join(map(str, parts)) if told else UNKNOWN
        if function == "Fn::Sub":
            return self._substitute(argument)
        return UNKNOWN

    def _reference(self, name: str) -> Any:
        stack = _STACK.match(self.stack_id)
        told = {} if stack is None else stack.groupdict()
        pseudo = {
            "AWS::AccountId": told.get("account", UNKNOWN),
            "AWS::NoValue": _ABSENT,
            "AWS::Partition": told.get("partition", UNKNOWN),
            "AWS::Region": told.get("region", UNKNOWN),
            "AWS::StackId": self.stack_id,
            "AWS::StackName": told.get("name", UNKNOWN),
            "AWS::URLSuffix": "amazonaws.com" if told.get("partition") == "aws" else UNKNOWN,
        }
        return pseudo.get(name, self.physical.get(name, UNKNOWN))

    def _attribute(self, name: str, attribute: str) -> Any:
        resource, physical = self.template.resources.get(name), self.physical.get(name)
        if resource is None or physical is None:
            return UNKNOWN
        if (resource.kind, attribute) in _IDS:
            return physical
        if attribute.endswith("Arn") and physical.startswith("arn:"):
            return physical
        if (resource.kind, attribute) == ("AWS::IAM::Role", "Arn"):
            return self.resolve({"Fn::Sub": f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{physical}"})
        if (resource.kind, attribute) == ("AWS::SQS::Queue", "Arn"):
            queue = physical.rpartition("/")[2]
            return self.resolve(
                {"Fn::Sub": f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{queue}"}
            )
        if (resource.kind, attribute) == ("AWS::KMS::Key", "Arn"):
            key = f"arn:${{AWS::Partition}}:kms:${{AWS::Region}}:${{AWS::AccountId}}:key/{physical}"
            return self.resolve({"Fn::Sub": key})
        return UNKNOWN

    def _substitute(self, argument: Any) -> Any:
        text, names = (argument[0], as_table(argument[1])) if isinstance(argument, list) else (argument, {})
        said = str(text)
        for name in set(_REFERENCE.findall(said)):
            if name in names:
                value = self.resolve(names[name])
            elif "." in name:
                value = self._attribute(*name.split(".", 1))
            else:
                value = self._reference(name)
            if not isinstance(value, str | int):
                return UNKNOWN
            said = said.replace("${" + name + "}", str(value))
        return said
