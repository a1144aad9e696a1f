"""A secret whose value stands in the template is no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import literal, names_secret, render


def faults(part: Part) -> Iterator[str]:
    """Yield a ``SecretString`` that the template holds, whole or in one of its JSON fields. Never the value."""
    value = part.properties.get("SecretString")
    if value is None:
        return
    if literal(value, part.template) is not None:
        yield "SecretString stands in the template"
        return
    try:
        fields = json.loads(render(value, part.template))
    except ValueError:
        return
    for name, field in fields.items() if isinstance(fields, dict) else ():
        if names_secret(name) and isinstance(field, str) and field and "${" not in field and "{{resolve:" not in field:
            yield f"field {name} of SecretString stands in the template"


CHECK = OwnCheck(
    id="literal-secret-string",
    claim="No secret's value stands in the template",
    severity=Severity.CRITICAL,
    family=ControlFamily.SECRETS,
    looks_at=("AWS::SecretsManager::Secret",),
    faults=faults,
    why="Whoever reads the repository, the template or the stack has the secret; rotating it takes a release.",
    mend="Let Secrets Manager make it: secretsmanager.Secret(..., generate_secret_string=SecretStringGenerator(...)).",
    link="https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-secretsmanager-secret.html",
)
