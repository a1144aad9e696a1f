"""The reference page of the plan: every key of every table, made from the plan's schema. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from readiness.record_schema import DURATION
from readiness.report.text import table

_IDENTIFIER = r"^[a-z][a-z0-9-]{0,38}$"
_REF = "#/$defs/"
_HEAD = """\
# The plan, key by key

Made by `readiness plan --reference` from the records that read the plan; `readiness plan --schema` prints the same as a
JSON schema, which lies in `readiness/data/plan.schema.json`. An editor with a TOML language server (taplo) checks and
completes the keys by the first line of `readiness.toml`.

A plan is a TOML file. Unknown keys, NaN and infinity are refused. Every mistake is told with file, line, table and key,
what was found and what is allowed, all mistakes at once, and ends with exit code 3.

- A **duration** is a text with its unit: `"250ms"`, `"30s"`, `"1h30m"`, `"2d"`. A bare number is refused.
- A **ratio** is a number from 0 to 1.
- An **identifier** is lower-case letters, digits and hyphens, begins with a letter, and has at most 39 characters.
- **required** = there is no default. **absent** = without the key there is none.
"""


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table of the plan: how TOML spells it, and its schema."""

    heading: str
    schema: Mapping[str, Any]


@dataclass(kw_only=True)
class _Walk:
    """Goes through the tables in the order of the plan; a record that stands in several places is told once."""

    defs: Mapping[str, Any]
    anchors: dict[str, str] = field(default_factory=dict)
    tables: list[_Table] = field(default_factory=list)

    def visit(self, path: str, schema: Mapping[str, Any], *, many: bool = False) -> None:
        """Note a table and those below it."""
        heading = f"`[[{path}]]`" if many else f"`[{path}]`"
        schema = {"properties": {}, **schema}
        self.tables.append(_Table(heading=heading if path else "Top level", schema=schema))
        for key, each in schema["properties"].items():
            below = f"{path}.{key}" if path else key
            for name, inner, listed in self.records(each):
                if name in self.anchors:
                    continue
                where = below + (
                    ""
                    if listed in ("one", "listed")
                    else f".{_NAMES.get(key, 'name')}"
                    if listed == "named"
                    else f".{listed}"
                )
                kind = inner.get("properties", {}).get("kind", {}).get("const")
                self.anchors[name] = anchor(f"`[{where}]`" + (f" of kind `{kind}`" if kind else ""))
                if kind:
                    self.visit_kind(where, kind, inner, many=listed == "listed")
                else:
                    self.visit(where, inner, many=listed == "listed")

    def visit_kind(self, path: str, kind: str, schema: Mapping[str, Any], *, many: bool) -> None:
        """Note one of several records that may stand in a place."""
        at = len(self.tables)
        self.visit(path, schema, many=many)
        self.tables[at] = _Table(heading=f"{self.tables[at].heading} of kind `{kind}`", schema=schema)

    def records(self, schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
        """Yield the records that may stand at a key: name, schema, and whether one, a list, or one for each name."""
        for inner, listed in (
            (schema, "one"),
            (schema.get("items", {}), "listed"),
            (_of_names(schema), "named"),
        ):
            for each in inner.get("oneOf", [inner]):
                name = each.get("$ref", "").removeprefix(_REF)
                if name and self.defs[name].get("type") == "object":
                    yield name, self.defs[name], listed
        for gate, settings in schema.get("properties", {}).items():
            if settings.get("properties"):
                yield f"{_SETTINGS}{gate}", settings, gate


_NAMES = {"owners": "<role>"}
_SETTINGS = "settings of "


def _of_names(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        return values
    return next(iter(schema.get("patternProperties", {}).values()), {})  # names that have to look a certain way


def anchor(heading: str) -> str:
    """Return what a heading is called in a link, by GitHub's rule."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page(schema: Mapping[str, Any]) -> str:
    """Return the page for the schema of a plan."""
    walk = _Walk(defs=schema["$defs"])
    walk.visit("", schema)
    contents = "\n".join(f"- [{each.heading}](#{anchor(each.heading)})" for each in walk.tables)
    sections = [_section(each, walk) for each in walk.tables]
    return "\n\n".join((_HEAD.rstrip(), contents, *sections)) + "\n"


def _section(each: _Table, walk: _Walk) -> str:
    required = each.schema.get("required", ())
    rows = []
    for key, schema in each.schema["properties"].items():
        default = "required" if key in required else _default(schema, walk)
        rows.append((f"`{key}`", *_kind(schema, walk), default, schema.get("description", "")))
    words = each.schema.get("description", "")
    return "\n\n".join(
        filter(None, (f"## {each.heading}", words, table(("key", "type", "allowed", "default", "meaning"), rows)))
    )


def _default(schema: Mapping[str, Any], walk: _Walk) -> str:
    """Return what a key is that is left out."""
    if "default" not in schema:
        return "absent"
    return "its defaults" if schema["default"] == {} and list(walk.records(schema)) else _literal(schema["default"])


def _literal(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _kind(schema: Mapping[str, Any], walk: _Walk) -> tuple[str, str]:
    """Return what a value is, and what of it is allowed."""
    names = [name for name, _, _ in walk.records(schema)]
    links = ", ".join(f"[{_label(name, walk)}](#{walk.anchors[name]})" for name in names if name in walk.anchors)
    if links:
        form = (
            "list of tables" if "items" in schema else "tables by name" if schema.get("type") == "object" else "table"
        )
        return form, links + (", at least one" if schema.get("minItems") else "")
    if "$ref" in schema:
        return _kind(walk.defs[schema["$ref"].removeprefix(_REF)], walk)
    return _plain_kind(schema, walk)


def _label(name: str, walk: _Walk) -> str:
    kind = walk.defs.get(name, {}).get("properties", {}).get("kind", {}).get("const")
    if name.startswith(_SETTINGS):
        return f"`{name.removeprefix(_SETTINGS)}`"
    return f"`{kind}`" if kind else "keys"


def _plain_kind(schema: Mapping[str, Any], walk: _Walk) -> tuple[str, str]:
    if "const" in schema:
        return "text", _literal(schema["const"])
    if "enum" in schema:
        return "text", ", ".join(_literal(value) for value in schema["enum"])
    kind = schema["type"]
    if kind == "array":
        inner, allowed = _kind(schema["items"], walk)
        return f"list of {_PLURALS.get(inner, inner)}", "; ".join(
            filter(None, (allowed, "at least one" if schema.get("minItems") else ""))
        )
    if kind == "object":
        inner, allowed = _kind(_of_names(schema), walk)
        names = schema.get("propertyNames", {})
        keys = _kind(names, walk)[1] if names else ""
        return f"table: name -> {inner}", "; ".join(filter(None, (f"names: {keys}" if keys else "", allowed)))
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "boolean":
        return "true or false", ""
    pattern = schema.get("pattern", "")
    if pattern == DURATION:
        return "duration", ""
    return ("identifier", "") if pattern == _IDENTIFIER else ("text", f"`{pattern}`" if pattern else "")


_PLURALS = {
    "text": "texts",
    "identifier": "identifiers",
    "whole number": "whole numbers",
    "list of texts": "lists of texts",
}


def _number(schema: Mapping[str, Any]) -> tuple[str, str]:
    whole = schema["type"] == "integer"
    if (schema.get("minimum"), schema.get("maximum")) == (0, 1) and not whole:
        return "ratio", ""
    bounds = []
    for name, word in (
        ("exclusiveMinimum", "above"),
        ("minimum", "at least"),
        ("exclusiveMaximum", "below"),
        ("maximum", "at most"),
    ):
        if name in schema:
            bounds.append(f"{word} {schema[name]:g}")
    return ("whole number" if whole else "number"), ", ".join(bounds)
