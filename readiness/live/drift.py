"""Drift: where the account differs from the template that was reviewed, and what was added to it from outside.

Compared is what a reader tells and the template says. What only CloudFormation knows is counted as not compared.
CloudFormation's own drift detection is not used: it takes minutes, looks at one resource after the other, leaves out
policies and rules that were added beside the stack's own, and the embedded AWS has none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from readiness.live.deployed_values import UNKNOWN, DeployedValues
from readiness.model import ControlFamily, Severity
from readiness.scan.observed import Rule
from readiness.scan.template import Part
from readiness.scan.values import as_list, as_table, references, tables

_OWNED = ("Variables",)
"""Tables of which the template has every key: another one was added."""
_STATEMENTS = "Statement"
_SETS = frozenset(
    {"Action", "NotAction", "Resource", "NotResource", "AWS", "Service", "Federated", "ManagedPolicyArns"}
)
_RULE_PEERS = (
    "CidrIp",
    "CidrIpv6",
    "SourceSecurityGroupId",
    "DestinationSecurityGroupId",
    "SourcePrefixListId",
    "DestinationPrefixListId",
)
_ALL_OUT = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}
"""The rule that AWS gives a security group unless there is one in the group itself; one that stands alone won't do."""
_BESIDE = {
    "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "Topics", "PolicyDocument"),
    "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "Queues", "PolicyDocument"),
    "AWS::SecretsManager::Secret": ("AWS::SecretsManager::ResourcePolicy", "SecretId", "ResourcePolicy"),
}
"""Type -> type of the policy that a template has beside it, the property that names it, and that of the document."""


@dataclass(kw_only=True)
class Comparison:
    """One resource in the account beside the template.

    Attributes:
        compared: How many values were.
        unknown: How many could not be.
        differences: Where they differ; never what the values are, as they may be secret.
        added: What is in the account beside what the template says, and lets somebody do more.
    """

    compared: int = 0
    unknown: int = 0
    differences: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)


def compare(part: Part, there: Mapping[str, Mapping[str, Any]], values: DeployedValues) -> Comparison:
    """Compare a resource of the template with what was read.

    Args:
        part: The resource.
        there: Suffix of the logical id ("" = the resource, "Policy" = its policy) -> properties, as readers tell them.
        values: What the template's values came to.
    """
    found = Comparison()
    wanted = values.resolve(part.properties)
    account = there[""]
    if part.kind == "AWS::EC2::SecurityGroup":
        _rules(part, account, values, found)
    elif part.kind == "AWS::IAM::Role":
        _role(part, account, values, found)
    else:
        told = {key: wanted[key] for key in account if key in wanted}
        _compare(told, account, "", found)
    if part.kind in _BESIDE:
        _policy_beside(part, there.get("Policy"), values, found)
    return found


def _compare(wanted: Any, account: Any, path: str, found: Comparison) -> None:
    if wanted is UNKNOWN:
        found.unknown += 1
    elif isinstance(wanted, Mapping):
        _compare_tables(wanted, as_table(account), path, found)
    elif isinstance(wanted, list):
        _compare_lists(wanted, as_list(account), path, found)
    else:
        found.compared += 1
        if _plain(wanted) != _plain(account):
            found.differences.append(path)


def _compare_tables(wanted: Mapping[str, Any], account: Mapping[str, Any], path: str, found: Comparison) -> None:
    for key, value in wanted.items():
        below = f"{path}.{key}".lstrip(".")
        if key not in account:
            found.unknown += 1
        elif key in _SETS and not isinstance(value, Mapping):
            _compare_lists(as_list(value), as_list(account[key]), below, found)
        else:
            _compare(value, account[key], below, found)
    if path.rpartition(".")[2] in _OWNED:
        found.differences += [f"{path}.{key} was added" for key in account if key not in wanted]


def _compare_lists(wanted: list[Any], account: list[Any], path: str, found: Comparison) -> None:
    key = path.rpartition(".")[2]
    if all(isinstance(each, Mapping) and isinstance(each.get("Name"), str) for each in (*wanted, *account)):
        before, now = ({each["Name"]: each for each in listed} for listed in (wanted, account))
        found.differences += [f"{path}[{name}] was added" for name in now if name not in before]
        found.differences += [f"{path}[{name}] is gone" for name in before if name not in now]
        for name in before.keys() & now.keys():
            _compare(before[name], now[name], f"{path}[{name}]", found)
    elif key == _STATEMENTS:
        found.compared += 1
        if len(wanted) != len(account):
            found.differences.append(f"{path} has {len(account)} entries instead of {len(wanted)}")
            return
        for number, (one, other) in enumerate(zip(wanted, account, strict=True)):
            _compare(one, other, f"{path}[{number}]", found)
    elif _holds_unknown(wanted):
        found.unknown += 1
    else:
        found.compared += 1
        if sorted(map(_plain, wanted)) != sorted(map(_plain, account)):
            found.differences.append(path)


def _holds_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_unknown(each) for each in value.values())
    return any(_holds_unknown(each) for each in value) if isinstance(value, list) else value is UNKNOWN


def _plain(value: Any) -> str:
    """Return a value as it is compared: CloudFormation takes ``"80"`` for 80, and ``"true"`` for true."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping | list):
        return json.dumps(value, sort_keys=True, default=str)
    return str(value)


# --- what has a form of its own --------------------------------------------------------------------------------------


def _rules(part: Part, account: Mapping[str, Any], values: DeployedValues, found: Comparison) -> None:
    """Compare a security group's rules: those in it, and those that stand alone in the template."""
    for direction in ("Ingress", "Egress"):
        alone = [
            other.properties
            for other in part.template.of_kind(f"AWS::EC2::SecurityGroup{direction}")
            if part.name in {name for name, _ in references(other.properties.get("GroupId"))}
        ]
        inside = tables(part.properties.get(f"SecurityGroup{direction}"))
        wanted = [*inside, *alone]
        known = Counter(map(_rule, (values.resolve(each) for each in wanted)))
        there = Counter(map(_rule, account.get(f"SecurityGroup{direction}", ())))
        if direction == "Egress" and not inside:
            there.pop(_rule(_ALL_OUT), None)
        vague = sum(count for rule, count in known.items() if UNKNOWN in rule)
        known = Counter({rule: count for rule, count in known.items() if UNKNOWN not in rule})
        found.compared += known.total()
        found.unknown += vague
        found.differences += [f"SecurityGroup{direction}: {_told(rule)} is gone" for rule in known - there]
        more = list((there - known).elements())[vague:]  # as many of them may be those that nobody can resolve
        added = [f"SecurityGroup{direction}: {_told(rule)} was added" for rule in more]
        (found.added if direction == "Ingress" else found.differences).extend(added)


def _rule(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    peer = next((rule[key] for key in _RULE_PEERS if rule.get(key) is not None), UNKNOWN)
    protocol = str(rule.get("IpProtocol", "-1")).lower()
    ports = (None, None) if protocol == "-1" else (_port(rule.get("FromPort")), _port(rule.get("ToPort")))
    return protocol, *ports, peer


def _port(value: Any) -> str | None:
    return None if value is None else str(value)


def _told(rule: Sequence[Any]) -> str:
    protocol, first, last, peer = rule
    ports = "every port" if first is None else f"{first}-{last}"
    return f"{'everything' if protocol == '-1' else f'{protocol} {ports}'} from or to {peer}"


def _role(part: Part, account: Mapping[str, Any], values: DeployedValues, found: Comparison) -> None:
    """Compare a role's trust and policies: those in it, those beside it in the template, and those attached to it."""
    trust = {"AssumeRolePolicyDocument": values.resolve(part.properties.get("AssumeRolePolicyDocument"))}
    _compare(trust, account, "", found)
    beside = [
        other.properties
        for other in part.template.of_kind("AWS::IAM::Policy", "AWS::IAM::RolePolicy")
        if part.name in {name for key in ("Roles", "RoleName") for name, _ in references(other.properties.get(key))}
    ]
    wanted = {
        str(values.resolve(each.get("PolicyName"))): values.resolve(each.get("PolicyDocument"))
        for each in (*tables(part.properties.get("Policies")), *beside)
    }
    attached = [values.resolve(each) for each in as_list(part.properties.get("ManagedPolicyArns"))]
    there = {each["PolicyName"]: each["PolicyDocument"] for each in account.get("Policies", ())}
    managed = set(account.get("ManagedPolicyArns", ()))
    inline = {name: document for name, document in there.items() if name not in managed}
    found.added += [f"policy {name} was added" for name in inline if name not in wanted]
    found.differences += [f"policy {name} is gone" for name in wanted if name not in inline]
    for name in wanted.keys() & inline.keys():
        _compare(wanted[name], inline[name], f"policy {name}", found)
    if UNKNOWN in attached:
        found.unknown += 1
    else:
        found.compared += len(attached)
        found.added += [f"{arn} was attached" for arn in sorted(managed - set(attached))]
        found.differences += [f"{arn} is detached" for arn in sorted(set(attached) - managed)]


def _policy_beside(part: Part, policy: Mapping[str, Any] | None, values: DeployedValues, found: Comparison) -> None:
    """Compare the policy of a topic, queue or secret, which a template has as a resource of its own."""
    kind, names, document = _BESIDE[part.kind]
    beside = [
        other.properties.get("PolicyDocument", other.properties.get("ResourcePolicy"))
        for other in part.template.of_kind(kind)
        if part.name in {name for name, _ in references(other.properties.get(names))}
    ]
    there = None if policy is None else policy.get(document)
    if beside and there is not None:
        _compare(values.resolve(beside[-1]), there, document, found)
    elif beside:
        found.differences.append(f"{document} is gone")
    elif there is not None and part.kind != "AWS::SNS::Topic":  # every topic has a policy of AWS's own
        found.added.append(f"{document} was added")


_FAMILIES = {
    "AWS::EC2": ControlFamily.NETWORK,
    "AWS::ElasticLoadBalancingV2": ControlFamily.NETWORK,
    "AWS::ECS": ControlFamily.SUPPLY_CHAIN,
    "AWS::IAM": ControlFamily.IAM,
    "AWS::KMS": ControlFamily.IAM,
    "AWS::Lambda": ControlFamily.SUPPLY_CHAIN,
    "AWS::SNS": ControlFamily.IAM,
    "AWS::SQS": ControlFamily.IAM,
    "AWS::SecretsManager": ControlFamily.SECRETS,
}
"""Service -> the control that its drift belongs to; of others: encryption, as of databases and caches."""


def _drift_rules() -> Iterator[Rule]:
    for family in sorted({*_FAMILIES.values(), ControlFamily.ENCRYPTION}):
        yield Rule(
            id=f"live/drift-{family}",
            claim="What is deployed is what was reviewed",
            severity=Severity.MEDIUM,
            family=family,
            why="The review was of the template; what differs from it nobody has reviewed.",
            mend="Find out who changed it, and deploy again.",
        )
        yield Rule(
            id=f"live/added-access-{family}",
            claim="Nobody was let in from outside of the template",
            severity=Severity.HIGH,
            family=family,
            why="A rule or a policy that stands in no template was reviewed by nobody, and outlives every deployment.",
            mend="Take it out, or put it into the template and have it reviewed.",
        )


DRIFT_RULES = {rule.id: rule for rule in _drift_rules()}
"""Id -> rule of each kind of drift."""


def drift_rule(what: str, kind: str) -> Rule:
    """Return the rule of a kind of drift, ``drift`` or ``added-access``, for a type of resources."""
    family = _FAMILIES.get(kind.rpartition("::")[0], ControlFamily.ENCRYPTION)
    return DRIFT_RULES[f"live/{what}-{family}"]


def changes(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Yield ``drift`` and ``added-access`` with what they are about; nothing of a resource that is as it was meant."""
    if comparison.differences:
        yield "drift", "; ".join(comparison.differences)
    if comparison.added:
        yield "added-access", "; ".join(comparison.added)
