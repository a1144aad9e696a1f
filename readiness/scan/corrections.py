"""What checkov is known to get wrong: a false alarm is corrected here, by name and with its reason, never waived."""

from __future__ import annotations

from readiness.scan.policies import allows, documents, is_anybody, is_confined
from readiness.scan.template import Part
from readiness.scan.values import is_true


def false_alarm(rule: str, part: Part) -> str | None:
    """Return why a failure of *rule* on *part* is none, or None if it stands."""
    if rule == "checkov/CKV_AWS_27" and is_true(part.properties.get("SqsManagedSseEnabled")):
        return "checkov looks at KmsMasterKeyId alone; the queue is encrypted with SQS-managed keys"
    if rule == "checkov/CKV_AWS_33" and _is_confined_key(part):
        return "checkov ignores conditions; each wildcard principal of the key's policy is confined by one"
    return None


def _is_confined_key(key: Part) -> bool:
    open_to_all = [
        statement
        for document in documents(key.properties.get("KeyPolicy"))
        for statement in allows(document)
        if is_anybody(statement.get("Principal"))
    ]
    return bool(open_to_all) and all(is_confined(statement) for statement in open_to_all)
