"""Policy documents inside a template: who may do what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from readiness.scan.template import Part
from readiness.scan.values import as_list, as_table, is_true, tables

IDENTITY_POLICY_TYPES = (
    "AWS::IAM::Group",
    "AWS::IAM::GroupPolicy",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::IAM::RolePolicy",
    "AWS::IAM::User",
    "AWS::IAM::UserPolicy",
    "AWS::SSO::PermissionSet",
)

_RESTRICTING_KEYS = (
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceorgid",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "kms:calleraccount",
)
"""Condition keys that confine a wildcard principal to somebody in particular."""

_MATCHING_OPERATORS = ("stringequals", "stringlike", "arnequals", "arnlike")


def identity_statements(part: Part) -> Iterator[Mapping[str, Any]]:
    """Yield the Allow statements of what an identity may do: of a policy, or inside a role, user or group."""
    documents = [part.properties.get("PolicyDocument"), part.properties.get("InlinePolicy")]
    documents += [policy.get("PolicyDocument") for policy in tables(part.properties.get("Policies"))]
    for document in documents:
        yield from allows(document)


def allows(document: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the Allow statements of a policy document, a table or JSON text."""
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            return
    for statement in tables(as_table(document).get("Statement")):
        if statement.get("Effect") == "Allow":
            yield statement


def documents(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every policy document anywhere below *value*: what has a ``Statement``."""
    if isinstance(value, Mapping):
        if "Statement" in value:
            yield value
        for below in value.values():
            yield from documents(below)
    elif isinstance(value, list):
        for below in value:
            yield from documents(below)
    elif isinstance(value, str) and '"Statement"' in value:
        try:
            yield from documents(json.loads(value))
        except ValueError:
            return


def denies_plaintext(value: Any) -> bool:
    """Say whether a policy document denies everybody every action, unless it is asked over TLS.

    A denial to somebody only, or of some actions only, leaves the others a way in clear. SNS takes no wildcard in the
    actions of a topic's policy: of a topic, publishing is what has to be denied.
    """
    return any(
        statement.get("Effect") == "Deny"
        and is_anybody(statement.get("Principal"))
        and _every_action(statement)
        and _asks_for_plaintext(statement)
        for document in documents(value)
        for statement in tables(document.get("Statement"))
    )


def _every_action(statement: Mapping[str, Any]) -> bool:
    actions = [str(action) for action in as_list(statement.get("Action"))]
    return any(action.endswith("*") for action in actions) or "sns:Publish" in actions


def _asks_for_plaintext(statement: Mapping[str, Any]) -> bool:
    for operator, keys in as_table(statement.get("Condition")).items():
        if str(operator).lower() in ("bool", "boolifexists"):
            for key, asked in as_table(keys).items():
                if str(key).lower() == "aws:securetransport" and all(not is_true(each) for each in as_list(asked)):
                    return True
    return False


def is_anybody(principal: Any) -> bool:
    """Say whether a principal is everybody: ``"*"``, ``{"AWS": "*"}``, a list with ``"*"`` in it."""
    if isinstance(principal, Mapping):
        return any(is_anybody(value) for value in principal.values())
    return any(entry == "*" for entry in as_list(principal))


def is_confined(statement: Mapping[str, Any]) -> bool:
    """Say whether a statement's conditions confine it to accounts, organisations, resources or networks by name."""
    for operator, keys in as_table(statement.get("Condition")).items():
        base = str(operator).lower().split(":")[-1]
        if base.endswith("ifexists") or not base.startswith(_MATCHING_OPERATORS):
            continue
        for key, values in as_table(keys).items():
            if str(key).lower() in _RESTRICTING_KEYS and not any(value == "*" for value in as_list(values)):
                return True
    return False
