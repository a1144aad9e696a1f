"""A secret in an environment variable is readable by whoever may describe the task or function."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import (
    as_table,
    holds_credential,
    literal,
    names_secret,
    references,
    render,
    resolves_secret,
    tables,
)


def _variables(part: Part) -> Iterator[tuple[str, object]]:
    """Yield each (name, value) that a container, function or build gets in clear."""
    for container in tables(part.properties.get("ContainerDefinitions")):
        for variable in tables(container.get("Environment")):
            yield render(variable.get("Name"), part.template), variable.get("Value")
    yield from as_table(as_table(part.properties.get("Environment")).get("Variables")).items()
    for variable in tables(as_table(part.properties.get("Environment")).get("EnvironmentVariables")):
        if variable.get("Type", "PLAINTEXT") == "PLAINTEXT":
            yield render(variable.get("Name"), part.template), variable.get("Value")


def faults(part: Part) -> Iterator[str]:
    """Yield each variable whose value is a secret by its name, its form, or where it comes from. Never the value."""
    hidden = {name for name, each in part.template.parameters.items() if each.body.get("NoEcho") in (True, "true")}
    for name, value in _variables(part):
        text = literal(value, part.template)
        if text is not None and (names_secret(name) or holds_credential(text)):
            yield f"variable {name} holds a secret in clear"
        elif resolves_secret(render(value, part.template)):
            yield f"variable {name} resolves a stored secret into the template's resource, in clear"
        elif any(reference in hidden for reference, _ in references(value)):
            yield f"variable {name} is given a NoEcho parameter, in clear"


CHECK = OwnCheck(
    id="secret-in-environment",
    claim="No environment variable holds a secret",
    severity=Severity.CRITICAL,
    family=ControlFamily.SECRETS,
    looks_at=("AWS::ECS::TaskDefinition", "AWS::Lambda::Function", "AWS::CodeBuild::Project"),
    faults=faults,
    why="It stands in clear in the template, the task definition, the console and every crash report.",
    mend="Give it as a secret: secrets={'NAME': ecs.Secret.from_secrets_manager(secret)}.",
    link="https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specifying-sensitive-data.html",
    same_fault=("checkov/CKV_AWS_45",),
)
