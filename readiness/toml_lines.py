"""On which line of a TOML file each key stands: ``tomllib`` does not tell. No line rather than a wrong one."""

from __future__ import annotations

import re
import tomllib
from typing import Any

Place = tuple[str | int, ...]
"""Keys and indices from the top of the file down to a value."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_STRINGS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r'"""(?:\\.|[^\\])*?"""(?:"{0,2})(?!")',
        r"'''.*?'''(?:'{0,2})(?!')",
        r'"(?:\\.|[^"\\\n])*"',
        r"'[^'\n]*'",
    )
)


def lines(text: str) -> dict[Place, int]:
    """Return the line, from 1, of each key, table and element of a list; nothing at all if the text puzzles it.

    Args:
        text: A TOML file.
    """
    try:
        expected = set(_places((), tomllib.loads(text)))
        found = _Scanner(text.replace("\r\n", "\n")).scan()
    except (ValueError, IndexError, RecursionError):
        return {}
    return found if set(found) == expected else {}


def _places(place: Place, value: Any) -> list[Place]:
    """Return the place of everything below a value, as ``tomllib`` read it."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    return [found for key, each in children for found in ((*place, key), *_places((*place, key), each))]


class _Scanner:
    """Reads valid TOML for the places of its keys alone."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Place, int] = {}
        self.counts: dict[Place, int] = {}
        """Array of tables -> how many there have been."""

    def scan(self) -> dict[Place, int]:
        """Go through the whole text."""
        table: Place = ()
        while self._skip(_BLANK) and self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.found

    def _header(self) -> Place:
        line = self._line()
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        *parents, last = self._key()
        self.at = self.text.index("]", self.at) + (2 if many else 1)
        place = self._note_parents((), tuple(parents), line)
        place = self._in_last(place)
        if not many:
            place = self._in_last((*place, last))
            self.found.setdefault(place, line)
            return place
        place = (*place, last)
        index = self.counts.get(place, 0)
        self.counts[place] = index + 1
        self.found.setdefault(place, line)
        self.found[(*place, index)] = line
        return (*place, index)

    def _in_last(self, place: Place) -> Place:
        """Return the newest table of an array of tables, which a header means that names the array."""
        return (*place, self.counts[place] - 1) if place in self.counts else place

    def _note_parents(self, place: Place, parents: tuple[str, ...], line: int) -> Place:
        """Note the tables that a dotted key or header makes on its way."""
        for part in parents:
            place = self._in_last((*place, part))
            self.found.setdefault(place, line)
        return place

    def _pair(self, table: Place) -> None:
        line = self._line()
        *parents, last = self._key()
        place = (*self._note_parents(table, tuple(parents), line), last)
        self.found.setdefault(place, line)
        self.at = self.text.index("=", self.at) + 1
        self._skip(_SPACE)
        self._value(place)

    def _value(self, place: Place) -> None:
        if self.text[self.at] == "[":
            self._elements(place)
        elif self.text[self.at] == "{":
            self._inline(place)
        elif not any(self._skip(string, must=True) for string in _STRINGS) and not self._skip(_SCALAR, must=True):
            raise ValueError(f"no value at {self.at}")

    def _elements(self, place: Place) -> None:
        self.at += 1
        index = 0
        while self._skip(_BLANK) and self.text[self.at] != "]":
            self.found[(*place, index)] = self._line()
            self._value((*place, index))
            self._skip(_BLANK)
            self.at += self.text[self.at] == ","
            index += 1
        self.at += 1

    def _inline(self, place: Place) -> None:
        self.at += 1
        while self._skip(_BLANK) and self.text[self.at] != "}":
            self._pair(place)
            self._skip(_BLANK)
            self.at += self.text[self.at] == ","
        self.at += 1

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip(_SPACE)
            begin = self.at
            if self._skip(_BARE, must=True):
                parts.append(self.text[begin : self.at])
            elif any(self._skip(string, must=True) for string in _STRINGS[2:]):
                parts.append(str(tomllib.loads(f"it = {self.text[begin : self.at]}")["it"]))
            else:
                raise ValueError(f"no key at {begin}")
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def _skip(self, pattern: re.Pattern[str], *, must: bool = False) -> bool:
        """Go past what *pattern* matches here; say whether that was anything, or nothing was needed."""
        match = pattern.match(self.text, self.at)
        if match is None:
            return not must
        self.at = match.end()
        return bool(match.group()) or not must

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1
