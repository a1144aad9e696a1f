"""A bucket, topic or queue that may be used without TLS."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.policies import denies_plaintext
from readiness.scan.template import Part
from readiness.scan.values import references

_POLICY_OF = {
    "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", "Bucket"),
    "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "Topics"),
    "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "Queues"),
}
"""Resource type -> the type of its policy, and the property that names whose policy it is."""


def faults(part: Part) -> Iterator[str]:
    """Yield a resource that no policy of the template denies to requests without TLS."""
    policy_kind, names = _POLICY_OF[part.kind]
    for policy in part.template.of_kind(policy_kind):
        is_its = any(name == part.name for name, _ in references(policy.properties.get(names)))
        if is_its and denies_plaintext(policy.properties.get("PolicyDocument")):
            return
    yield "may be used without TLS"


CHECK = OwnCheck(
    id="allows-plaintext",
    claim="Buckets, topics and queues refuse requests without TLS",
    severity=Severity.MEDIUM,
    family=ControlFamily.ENCRYPTION,
    looks_at=tuple(_POLICY_OF),
    faults=faults,
    why="Messages and objects can be read on their way.",
    mend="Set enforce_ssl=True on the bucket, topic or queue.",
    link="https://docs.aws.amazon.com/securityhub/latest/userguide/s3-controls.html#s3-5",
)
