"""Scenario texts with ``{{name}}``, ``{{unique}}`` and ``{{env:NAME}}``: checked once, filled in for every request."""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from urllib.parse import quote

from readiness.errors import ReadinessError
from readiness.model import Scenario, Workload

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_ENVIRONMENT = "env:"
_UNIQUE = "unique"

Fill = Callable[[], str]


class Text:
    """A text whose gaps are filled in anew for every request.

    Attributes:
        fixed: Whether there are none.
    """

    __slots__ = ("_parts", "fixed")

    def __init__(self, parts: list[str | Fill]) -> None:
        self.fixed = all(isinstance(part, str) for part in parts)
        self._parts = ["".join(map(str, parts))] if self.fixed else parts

    def __call__(self) -> str:
        """Return the text of one request."""
        if self.fixed:
            return self._parts[0]  # type: ignore[return-value]
        return "".join([part if isinstance(part, str) else part() for part in self._parts])


def placeholders(text: str) -> tuple[str, ...]:
    """Return the names between double braces, in order."""
    return tuple(_PLACEHOLDER.findall(text))


def check(workload: Workload, environment: Collection[str]) -> None:
    """Refuse placeholders that nothing fills, before anything is started.

    Args:
        workload: Whose scenarios to check.
        environment: Names of the variables that the fleet will have.

    Raises:
        ReadinessError: names the scenario and the placeholder.
    """
    for scenario in workload.scenarios:
        for text in _texts(scenario):
            for name in placeholders(text):
                _check_name(scenario, name, environment)


def environment_names(workload: Workload) -> frozenset[str]:
    """Return the environment variables that the scenarios name."""
    return frozenset(
        name.removeprefix(_ENVIRONMENT)
        for scenario in workload.scenarios
        for text in _texts(scenario)
        for name in placeholders(text)
        if name.startswith(_ENVIRONMENT)
    )


def compile_text(
    text: str,
    scenario: Scenario,
    choose: random.Random,
    unique: Fill,
    *,
    in_path: bool = False,
    fresh: Callable[[], bool] | None = None,
) -> Text:
    """Return *text*, ready to be filled in for each request.

    Args:
        text: With or without placeholders.
        scenario: Whose variables it may name.
        choose: Of a variable's values.
        unique: Gives a value never used before.
        in_path: Values that go into a path are percent-encoded; everywhere else they go in as they are.
        fresh: Whether the variables of the present request get values never used before.

    Raises:
        ReadinessError: a placeholder is unknown, or names an environment variable that is not set.
    """
    parts: list[str | Fill] = []
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        parts.append(text[position : match.start()])
        parts.append(_filling(match.group(1), scenario, choose, unique, in_path=in_path, fresh=fresh))
        position = match.end()
    parts.append(text[position:])
    return Text(_join_literals(parts))


def unique_values() -> Fill:
    """Return a source of values that no process has used before: a cache cannot have seen them."""
    prefix = os.urandom(8).hex()
    numbers = itertools.count()
    return lambda: f"{prefix}-{next(numbers)}"


def _texts(scenario: Scenario) -> Iterator[str]:
    yield scenario.path
    yield from scenario.headers.values()
    if scenario.body is not None:
        yield scenario.body


def _check_name(scenario: Scenario, name: str, environment: Collection[str]) -> None:
    if name.startswith(_ENVIRONMENT):
        variable = name.removeprefix(_ENVIRONMENT)
        if variable not in environment:
            raise ReadinessError(
                f"Scenario {scenario.name!r} asks for {{{{{name}}}}}, but the fleet has no variable {variable}.",
                hint=f"Add {variable} to [fleet] secrets.",
            )
    elif name != _UNIQUE and not scenario.variables.get(name):
        raise ReadinessError(
            f"Scenario {scenario.name!r} asks for {{{{{name}}}}}, which is no variable of it.",
            hint="Give it values in the scenario's variables; {{unique}} and {{env:NAME}} need none.",
        )


def _filling(
    name: str,
    scenario: Scenario,
    choose: random.Random,
    unique: Fill,
    *,
    in_path: bool,
    fresh: Callable[[], bool] | None,
) -> str | Fill:
    _check_name(scenario, name, os.environ)
    if name.startswith(_ENVIRONMENT):
        value = os.environ[name.removeprefix(_ENVIRONMENT)]
        return quote(value, safe="") if in_path else value
    if name == _UNIQUE:
        return unique
    values = tuple(quote(value, safe="") if in_path else value for value in scenario.variables[name])
    if fresh is None:
        return lambda: choose.choice(values)
    return lambda: unique() if fresh() else choose.choice(values)


def _join_literals(parts: list[str | Fill]) -> list[str | Fill]:
    """Return *parts* with neighbouring literals joined and empty ones left out."""
    joined: list[str | Fill] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return joined or [""]


def secrets_of(workload: Workload, headers: Mapping[str, str], variables: Collection[str] = ()) -> frozenset[str]:
    """Return the texts that nothing printed may hold: values of the environment, and of credentials in headers."""
    found = {os.environ[name] for name in {*environment_names(workload), *variables} if name in os.environ}
    carried = [*headers.items(), *(item for scenario in workload.scenarios for item in scenario.headers.items())]
    for name, value in carried:
        if re.search(r"auth|token|key|cookie|secret", name, re.IGNORECASE) and not placeholders(value):
            found.update((value, value.rpartition(" ")[2]))
    return frozenset(text for text in found if text)


def redact(text: str, secrets: Collection[str]) -> str:
    """Return *text* without any of *secrets*."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
