"""What the harness may have to call on AWS, read out of its own source, and the IAM policy that allows that alone.

Operations are found by their boto3 names in the source, and by the commands of the runbooks; what a run was seen to
call is held against this list by the tests. Nothing here touches AWS.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import botocore.session
from botocore import xform_name

from readiness.errors import ReadinessError

PACKAGE: Final = Path(__file__).parent
POLICY: Final = PACKAGE / "data" / "harness-policy.json"
"""The policy as it ships; ``docs/iam/write.py`` writes it."""

_ELSEWHERE = ("embedded", "loadgen", "scan", "report", "keys.py", "envelope.py")
"""Packages and modules that call no AWS of the user's."""
FOLLOWED: Final = ("rollback.md",)
"""Runbooks that the harness follows itself; what the others ask for is asked of people."""
_MEANT: Final = {
    "delete_snapshot": "elasticache",
    "describe_snapshots": "elasticache",
    "get_policy": "iam",
    "get_resource_policy": "secretsmanager",
}
"""Where several services have an operation of the same name: whose is meant."""
_PREFIXES: Final = {"monitoring": "cloudwatch", "tagging": "tag"}
"""Signing name -> prefix of IAM's actions, where they differ."""
_ACTIONS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("ecs", "RegisterTaskDefinition"): ("ecs:RegisterTaskDefinition", "ecs:TagResource", "iam:PassRole"),
    ("ecs", "RunTask"): ("ecs:RunTask", "ecs:TagResource", "iam:PassRole"),
    ("ecs", "UpdateService"): ("ecs:UpdateService", "iam:PassRole"),
    ("elbv2", "CreateRule"): ("elasticloadbalancing:CreateRule", "elasticloadbalancing:AddTags"),
    ("iam", "SimulatePrincipalPolicy"): ("iam:SimulatePrincipalPolicy",),
    ("sqs", "ReceiveMessage"): ("sqs:ReceiveMessage", "kms:Decrypt"),  # the inbox is encrypted with the clone's key
    ("s3", "DeleteObjects"): ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    ("s3", "ListObjectVersions"): ("s3:ListBucketVersions",),
    ("sts", "GetCallerIdentity"): (),  # allowed to everybody
}
"""Operations whose actions are not called like them, or that need further ones.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html"""
_CDK: Final = ("sts:AssumeRole",)
"""What the CDK CLI does it does as the roles of its bootstrap."""
_COMMAND = re.compile(r"\baws\s+(?:--\S+\s+)*([a-z0-9-]+)\s+([a-z0-9-]+)(?:\s+([a-z0-9-]+))?")
_CUSTOM_COMMANDS: Final = {("logs", "tail"): "FilterLogEvents"}
"""Commands of the AWS CLI that are no operation of their own."""


class Call(NamedTuple):
    """An operation of a service, as boto3 and botocore call them."""

    service: str
    operation: str


@cache
def _session() -> Any:
    return botocore.session.get_session()


@cache
def _model(service: str) -> Any:
    return _session().get_service_model(service)


@cache
def _operations(services: frozenset[str]) -> Mapping[str, tuple[Call, ...]]:
    """Return boto3 name -> the operations of these services that are called so."""
    found: dict[str, tuple[Call, ...]] = {}
    for service in sorted(services):
        for operation in _model(service).operation_names:
            name = xform_name(operation)
            found[name] = (*found.get(name, ()), Call(service, operation))
    return found


# --- what is called ---------------------------------------------------------------------------------------------------


def calls_of_source(package: Path = PACKAGE) -> frozenset[Call]:
    """Return every operation that the package's source names.

    Raises:
        ReadinessError: a name is an operation of several services, and ``_MEANT`` does not say which.
    """
    trees = [
        ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).parts[0] not in _ELSEWHERE and path.name != Path(__file__).name
    ]
    services = frozenset(_services(trees))
    known = _operations(services)
    return frozenset(_meant(name, known[name]) for tree in trees for name in _names(tree) if name in known)


def _services(trees: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the services that clients are asked for, or that a table names."""
    every = set(_session().get_available_services())
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                values = [*node.args, *(each.value for each in node.keywords if each.arg == "service")]
                for value in values:
                    if isinstance(value, ast.Constant) and value.value in every:
                        yield str(value.value)


def _names(tree: ast.AST) -> Iterator[str]:
    """Yield what may be the name of an operation: of a method that is called, or in a text that stands for one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "_" in node.value:
            yield node.value


def _meant(name: str, found: tuple[Call, ...]) -> Call:
    if len(found) > 1:
        found = tuple(each for each in found if each.service == _MEANT.get(name))
    if len(found) != 1:
        raise ReadinessError(
            f"{name} is an operation of several services.", hint="Say whose is meant: readiness/permissions.py, _MEANT."
        )
    return found[0]


def calls_of_runbooks(folder: Path) -> frozenset[Call]:
    """Return the operations of every ``aws`` command in the runbooks of a folder that the harness follows itself."""
    text = "\n".join((folder / name).read_text(encoding="utf-8") for name in FOLLOWED)
    return frozenset(call for match in _COMMAND.finditer(text) for call in _of_command(*match.groups()))


def _of_command(service: str, command: str, argument: str | None) -> Iterator[Call]:
    """Yield the operation of a command of the AWS CLI; text that only looks like a command yields none."""
    if service not in _session().get_available_services():
        return
    if command == "wait" and argument is not None:
        waiters = _session().get_waiter_model(service)
        for name in waiters.waiter_names:
            if xform_name(name, "-") == argument:
                yield Call(service, waiters.get_waiter(name).operation)
    elif (service, command) in _CUSTOM_COMMANDS:
        yield Call(service, _CUSTOM_COMMANDS[service, command])
    else:
        for operation in _model(service).operation_names:
            if xform_name(operation, "-") == command:
                yield Call(service, operation)


# --- what is allowed --------------------------------------------------------------------------------------------------


def actions_of(call: Call) -> tuple[str, ...]:
    """Return the IAM actions that an operation needs."""
    if call in _ACTIONS:
        return _ACTIONS[call]
    signing = str(_model(call.service).signing_name)
    return (f"{_PREFIXES.get(signing, signing)}:{call.operation}",)


_OURS: Final = "readiness-*"
_TAGGED: Final = {"Null": {"aws:ResourceTag/readiness:run-id": "false"}}
_BALANCING: Final = "arn:aws:elasticloadbalancing:*:*:"
_Narrowed = tuple[str, tuple[str, ...], Mapping[str, Any]]
"""Name of the statement, its resources, its condition. Each action takes what is of its kind among them."""
_DRILLED: Final[_Narrowed] = (
    "TouchTaggedBalancing",
    tuple(
        f"{_BALANCING}{part}"
        for part in ("listener/app/*", "listener-rule/app/*", "loadbalancer/app/*", "targetgroup/*")
    ),
    _TAGGED,
)
_SERVICE: Final[_Narrowed] = (
    "DrillService",
    tuple(f"arn:aws:ecs:*:*:{part}/{_OURS}/*" for part in ("service", "service-deployment", "task")),
    {},
)
_REMOVED: Final[_Narrowed] = (
    "RemoveClones",
    (
        f"arn:aws:cloudformation:*:*:stack/{_OURS}/*",
        f"arn:aws:ecr:*:*:repository/{_OURS}",
        f"arn:aws:elasticache:*:*:snapshot:*{_OURS}",
        f"arn:aws:logs:*:*:log-group:*{_OURS}",
        f"arn:aws:rds:*:*:cluster:{_OURS}",
        f"arn:aws:rds:*:*:cluster-snapshot:*{_OURS}",
        f"arn:aws:rds:*:*:db:{_OURS}",
        f"arn:aws:rds:*:*:snapshot:*{_OURS}",
    ),
    {},
)
_BUCKETS: Final[_Narrowed] = ("EmptyBucketsOfClones", (f"arn:aws:s3:::{_OURS}", f"arn:aws:s3:::{_OURS}/*"), {})
_LOGS: Final[_Narrowed] = (
    "ReadLogsOfClones",
    (f"arn:aws:logs:*:*:log-group:{_OURS}", f"arn:aws:logs:*:*:log-group:{_OURS}:log-stream:*"),
    {},
)
_NARROWED: Final[Mapping[str, _Narrowed]] = {
    "cloudformation:DeleteStack": _REMOVED,
    "cloudwatch:SetAlarmState": ("DrillAlarms", (f"arn:aws:cloudwatch:*:*:alarm:{_OURS}",), {}),
    "ecs:RunTask": ("RunFleet", (f"arn:aws:ecs:*:*:task-definition/{_OURS}",), {}),
    "ecs:StopTask": _SERVICE,
    "ecs:UpdateService": _SERVICE,
    "ecs:StopServiceDeployment": _SERVICE,
    "ecs:RegisterTaskDefinition": (
        "RegisterTaggedTaskDefinitions",
        ("*",),
        {"Null": {"aws:RequestTag/readiness:run-id": "false"}},
    ),
    "ecs:TagResource": (
        "TagWhileMaking",
        (f"arn:aws:ecs:*:*:task-definition/{_OURS}", f"arn:aws:ecs:*:*:task/{_OURS}/*"),
        {"StringEquals": {"ecs:CreateAction": ["RegisterTaskDefinition", "RunTask"]}},
    ),
    "ecr:BatchGetImage": ("ReadImages", ("arn:aws:ecr:*:*:repository/*",), {}),
    "ecr:DeleteRepository": _REMOVED,
    "elasticache:DeleteSnapshot": _REMOVED,
    "elasticloadbalancing:AddTags": (
        "TagRulesWhileMaking",
        (f"{_BALANCING}listener-rule/app/*",),
        {"StringEquals": {"elasticloadbalancing:CreateAction": "CreateRule"}},
    ),
    "elasticloadbalancing:CreateRule": _DRILLED,
    "elasticloadbalancing:DeleteRule": _DRILLED,
    "elasticloadbalancing:DeregisterTargets": _DRILLED,
    "elasticloadbalancing:ModifyLoadBalancerAttributes": _DRILLED,
    "elasticloadbalancing:ModifyRule": _DRILLED,
    "elasticloadbalancing:RegisterTargets": _DRILLED,
    "iam:PassRole": (
        "PassRolesOfClonesToTasks",
        (f"arn:aws:iam::*:role/{_OURS}",),
        {"StringEquals": {"iam:PassedToService": ["ecs-tasks.amazonaws.com", "ecs.amazonaws.com"]}},
    ),
    "kms:Decrypt": (
        "DecryptInbox",
        ("arn:aws:kms:*:*:key/*",),
        {**_TAGGED, "StringLike": {"kms:ViaService": "sqs.*.amazonaws.com"}},
    ),
    "logs:DeleteLogGroup": _REMOVED,
    "logs:FilterLogEvents": _LOGS,
    "logs:GetLogEvents": _LOGS,
    "rds:DeleteDBClusterSnapshot": _REMOVED,
    "rds:DeleteDBSnapshot": _REMOVED,
    "rds:ModifyDBCluster": _REMOVED,
    "rds:ModifyDBInstance": _REMOVED,
    "s3:DeleteObject": _BUCKETS,
    "s3:DeleteObjectVersion": _BUCKETS,
    "s3:GetBucketLocation": _BUCKETS,
    "s3:ListBucketVersions": _BUCKETS,
    "sqs:DeleteMessage": ("ReadInbox", (f"arn:aws:sqs:*:*:{_OURS}",), {}),
    "sqs:GetQueueAttributes": ("ReadInbox", (f"arn:aws:sqs:*:*:{_OURS}",), {}),
    "sqs:ReceiveMessage": ("ReadInbox", (f"arn:aws:sqs:*:*:{_OURS}",), {}),
    "ssm:GetParameter": (
        "ReadBootstrapVersion",
        ("arn:aws:ssm:*:*:parameter/cdk-bootstrap/*", f"arn:aws:ssm:*:*:parameter/{_OURS}"),
        {},
    ),
    "sts:AssumeRole": (
        "ActAsBootstrapRoles",
        ("arn:aws:iam::*:role/cdk-*",),
        {"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}},
    ),
}
"""Action -> statement, resources and condition: what IAM can narrow down to what a run made."""

UNNARROWED: Final[Mapping[str, str]] = {
    "ec2:DeleteNetworkInterface": "those that services leave behind carry no tag; one in use cannot be deleted",
    "ecs:DeregisterTaskDefinition": "IAM knows no resource for it",
}
"""Actions that change something and cannot be narrowed, and why."""
_CONTENTS: Final = frozenset(
    {
        "s3:GetObject",
        "s3:GetObjectVersion",
        "secretsmanager:BatchGetSecretValue",
        "secretsmanager:GetSecretValue",
        "ssm:GetParameter",
        "ssm:GetParameters",
        "ssm:GetParametersByPath",
    }
)
"""Actions that read what people put into their account; never allowed everywhere."""
_READ: Final = ("Describe", "Get", "List", "Simulate")


def policy(calls: Iterable[Call]) -> dict[str, Any]:
    """Return the IAM policy that allows these calls, and the CDK CLI its roles.

    Raises:
        ReadinessError: a call changes something, and nobody has said how it is narrowed.
    """
    actions = sorted({*_CDK, *(action for call in calls for action in actions_of(call))})
    statements: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for action in actions:
        name, resources, condition = _NARROWED.get(action) or _wide(action)
        statements.setdefault((name, resources, json.dumps(condition)), []).append(action)
    made = []
    taken: dict[str, int] = {}
    for (name, resources, spelled), allowed in sorted(statements.items()):
        taken[name] = taken.get(name, 0) + 1
        statement: dict[str, Any] = {
            "Sid": name + (str(taken[name]) if taken[name] > 1 else ""),
            "Effect": "Allow",
            "Action": allowed,
            "Resource": list(resources) if len(resources) > 1 else resources[0],
        }
        if json.loads(spelled):
            statement["Condition"] = json.loads(spelled)
        made.append(statement)
    return {"Version": "2012-10-17", "Statement": made}


def _wide(action: str) -> _Narrowed:
    verb = action.split(":")[1]
    if verb.startswith(_READ) and action not in _CONTENTS:
        return "Look", ("*",), {}
    if action in UNNARROWED:
        return "CannotBeNarrowed", ("*",), {}
    raise ReadinessError(
        f"{action} changes something or reads what is nobody's business, and nothing narrows it.",
        hint="Say to which resources: readiness/permissions.py, _NARROWED.",
    )


def actions(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every action that a policy allows."""
    return tuple(sorted({action for each in document["Statement"] for action in each["Action"]}))


def shipped() -> dict[str, Any]:
    """Return the policy of this version of the harness."""
    document: dict[str, Any] = json.loads(POLICY.read_text(encoding="utf-8"))
    return document
