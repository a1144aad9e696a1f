"""An SSM parameter of type String is stored and shown in clear."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import holds_credential, literal, names_secret, render, resolves_secret


def faults(part: Part) -> Iterator[str]:
    """Yield a clear parameter that is a secret by its name, the form of its value, or where its value comes from."""
    kind = part.properties.get("Type")
    if kind not in ("String", "StringList"):
        return
    value = part.properties.get("Value")
    name = render(part.properties.get("Name", part.name), part.template)
    text = literal(value, part.template)
    secret_name = names_secret(name.rsplit("/", 1)[-1]) or names_secret(part.name)
    if text is not None and (secret_name or holds_credential(text)):
        yield f"parameter {name} of type {kind} holds a secret in clear"
    elif resolves_secret(render(value, part.template)):
        yield f"parameter {name} of type {kind} copies a stored secret, in clear"


CHECK = OwnCheck(
    id="password-in-ssm-string",
    claim="No SSM parameter of type String holds a secret",
    severity=Severity.CRITICAL,
    family=ControlFamily.SECRETS,
    looks_at=("AWS::SSM::Parameter",),
    faults=faults,
    why="The value is neither encrypted nor guarded by a key's policy; every reader of parameters sees it.",
    mend="Keep it in Secrets Manager (secretsmanager.Secret); CloudFormation cannot make a SecureString.",
    link="https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-parameter-store.html",
    same_fault=("checkov/CKV_AWS_384",),
)
