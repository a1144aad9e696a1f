"""Where in the records a fault of the plan lies: its key as TOML spells it, and the keys that its table has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AliasChoices


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A place in the plan.

    Attributes:
        key: ``objectives[2].threshold``; tags of unions, which no file holds, are left out.
        table: The key of the table that it is in; empty = the top level.
        last: The last part of the key.
        keys: The keys that the table may have, as the plan spells them; of a free table, none.
    """

    key: str
    table: str
    last: str
    keys: frozenset[str]


def spot(kind: Any, location: Sequence[str | int], prefix: str = "") -> Spot:
    """Return where a location of pydantic's is.

    Args:
        kind: The record that was read.
        location: Keys, indices and tags of unions, from the top down.
        prefix: The table that the record was found under.
    """
    key, table, last, keys = prefix, prefix, "", frozenset[str]()
    here = kind
    for part in location:
        chosen = _tagged(here, part)
        if chosen is not None:
            here = chosen
            continue
        record = _record(here)
        table, last = key, str(part)
        keys = frozenset(spelled(record)) if record is not None else frozenset()
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else part
        here = _below(here, part)
    return Spot(key=key, table=table, last=last, keys=keys)


def spelled(record: Any) -> dict[str, str]:
    """Return the keys of a record as the plan spells them, each with the field's name."""
    hints = get_type_hints(record, include_extras=True)
    return {_alias(hints[field.name]) or field.name: field.name for field in fields(record)}


def _alias(hint: Any) -> str | None:
    for extra in getattr(hint, "__metadata__", ()):
        alias = getattr(extra, "validation_alias", None)
        if isinstance(alias, AliasChoices):
            return str(alias.choices[0])
    return None


def _members(hint: Any) -> Iterator[Any]:
    """Yield what a value may be, without what only bounds it."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _members(get_args(hint)[0])
    elif origin in (Union, UnionType):
        for each in get_args(hint):
            yield from _members(each)
    else:
        yield hint


def _record(hint: Any) -> Any:
    return next((each for each in _members(hint) if is_dataclass(each)), None)


def _tagged(hint: Any, part: str | int) -> Any:
    """Return the member of a tagged union that *part* names; None if it is no tag."""
    members = [each for each in _members(hint) if is_dataclass(each)]
    if len(members) < 2:
        return None
    return next((each for each in members if part in _tags(each)), None)


def _tags(record: Any) -> tuple[Any, ...]:
    kind = get_type_hints(record).get("kind")
    return get_args(kind) if get_origin(kind) is Literal else ()


def _below(hint: Any, part: str | int) -> Any:
    """Return what the records say of the value at one more key or index."""
    for each in _members(hint):
        if is_dataclass(each):
            name = spelled(each).get(str(part), str(part))
            return get_type_hints(each, include_extras=True).get(name)
        arguments = get_args(each)
        if arguments:
            return arguments[-1] if get_origin(each) is dict else arguments[0]
    return None
