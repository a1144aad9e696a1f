"""Values of a template: plain, or an intrinsic function that CloudFormation resolves later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from readiness.scan.template import Template

_REFERENCE = re.compile(r"\$\{(?!!)([^}]+)\}")
_DYNAMIC = re.compile(r"\{\{resolve:(secretsmanager|ssm-secure|ssm):")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_SECRET_WORDS = frozenset({"password", "passwd", "pwd", "passphrase", "secret", "token", "credential", "credentials"})
_SECRET_PAIRS = frozenset({"api key", "access key", "private key", "signing key", "encryption key", "auth key"})
_CREDENTIAL = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bgh[pousr]_[0-9A-Za-z]{36}\b"
    r"|\bsk-[0-9A-Za-z_-]{20,}|\bxox[abprs]-[0-9A-Za-z-]{10,}|\b\w+://[^/\s:@$]+:[^/\s@$]{3,}@"
)


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, None as an empty one, and anything else as a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def as_table(value: Any) -> Mapping[str, Any]:
    """Return a table as it is and anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def tables(value: Any) -> list[Mapping[str, Any]]:
    """Return the tables in a list (or the one table that stands for a list of one), through any ``Fn::If``."""
    found: list[Mapping[str, Any]] = []
    for entry in as_list(value):
        branches = entry.get("Fn::If") if isinstance(entry, Mapping) else None
        if isinstance(branches, list):
            found += [table for branch in branches[1:] for table in tables(branch)]
        elif isinstance(entry, Mapping):
            found.append(entry)
    return found


def is_true(value: Any) -> bool:
    """Say whether a value is true in either spelling."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def render(value: Any, template: Template) -> str:
    """Return a value as text, with ``${Name}`` or ``${?}`` where only CloudFormation knows what comes.

    A reference to a parameter that has a default is rendered as that default: it is what a bare deployment gets.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if not isinstance(value, Mapping) or len(value) != 1:
        return "${?}"
    function, argument = next(iter(value.items()))
    if function == "Ref":
        return _reference(str(argument), template)
    if function == "Fn::GetAtt":
        return "${" + _dotted(argument) + "}"
    if function == "Fn::Sub":
        return _substitute(argument, template)
    if function == "Fn::Join" and isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], list):
        return str(argument[0]).join(render(part, template) for part in argument[1])
    if function in ("Fn::Base64", "Fn::ToJsonString"):
        return render(argument, template)
    return "${?}"


def _dotted(argument: Any) -> str:
    """Return the argument of a ``Fn::GetAtt``, a list or text, as text."""
    return ".".join(str(part) for part in as_list(argument))


def _reference(name: str, template: Template) -> str:
    parameter = template.parameters.get(name)
    default = parameter.body.get("Default") if parameter is not None else None
    return "${" + name + "}" if default is None or isinstance(default, Mapping | list) else str(default)


def _substitute(argument: Any, template: Template) -> str:
    text, names = (
        (argument[0], as_table(argument[1])) if isinstance(argument, list) and len(argument) == 2 else (argument, {})
    )

    def replace(match: re.Match[str]) -> str:
        name = match[1].strip()
        return render(names[name], template) if name in names else _reference(name, template)

    return _REFERENCE.sub(replace, str(text))


def literal(value: Any, template: Template) -> str | None:
    """Return a value's text if the template holds all of it; None if something of it comes from elsewhere.

    A dynamic reference (``{{resolve:...}}``) comes from elsewhere.
    """
    if value is None:
        return None
    text = render(value, template)
    return None if not text or "${" in text or resolves_secret(text) or "{{resolve:" in text else text


def resolves_secret(text: str) -> bool:
    """Say whether CloudFormation would put a stored secret in place of a dynamic reference in *text*."""
    return any(match[1] != "ssm" for match in _DYNAMIC.finditer(text))


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each (logical id, attribute) that a value refers to; "" is the attribute of a ``Ref``."""
    if isinstance(value, list):
        for entry in value:
            yield from references(entry)
    elif isinstance(value, Mapping):
        for key, argument in value.items():
            if key == "Ref":
                yield str(argument), ""
            elif key == "Fn::GetAtt":
                name, _, attribute = _dotted(argument).partition(".")
                yield name, attribute
            elif key == "Fn::Sub":
                text = argument[0] if isinstance(argument, list) and argument else argument
                for match in _REFERENCE.finditer(str(text)):
                    name, _, attribute = match[1].strip().partition(".")
                    yield name, attribute
                if isinstance(argument, list):
                    yield from references(argument[1:])
            else:
                yield from references(argument)


def names_secret(name: str) -> bool:
    """Say whether a name says that its value is secret: its last words are ``password``, ``token``, ``api key``, ...

    ``DATABASE_PASSWORD`` and ``dbPassword`` do; ``SECRET_ARN``, ``TOKEN_TTL`` and ``PasswordLength`` do not, because
    their last word is about the secret.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    while words and words[-1].isdigit():
        words.pop()
    if words and words[-1] in ("value", "string", "text", "plain", "plaintext"):
        words.pop()
    if not words:
        return False
    last_two = " ".join(words[-2:])
    return words[-1] in _SECRET_WORDS or last_two in _SECRET_PAIRS or words[-1] in ("apikey", "accesskey", "privatekey")


def holds_credential(text: str) -> bool:
    """Say whether *text* holds what has the form of a credential: a key id, a private key, a URL with password."""
    return _CREDENTIAL.search(text) is not None
