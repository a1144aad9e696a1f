"""What is asked of the deployed clone: the checks of templates that say the same of it, and some of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck, all_checks
from readiness.scan.policies import denies_plaintext
from readiness.scan.template import Part

OF_TEMPLATES = (
    "container-without-logs",
    "full-admin",
    "open-ingress",
    "privileged-container",
    "public-task",
    "root-container",
    "secret-in-environment",
    "wildcard-action",
    "wildcard-principal",
    "writable-container",
)
"""Those that look at one resource alone, and so see the same in the account as in a template."""


def live_checks() -> tuple[OwnCheck, ...]:
    """Return every check of the deployed clone."""
    return (*(check for check in all_checks() if check.id in OF_TEMPLATES), *_OF_THE_CLONE)


def _unless(key: str, fault: str) -> Callable[[Part], Iterable[str]]:
    """Return what yields *fault* where a property is not true."""
    return lambda part: () if part.properties.get(key) is True else (fault,)


def _plain_listener(part: Part) -> Iterator[str]:
    protocol = part.properties.get("Protocol")
    if protocol not in ("HTTPS", "TLS"):
        yield f"port {part.properties.get('Port')} speaks {protocol}"


def _internet_facing(part: Part) -> Iterator[str]:
    if part.properties.get("Scheme") != "internal":
        yield f"its scheme is {part.properties.get('Scheme')}"


def _public_database(part: Part) -> Iterator[str]:
    if part.properties.get("PubliclyAccessible") is not False:
        yield "has an address on the internet"


def _no_key(part: Part) -> Iterator[str]:
    if not part.properties.get("KmsMasterKeyId") and not part.properties.get("SqsManagedSseEnabled"):
        yield "messages are kept in clear"


def _plaintext(part: Part) -> Iterator[str]:
    if not denies_plaintext(part.properties):
        yield "may be used without TLS"


def _way_out(part: Part) -> Iterator[str]:
    tier, way = part.properties.get("Tier"), part.properties.get("WayOut")
    if tier in ("Private", "Isolated") and way == "internet":
        yield f"is called {tier}, and its default route is an internet gateway"
    elif tier == "Isolated" and way:
        yield "is called Isolated, and has a default route"
    if part.properties.get("MapPublicIpOnLaunch") is True:
        yield "gives what starts in it an address on the internet"


def _endless(part: Part) -> Iterator[str]:
    if not part.properties.get("RetentionInDays"):
        yield "is kept for ever"


_DOCS = "https://docs.aws.amazon.com/securityhub/latest/userguide"
_OF_THE_CLONE = (
    OwnCheck(
        id="subnet-open-to-internet",
        claim="No private subnet has a way in from the internet, and no isolated one a way out",
        severity=Severity.HIGH,
        family=ControlFamily.NETWORK,
        looks_at=("AWS::EC2::Subnet",),
        faults=_way_out,
        why="What is meant to be reached from inside alone needs one wrong rule of a security group more to be public.",
        mend="Take the route to the internet gateway out, and set map_public_ip_on_launch=False.",
        link=f"{_DOCS}/ec2-controls.html#ec2-15",
    ),
    OwnCheck(
        id="logs-kept-for-ever",
        claim="Logs are kept for a time that somebody chose",
        severity=Severity.LOW,
        family=ControlFamily.LOGGING,
        looks_at=("AWS::Logs::LogGroup",),
        faults=_endless,
        why="What nobody deletes is paid for, and can leak, for ever.",
        mend="Set retention on the log group.",
        link=f"{_DOCS}/cloudwatch-controls.html#cloudwatch-16",
    ),
    OwnCheck(
        id="database-in-clear",
        claim="Database storage is encrypted",
        severity=Severity.HIGH,
        family=ControlFamily.ENCRYPTION,
        looks_at=("AWS::RDS::DBCluster",),
        faults=_unless("StorageEncrypted", "is stored in clear"),
        why="Whoever gets at a snapshot or a volume reads all of it.",
        mend="Set storage_encrypted=True on the cluster.",
        link=f"{_DOCS}/rds-controls.html#rds-27",
    ),
    OwnCheck(
        id="public-database",
        claim="No database has an address on the internet",
        severity=Severity.CRITICAL,
        family=ControlFamily.NETWORK,
        looks_at=("AWS::RDS::DBInstance",),
        faults=_public_database,
        why="Passwords are all that is left between anybody and the data.",
        mend="Set publicly_accessible=False on the instances.",
        link=f"{_DOCS}/rds-controls.html#rds-2",
    ),
    OwnCheck(
        id="cache-in-clear",
        claim="A cache is encrypted where it is kept",
        severity=Severity.HIGH,
        family=ControlFamily.ENCRYPTION,
        looks_at=("AWS::ElastiCache::ReplicationGroup",),
        faults=_unless("AtRestEncryptionEnabled", "is stored in clear"),
        why="Backups and disks hold what was cached.",
        mend="Set at_rest_encryption_enabled=True on the replication group.",
        link=f"{_DOCS}/elasticache-controls.html#elasticache-4",
    ),
    OwnCheck(
        id="cache-without-tls",
        claim="A cache is spoken to over TLS",
        severity=Severity.HIGH,
        family=ControlFamily.ENCRYPTION,
        looks_at=("AWS::ElastiCache::ReplicationGroup",),
        faults=_unless("TransitEncryptionEnabled", "is spoken to in clear"),
        why="Its password and its contents can be read on their way.",
        mend="Set transit_encryption_enabled=True on the replication group.",
        link=f"{_DOCS}/elasticache-controls.html#elasticache-5",
    ),
    OwnCheck(
        id="messages-in-clear",
        claim="Topics and queues are encrypted",
        severity=Severity.MEDIUM,
        family=ControlFamily.ENCRYPTION,
        looks_at=("AWS::SNS::Topic", "AWS::SQS::Queue"),
        faults=_no_key,
        why="Messages tell of incidents, names and addresses.",
        mend="Set master_key on the topic, encryption on the queue.",
        link=f"{_DOCS}/sns-controls.html#sns-1",
    ),
    OwnCheck(
        id="messages-without-tls",
        claim="Topics and queues refuse requests without TLS",
        severity=Severity.MEDIUM,
        family=ControlFamily.ENCRYPTION,
        looks_at=("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"),
        faults=_plaintext,
        why="Messages can be read on their way.",
        mend="Set enforce_ssl=True on the topic or queue.",
        link=f"{_DOCS}/s3-controls.html#s3-5",
    ),
    OwnCheck(
        id="listener-without-tls",
        claim="Listeners speak TLS",
        severity=Severity.MEDIUM,
        family=ControlFamily.ENCRYPTION,
        looks_at=("AWS::ElasticLoadBalancingV2::Listener",),
        faults=_plain_listener,
        why="Tokens and answers can be read on their way.",
        mend="Give the plan service.certificate_arn.",
        link=f"{_DOCS}/elb-controls.html#elb-1",
    ),
    OwnCheck(
        id="internet-facing-balancer",
        claim="The clone's load balancer is reached from inside only",
        severity=Severity.HIGH,
        family=ControlFamily.NETWORK,
        looks_at=("AWS::ElasticLoadBalancingV2::LoadBalancer",),
        faults=_internet_facing,
        why="A clone under test, with faults put into it, is no service for the internet.",
        mend="Set internet_facing=False on the load balancer.",
    ),
    OwnCheck(
        id="secret-not-rotated",
        claim="Every secret is rotated",
        severity=Severity.MEDIUM,
        family=ControlFamily.SECRETS,
        looks_at=("AWS::SecretsManager::Secret",),
        faults=_unless("RotationEnabled", "is never rotated"),
        why="Who ever read it can use it for as long as it lives.",
        mend="Call secret.add_rotation_schedule(...).",
        link=f"{_DOCS}/secretsmanager-controls.html#secretsmanager-1",
    ),
)
