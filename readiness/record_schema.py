"""The JSON schema of any record, in the words of its docstring."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from datetime import timedelta
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from readiness.model import spell_duration

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DURATION = r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"
_ENTRY = re.compile(r"    (\w+): (.*)")


def schema_of(record: type, mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any]:
    """Return the schema of what a record is read from, or of what it is written as."""
    made: dict[str, Any] = _without_bounds(TypeAdapter(record).json_schema(schema_generator=_Generator, mode=mode))
    return made


def described(record: type) -> dict[str, str]:
    """Return what each field of a record means: by the `Attributes` of its docstring, or the docstring below the field.

    A record that extends another one has the other one's fields too.
    """
    words: dict[str, str] = {}
    for each in reversed(record.__mro__[:-1]):
        words |= _below_the_fields(each)
        words |= _listed(each)
    return words


def summary(record: type) -> str:
    """Return what a record is: its docstring without the list of its attributes."""
    return _plain(inspect.cleandoc(record.__doc__ or "").partition("\nAttributes:\n")[0])


def _listed(record: type) -> dict[str, str]:
    words: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(record.__doc__ or "").partition("Attributes:\n")[2].splitlines():
        if entry := _ENTRY.fullmatch(line):
            name = entry[1]
            words[name] = entry[2]
        elif name and line.startswith("        "):
            words[name] += " " + line.strip()
        else:
            name = ""
    return {name: _plain(text) for name, text in words.items()}


def _below_the_fields(record: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(body, ast.ClassDef)
    words = {}
    for field, said in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant):
            words[ast.unparse(field.target)] = _plain(str(said.value.value))
    return words


def _plain(text: str) -> str:
    """Return a docstring's words in one line for each paragraph, with Markdown's code spans."""
    paragraphs = [" ".join(part.split()) for part in text.replace("``", "`").split("\n\n")]
    return "\n\n".join(filter(None, paragraphs))


class _Generator(GenerateJsonSchema):
    """pydantic's schema in the words of the records, for TOML: durations as a plan spells them, and no null."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        made = super().dataclass_schema(schema)
        made["description"] = summary(schema["cls"])
        words = described(schema["cls"])
        for field in _fields(schema):
            key = _spelled(field)
            if key in made.get("properties", {}) and field["name"] in words:
                made["properties"][key] = _with_words(made["properties"][key], words[field["name"]])
        return made

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        return {"type": "string", "pattern": DURATION}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if "default_factory" in schema:
            return {**made, "default": {}}  # tables alone are made by a factory
        return made if made.get("default", "") is not None else {k: v for k, v in made.items() if k != "default"}

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return spell_duration(dft) if dft else "0s"
        return super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _without_bounds(made: Any) -> Any:
    """Return a schema without what pydantic says of a duration's least value, which JSON schema has no word for."""
    if isinstance(made, dict):
        kept = made.items() if made.get("pattern") != DURATION else [each for each in made.items() if each[0] != "ge"]
        return {name: _without_bounds(value) for name, value in kept}
    return [_without_bounds(each) for each in made] if isinstance(made, list) else made


def _fields(schema: core_schema.DataclassSchema) -> list[core_schema.DataclassField]:
    """Return the fields of a record; what wraps them (checks of the whole) is taken off."""
    inner: Any = schema["schema"]
    while "fields" not in inner:
        inner = inner["schema"]
    return list(inner["fields"])


def _spelled(field: core_schema.DataclassField) -> str:
    """Return how the plan spells a field."""
    alias: Any = field.get("validation_alias", field["name"])
    while isinstance(alias, list):
        alias = alias[0]
    return str(alias)


def _with_words(made: dict[str, Any], words: str) -> dict[str, Any]:
    return {"description": words, **{name: value for name, value in made.items() if name != "description"}}
