"""On which line of a template each resource, output and parameter begins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

import yaml

from readiness.scan.template import OUTPUTS, PARAMETERS

_SECTIONS: Final = {"Resources": "", OUTPUTS: f"{OUTPUTS}.", PARAMETERS: f"{PARAMETERS}."}
"""Section -> what stands before a name in the key by which findings call a part."""

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


def lines_of(text: str) -> dict[str, int]:
    """Return the line, counted from one, of each part of a template; empty if the text cannot be followed.

    Args:
        text: JSON or YAML. JSON is walked rather than parsed as YAML, which would take longer than the scanners.
    """
    try:
        return dict(_in_json(text) if text.lstrip().startswith("{") else _in_yaml(text))
    except (ValueError, IndexError, RecursionError, yaml.YAMLError):
        return {}


def _in_json(text: str) -> Iterator[tuple[str, int]]:
    line, counted = 1, 0
    for section, start in _entries(text, _BLANK.match(text, 0).end()):  # type: ignore[union-attr] # matches nothing too
        if section not in _SECTIONS or text[start] != "{":
            continue
        for name, begins in _entries(text, start):
            # The name stands before its value, and on the line of the colon or above: count up to the name itself.
            at = text.rfind(json.dumps(name, ensure_ascii=False), counted, begins)
            at = at if at >= 0 else begins
            line, counted = line + text.count("\n", counted, at), at
            yield _SECTIONS[section] + name, line


def _entries(text: str, at: int) -> Iterator[tuple[str, int]]:
    """Yield each key of the object that begins at a position, and where its value begins."""
    if text[at] != "{":
        raise ValueError("is no object")
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, end = _DECODER.raw_decode(text, at)
        at = _skip(text, end)
        if text[at] != ":":
            raise ValueError("has no value")
        value = _skip(text, at + 1)
        yield str(name), value
        _, end = _DECODER.raw_decode(text, value)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _in_yaml(text: str) -> Iterator[tuple[str, int]]:
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    for section, entries in root.value if isinstance(root, yaml.MappingNode) else ():
        if section.value in _SECTIONS and isinstance(entries, yaml.MappingNode):
            for name, _ in entries.value:
                yield _SECTIONS[section.value] + str(name.value), name.start_mark.line + 1
