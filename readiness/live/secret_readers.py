"""Who may read a secret: the roles of the stack, by all their policies as they are in the account."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from readiness.scan.policies import identity_statements
from readiness.scan.template import Part, Template
from readiness.scan.values import as_list

_READ = "secretsmanager:getsecretvalue"


def readers_of_secrets(
    template: Template, physical: Mapping[str, str], paths: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return each secret with the roles that may read it.

    Managed policies of AWS's own are not looked into; conditions and denials are not weighed: a role that is named may
    be stopped by them, one that is not named cannot read.

    Args:
        template: The resources as they are in the account.
        physical: Logical id -> physical id.
        paths: Logical id -> where the CDK app made it.
    """
    roles = template.of_kind("AWS::IAM::Role")
    return {
        paths.get(secret.name, secret.name): tuple(
            sorted(paths.get(role.name, role.name) for role in roles if may_read(role, physical.get(secret.name, "")))
        )
        for secret in template.of_kind("AWS::SecretsManager::Secret")
    }


def may_read(role: Part, arn: str) -> bool:
    """Say whether a statement of a role allows it to read the secret with this ARN."""
    for statement in identity_statements(role):
        actions = [str(action).lower() for action in as_list(statement.get("Action"))]
        resources = [str(resource) for resource in as_list(statement.get("Resource"))]
        if any(fnmatchcase(_READ, action) for action in actions) and any(
            fnmatchcase(arn, resource) for resource in resources
        ):
            return True
    return False
