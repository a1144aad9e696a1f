"""Scenarios made ready to send: which one comes next, and its bytes on the wire."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from itertools import accumulate

from readiness.errors import ReadinessError
from readiness.loadgen.template import Fill, compile_text, unique_values
from readiness.model import Scenario, Workload

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


class PreparedScenario:
    """A scenario whose texts are compiled."""

    def __init__(
        self,
        scenario: Scenario,
        workload: Workload,
        host: str,
        extra: Mapping[str, str],
        choose: random.Random,
        unique: Fill,
    ) -> None:
        self.name = scenario.name
        self.method = scenario.method
        self.expect_status = frozenset(scenario.expect_status)
        self.expect_body = None if scenario.expect_body_contains is None else scenario.expect_body_contains.encode()
        self._path = compile_text(scenario.path, scenario, choose, unique, in_path=True)
        self._body = None if scenario.body is None else compile_text(scenario.body, scenario, choose, unique)
        self._start_header = workload.request_start_header
        texts = {"Host": host, "User-Agent": "readiness-loadgen", **scenario.headers, **extra}
        self._headers = tuple((name, compile_text(text, scenario, choose, unique)) for name, text in texts.items())
        self._check_headers()

    def raw(self) -> bytes:
        """Return the bytes of the next request of this scenario."""
        lines = [f"{self.method} {self._path()} HTTP/1.1"]
        lines.extend(f"{name}: {fill()}" for name, fill in self._headers)
        if self._start_header is not None:
            lines.append(f"{self._start_header}: {time.time_ns()}")
        body = b"" if self._body is None else self._body().encode()
        if body or self.method in _BODY_METHODS:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def _check_headers(self) -> None:
        """Refuse what would be no header, or would smuggle in another."""
        for name, fill in self._headers:
            value = fill()
            if not _NAME.fullmatch(name) or any(character in value for character in "\r\n\0"):
                raise ReadinessError(f"Scenario {self.name!r}: header {name!r} has a name or value that HTTP forbids.")
            try:
                value.encode("latin-1")
            except UnicodeEncodeError:
                raise ReadinessError(f"Scenario {self.name!r}: header {name!r} is not in ISO 8859-1.") from None


class Mix:
    """The scenarios, and which of them comes next, by weight."""

    def __init__(self, workload: Workload, host: str, extra: Mapping[str, str], choose: random.Random) -> None:
        unique = unique_values()
        self._prepared = [
            PreparedScenario(scenario, workload, host, extra, choose, unique) for scenario in workload.scenarios
        ]
        self._weights = list(accumulate(scenario.weight for scenario in workload.scenarios))
        self._choose = choose

    def next(self) -> PreparedScenario:
        """Return the scenario of the next request."""
        return self._choose.choices(self._prepared, cum_weights=self._weights)[0]
