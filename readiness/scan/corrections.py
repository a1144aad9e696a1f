"""What stock scanners are known to get wrong: a false alarm is corrected here, by name and reason."""

from __future__ import annotations

from readiness.scan.policies import allows, documents, is_anybody, is_confined
from readiness.scan.template import Part
from readiness.scan.values import as_list, is_true, literal, tables


def false_alarm(rule: str, part: Part) -> str | None:
    """Return why a failure of *rule* on *part* is none, or None if it stands."""
    if rule == "checkov/CKV_AWS_27" and is_true(part.properties.get("SqsManagedSseEnabled")):
        return "checkov looks at KmsMasterKeyId alone; the queue is encrypted with SQS-managed keys"
    if rule == "checkov/CKV_AWS_33" and _is_confined_key(part):
        return "checkov ignores conditions; each wildcard principal of the key's policy is confined by one"
    if rule == "control-tower/CT.ECS.PR.7" and part.properties.get("Memory") and _is_fargate(part):
        return "on Fargate the task's memory, which is given, is the hard limit of its one container or of all together"
    if rule == "control-tower/CT.ELASTICLOADBALANCING.PR.2" and _certificate_from_elsewhere(part):
        return "the control knows literal ARNs only; the certificate comes from outside the template"
    return None


def _certificate_from_elsewhere(listener: Part) -> bool:
    given = [each.get("CertificateArn") for each in tables(listener.properties.get("Certificates"))]
    return bool(given) and all(each and literal(each, listener.template) is None for each in given)


def _is_fargate(task_definition: Part) -> bool:
    return as_list(task_definition.properties.get("RequiresCompatibilities")) == ["FARGATE"]


def _is_confined_key(key: Part) -> bool:
    open_to_all = [
        statement
        for document in documents(key.properties.get("KeyPolicy"))
        for statement in allows(document)
        if is_anybody(statement.get("Principal"))
    ]
    return bool(open_to_all) and all(is_confined(statement) for statement in open_to_all)
