"""Scenarios made ready to send: which one comes next, its bytes on the wire, and what is wrong with an answer."""

from __future__ import annotations

import random
import re
import time
from bisect import bisect
from collections.abc import Callable, Mapping
from itertools import accumulate

from readiness.errors import ReadinessError
from readiness.loadgen.answers import Answer
from readiness.loadgen.template import Fill, Text, compile_text, placeholders, unique_values
from readiness.model import Scenario, Workload

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_PATH = re.compile(r"[^\x21-\x7e]")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_OWN_HEADERS = frozenset({"content-length", "transfer-encoding"})


class PreparedScenario:
    """A scenario whose texts are compiled.

    Attributes:
        expect_status: Statuses that are a success.
    """

    def __init__(
        self,
        scenario: Scenario,
        workload: Workload,
        host: str,
        extra: Mapping[str, str],
        choose: random.Random,
        unique: Fill,
    ) -> None:
        if scenario.body_file is not None:
            raise ReadinessError(f"Scenario {scenario.name!r}: its body file {scenario.body_file} was not read.")
        self.name = scenario.name
        self.method = scenario.method
        self.expect_status = frozenset(scenario.expect_status)
        self._assertions = _assertions(scenario)
        self._choose = choose
        self._unique_ratio = scenario.unique_ratio
        self._is_fresh = False
        fresh = (lambda: self._is_fresh) if scenario.unique_ratio else None
        texts = _headers(scenario, {"Host": host, "User-Agent": "readiness-loadgen"}, extra)
        _check_headers(scenario, texts, choose, unique)
        lines = "".join(f"\r\n{name}: {text}" for name, text in texts.items())
        if workload.request_start_header is not None:
            lines += f"\r\n{workload.request_start_header}: "
        self._stamps_start = workload.request_start_header is not None
        path = compile_text(scenario.path, scenario, choose, unique, in_path=True, fresh=fresh)
        if found := _NOT_IN_PATH.search(path()):
            raise ReadinessError(
                f"Scenario {scenario.name!r}: {found[0]!r} may not stand in a path.", hint="Percent-encode it."
            )
        headers = compile_text(lines, scenario, choose, unique, fresh=fresh)
        self._beginning = _joined(f"{self.method} ", path, " HTTP/1.1", headers)
        self._body = compile_text(scenario.body or "", scenario, choose, unique, fresh=fresh)
        self._has_body = bool(scenario.body) or self.method in _BODY_METHODS

    def raw(self) -> bytes:
        """Return the bytes of the next request of this scenario."""
        if self._unique_ratio:
            self._is_fresh = self._choose.random() < self._unique_ratio
        head = self._beginning()
        if self._stamps_start:
            head += str(time.time_ns())
        if not self._has_body:
            return (head + "\r\n\r\n").encode("latin-1")
        body = self._body().encode()
        return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode("latin-1") + body

    def complaint(self, answer: Answer) -> str:
        """Return which assertion an answer does not meet; empty if it meets all."""
        for complaint in self._assertions:
            if said := complaint(answer):
                return said
        return ""


def _headers(scenario: Scenario, defaults: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of all headers; of one name in any case, the last counts."""
    named: dict[str, tuple[str, str]] = {}
    for headers in (defaults, scenario.headers, extra):
        named.update((name.lower(), (name, text)) for name, text in headers.items())
    if own := _OWN_HEADERS & named.keys():
        raise ReadinessError(
            f"Scenario {scenario.name!r}: header {min(own)!r} is the generator's to set.",
            hint="Leave it out: the body says how long it is.",
        )
    return dict(named.values())


def _joined(before: str, path: Text, between: str, headers: Text) -> Fill:
    """Return what begins a request; one text if nothing in it changes."""
    if not (path.fixed and headers.fixed):
        return lambda: before + path() + between + headers()
    fixed = before + path() + between + headers()
    return lambda: fixed


def _assertions(scenario: Scenario) -> tuple[Callable[[Answer], str], ...]:
    """Return what is asked of an answer besides its status: each returns its complaint, or nothing."""
    found: list[Callable[[Answer], str]] = []
    for name, wanted in scenario.expect_headers.items():
        found.append(lambda answer, name=name, wanted=wanted: _header_complaint(answer, name, wanted))  # type: ignore[misc]
    if (text := scenario.expect_body_contains) is not None:
        part = text.encode()
        found.append(lambda answer: "" if part in answer.body else f"the body lacks {text!r}")
    if (expression := scenario.expect_body_matches) is not None:
        pattern = re.compile(expression.encode())
        found.append(
            lambda answer: "" if pattern.search(answer.body) else f"nothing in the body matches {expression!r}"
        )
    return tuple(found)


def _header_complaint(answer: Answer, name: str, wanted: str) -> str:
    value = answer.header(name)
    if value is None:
        return f"there is no header {name}"
    return "" if wanted in value else f"header {name} lacks {wanted!r}: {value}"


def _check_headers(scenario: Scenario, texts: Mapping[str, str], choose: random.Random, unique: Fill) -> None:
    """Refuse what would be no header, or would smuggle in another, whichever value a variable gets."""
    for name, text in texts.items():
        values = [compile_text(text, scenario, choose, unique)()]
        values += [value for variable in placeholders(text) for value in scenario.variables.get(variable, ())]
        if not _NAME.fullmatch(name) or any(character in value for value in values for character in "\r\n\0"):
            raise ReadinessError(f"Scenario {scenario.name!r}: header {name!r} has a name or value that HTTP forbids.")
        try:
            "".join(values).encode("latin-1")
        except UnicodeEncodeError:
            raise ReadinessError(f"Scenario {scenario.name!r}: header {name!r} is not in ISO 8859-1.") from None


class Mix:
    """The scenarios, and which of them comes next, by weight."""

    def __init__(self, workload: Workload, host: str, extra: Mapping[str, str], choose: random.Random) -> None:
        unique = unique_values()
        self._prepared = [
            PreparedScenario(scenario, workload, host, extra, choose, unique) for scenario in workload.scenarios
        ]
        *self._bounds, self._whole = accumulate(scenario.weight for scenario in workload.scenarios)
        self._choose = choose

    def next(self) -> PreparedScenario:
        """Return the scenario of the next request."""
        return self._prepared[bisect(self._bounds, self._choose.random() * self._whole)]
