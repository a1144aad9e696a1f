"""The front matter of a runbook: found, read, and changed in one place while every other byte stays as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from readiness.errors import ReadinessError

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(?P<front>.*?)^---[ \t]*(?:\r?\n|\Z)", re.MULTILINE | re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/():-]*(?<![ :])")


class FrontError(ReadinessError):
    """There is no front matter, or it cannot be read or changed."""


@dataclass(frozen=True)
class Split:
    """A runbook's text, taken apart; the three parts together are the text."""

    before: str
    front: str
    after: str
    body: str
    """What follows the front matter: the end of ``after``."""


def split(text: str) -> Split | None:
    """Take a text apart; None = it has no front matter."""
    match = _FRONT.match(text)
    if match is None:
        return None
    begin, end = match.span("front")
    return Split(before=text[:begin], front=text[begin:end], after=text[end:], body=text[match.end() :])


def table(text: str) -> dict[str, Any]:
    """Return what the front matter of a text says.

    Raises:
        FrontError: there is none, or it is no table.
    """
    parts = split(text)
    if parts is None:
        raise FrontError("has no front matter.", hint="Begin it with a YAML table between two lines of `---`.")
    try:
        read = yaml.safe_load(parts.front)
    except yaml.YAMLError as error:
        raise FrontError(f"its front matter is no YAML: {error}", hint="Mend it.") from error
    if not isinstance(read, dict):
        raise FrontError("its front matter is no table.", hint="Write `key: value` lines.")
    return read


def with_value(text: str, key: str, value: Mapping[str, Any] | date) -> str:
    """Return a text whose front matter has another value for a key; what stood there goes, all else stays.

    Raises:
        FrontError: the front matter is written in a way that cannot be changed by itself.
    """
    return _edited(text, key, value, lambda front, end: _put_value(front, key, value, end))


def with_item(text: str, key: str, position: int | None, value: Mapping[str, Any]) -> str:
    """Return a text whose front matter has another item in the list of a key.

    Args:
        text: The runbook's text.
        key: Whose value is a list.
        position: Of the item that goes; None = the new one is appended.
        value: The new item.

    Raises:
        FrontError: the front matter is written in a way that cannot be changed by itself.
    """
    items = list(table(text).get(key) or [])
    items[len(items) if position is None else position : None if position is None else position + 1] = [dict(value)]
    return _edited(text, key, items, lambda front, end: _put_item(front, key, position, value, end))


def _edited(text: str, key: str, wanted: Any, edit: Callable[[str, str], str]) -> str:
    """Edit the front matter, and see that it says what was wanted, and nothing else that is new."""
    parts, before = split(text), table(text)
    if parts is None:
        raise FrontError("has no front matter.")
    end = "\r\n" if "\r\n" in text else "\n"
    front = parts.front if parts.front.endswith("\n") or not parts.front else parts.front + end
    written = parts.before + edit(front, end) + parts.after
    try:
        after = table(written)
    except FrontError:
        after = {}
    if after != {**before, key: wanted} or split(written).body != parts.body:  # type: ignore[union-attr]
        raise FrontError(
            f"its front matter spells {key!r} in a way that cannot be changed by itself.",
            hint=f"Write `{key}:` as plain YAML lines, one key a line, and try again.",
        )
    return written


# --- the edits -------------------------------------------------------------------------------------------------------


def _put_value(front: str, key: str, value: Mapping[str, Any] | date, end: str) -> str:
    node = _node(front, key)
    if node is None:
        return front + _under(key, value, end)
    if not isinstance(value, Mapping):
        return front[: node.start_mark.index] + _scalar(value) + front[_end(node) :]
    if isinstance(node, yaml.MappingNode) and node.value:
        here = _flow(value) if node.flow_style else _block(value, node.start_mark.column, end)
        return front[: node.start_mark.index] + here + front[_end(node) :]
    return _below_the_key(front, node, _indented(value, "  ", end), end)


def _put_item(front: str, key: str, position: int | None, value: Mapping[str, Any], end: str) -> str:
    node = _node(front, key)
    if node is None:
        return f"{front}{key}:{end}- {_block(value, 2, end)}{end}"
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        return _below_the_key(front, node, f"- {_block(value, 2, end)}{end}", end)
    item = node.value[-1 if position is None else position]
    if position is not None:
        here = _flow(value) if node.flow_style else _block(value, item.start_mark.column, end)
        return front[: item.start_mark.index] + here + front[_end(item) :]
    if node.flow_style:
        return f"{front[: _end(item)]}, {_flow(value)}{front[_end(item) :]}"
    at = _next_line(front, _end(item))
    dash = " " * node.start_mark.column
    return f"{front[:at]}{dash}- {_block(value, node.start_mark.column + 2, end)}{end}{front[at:]}"


def _below_the_key(front: str, node: yaml.Node, lines: str, end: str) -> str:
    """Drop what stands behind a key, and write lines below it; a comment behind it stays there."""
    head, rest = front[: node.start_mark.index].rstrip(" "), front[_end(node) :]
    at = _next_line(rest, 0)
    return head + (rest[:at] or end) + lines + rest[at:]


def _node(front: str, key: str) -> yaml.Node | None:
    root = yaml.compose(front)
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise FrontError("its front matter is written in one line.", hint="Write `key: value` lines.")
    return next((value for name, value in root.value if name.value == key), None)


def _end(node: yaml.Node) -> int:
    """Return where a node's text ends; a block's own mark lies behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _next_line(text: str, index: int) -> int:
    newline = text.find("\n", index)
    return len(text) if newline < 0 else newline + 1


# --- how values are spelled ------------------------------------------------------------------------------------------


def _under(key: str, value: Mapping[str, Any] | date, end: str) -> str:
    if isinstance(value, Mapping):
        return f"{key}:{end}{_indented(value, '  ', end)}"
    return f"{key}: {_scalar(value)}{end}"


def _indented(value: Mapping[str, Any], indent: str, end: str) -> str:
    return f"{indent}{_block(value, len(indent), end)}{end}"


def _block(value: Mapping[str, Any], column: int, end: str) -> str:
    """Return a table as lines; the first is not indented, the others are."""
    return (end + " " * column).join(f"{name}: {_scalar(each)}" for name, each in value.items())


def _flow(value: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {_quoted(each)}" for name, each in value.items()) + "}"


def _scalar(value: Any) -> str:
    """Return a value as YAML spells it, plain where that reads back as the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    text = str(value)
    return text if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text else _quoted(text)


def _quoted(value: Any) -> str:
    if isinstance(value, bool | date):
        return _scalar(value)
    quoted: str = yaml.safe_dump(str(value), default_style='"', allow_unicode=True, width=10_000)
    return quoted.strip()
