"""AlarmRule: the grammar of composite alarms.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html

``ALARM(x)``, ``OK(x)``, ``INSUFFICIENT_DATA(x)`` with a name or an ARN, quoted or not; ``AND``, ``OR``, ``NOT``,
parentheses, ``TRUE``, ``FALSE``. NOT binds closest, then AND, then OR. Left out: ``AT_LEAST(...)`` (refused by name).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

STATES: Final = ("OK", "ALARM", "INSUFFICIENT_DATA")

_MAX_CHILDREN = 100
_MAX_ELEMENTS = 500

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<call>OK|ALARM|INSUFFICIENT_DATA)\s*\(\s*(?:\"(?P<quoted>[^\"]+)\"|(?P<bare>[^\s\")(]+))\s*\)"
    r"|(?P<word>[A-Za-z_]+)|(?P<parenthesis>[()]))",
    re.IGNORECASE,
)


class AlarmRuleError(ValueError):
    """A rule that can't be read; the message says where."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """A parsed rule.

    Attributes:
        text: As it was written.
        children: Names of the alarms that it refers to, in order of appearance.
    """

    text: str
    children: tuple[str, ...]
    _holds: Callable[[Mapping[str, str]], bool]

    def holds(self, states: Mapping[str, str]) -> bool:
        """Return whether the rule is true, given each child's state."""
        return self._holds(states)


def parse(text: str) -> AlarmRule:
    """Parse an AlarmRule.

    Raises:
        AlarmRuleError: It is malformed, or has more than 100 children or 500 elements.
    """
    parser = _Parser(text)
    holds = parser.whole()
    children = tuple(dict.fromkeys(parser.children))
    if len(children) > _MAX_CHILDREN:
        raise AlarmRuleError(f"AlarmRule has {len(children)} children; at most {_MAX_CHILDREN} are allowed")
    return AlarmRule(text, children, holds)


def name_of(reference: str) -> str:
    """Return the alarm's name from a name or an ARN (``arn:aws:cloudwatch:region:account:alarm:name``)."""
    return reference.split(":", 6)[6] if reference.startswith("arn:") and reference.count(":") >= 6 else reference


Holds = Callable[[Mapping[str, str]], bool]


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.children: list[str] = []
        self._tokens: list[re.Match[str]] = []
        self._next = 0
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise AlarmRuleError(f"AlarmRule {text!r} can't be read from {text[position:].strip()[:30]!r} on")
            self._tokens.append(match)
            position = match.end()
        if not 0 < len(self._tokens) <= _MAX_ELEMENTS:
            raise AlarmRuleError(f"AlarmRule has {len(self._tokens)} elements; it may have 1 to {_MAX_ELEMENTS}")

    def whole(self) -> Holds:
        holds = self._disjunction()
        if self._next != len(self._tokens):
            raise AlarmRuleError(
                f"AlarmRule {self.text!r}: {self._tokens[self._next].group().strip()!r} is not expected"
            )
        return holds

    def _take(self, word: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next].group().strip().upper() == word:
            self._next += 1
            return True
        return False

    def _disjunction(self) -> Holds:
        parts = [self._conjunction()]
        while self._take("OR"):
            parts.append(self._conjunction())
        return lambda states: any(part(states) for part in parts)

    def _conjunction(self) -> Holds:
        parts = [self._negation()]
        while self._take("AND"):
            parts.append(self._negation())
        return lambda states: all(part(states) for part in parts)

    def _negation(self) -> Holds:
        if self._take("NOT"):
            negated = self._negation()
            return lambda states: not negated(states)
        return self._atom()

    def _atom(self) -> Holds:
        if self._take("TRUE"):
            return lambda _: True
        if self._take("FALSE"):
            return lambda _: False
        if self._take("("):
            holds = self._disjunction()
            if not self._take(")"):
                raise AlarmRuleError(f"AlarmRule {self.text!r}: a closing parenthesis is missing")
            return holds
        if self._next == len(self._tokens):
            raise AlarmRuleError(f"AlarmRule {self.text!r} ends where a condition is expected")
        token = self._tokens[self._next]
        if token["call"] is None:
            raise AlarmRuleError(
                f"AlarmRule {self.text!r}: {token.group().strip()!r} is not done; "
                "it has ALARM(), OK(), INSUFFICIENT_DATA(), TRUE and FALSE"
            )
        self._next += 1
        state, child = token["call"].upper(), name_of(token["quoted"] or token["bare"])
        self.children.append(child)
        return lambda states: states.get(child) == state
