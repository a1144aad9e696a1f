"""A password that stands in the template is known to whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import as_list, as_table, literal

_PASSWORDS = {
    "AWS::AmazonMQ::Broker": ("Users.Password",),
    "AWS::DMS::Endpoint": ("Password",),
    "AWS::DirectoryService::MicrosoftAD": ("Password",),
    "AWS::DirectoryService::SimpleAD": ("Password",),
    "AWS::DocDB::DBCluster": ("MasterUserPassword",),
    "AWS::ElastiCache::ReplicationGroup": ("AuthToken",),
    "AWS::ElastiCache::User": ("Passwords", "AuthenticationMode.Passwords"),
    "AWS::IAM::User": ("LoginProfile.Password",),
    "AWS::MemoryDB::User": ("AuthenticationMode.Passwords",),
    "AWS::OpenSearchService::Domain": ("AdvancedSecurityOptions.MasterUserOptions.MasterUserPassword",),
    "AWS::RDS::DBCluster": ("MasterUserPassword",),
    "AWS::RDS::DBInstance": ("MasterUserPassword",),
    "AWS::Redshift::Cluster": ("MasterUserPassword",),
    "AWS::RedshiftServerless::Namespace": ("AdminUserPassword",),
}
"""Resource type -> where below its properties a password stands."""


def _at(value: object, path: str) -> list[object]:
    """Return what stands at a dotted path, through lists."""
    found = [value]
    for key in path.split("."):
        found = [as_table(entry).get(key) for table in found for entry in as_list(table)]
    return [entry for each in found for entry in as_list(each)]


def faults(part: Part) -> Iterator[str]:
    """Yield each password that the template holds, in place or as the default of a parameter. Never the value."""
    for path in _PASSWORDS[part.kind]:
        if any(literal(value, part.template) is not None for value in _at(part.properties, path)):
            yield f"{path} stands in the template"


CHECK = OwnCheck(
    id="literal-password",
    claim="No password of a database, cache, broker or user stands in the template",
    severity=Severity.CRITICAL,
    family=ControlFamily.SECRETS,
    looks_at=tuple(_PASSWORDS),
    faults=faults,
    why="Whoever reads the repository, the template or the stack can log in; the password cannot be rotated.",
    mend="Generate it: rds.Credentials.from_generated_secret(...), or a dynamic reference to Secrets Manager.",
    link="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html",
)
