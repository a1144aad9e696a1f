"""Read a CloudFormation template, JSON or YAML, and name what is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from readiness.errors import ReadinessError

OUTPUTS = "Outputs"
PARAMETERS = "Parameters"
WHOLE_TEMPLATE = ""
"""Stands for the template itself where a part of it is named."""

_EXTENSIONS = (".json", ".yaml", ".yml", ".template")


class NotATemplateError(ReadinessError):
    """A file that should have been a template could not be read as one."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A resource, an output or a parameter, as the template spells it.

    Attributes:
        kind: The resource's type, or ``Outputs`` or ``Parameters``.
        name: Its logical id.
        body: Everything below its name.
        template: The template it stands in, for what it refers to.
    """

    kind: str
    name: str
    body: Mapping[str, Any]
    template: Template

    @property
    def properties(self) -> Mapping[str, Any]:
        """A resource's properties; empty if it has none, or if they are no table."""
        properties = self.body.get("Properties")
        return properties if isinstance(properties, Mapping) else {}

    @property
    def key(self) -> str:
        """What findings call it inside the template: the logical id, or ``Outputs.<name>``."""
        return f"{self.kind}.{self.name}" if self.kind in (OUTPUTS, PARAMETERS) else self.name


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template that was read.

    Attributes:
        name: Its file name, or its path below the folder it was found in.
        path: Where it was read.
        digest: SHA-256 of its bytes.
        body: What is in it.
    """

    name: str
    path: Path
    digest: str
    body: Mapping[str, Any]

    @cached_property
    def resources(self) -> dict[str, Part]:
        """Logical id -> resource."""
        return {part.name: part for part in self._section("Resources") if isinstance(part.body.get("Type"), str)}

    @cached_property
    def parameters(self) -> dict[str, Part]:
        """Name -> parameter."""
        return {part.name: part for part in self._section(PARAMETERS)}

    def parts(self) -> Iterator[Part]:
        """Yield every resource, parameter and output."""
        yield from self.resources.values()
        yield from self.parameters.values()
        yield from self._section(OUTPUTS)

    def of_kind(self, *kinds: str) -> list[Part]:
        """Return the resources of these types."""
        return [part for part in self.resources.values() if part.kind in kinds]

    def _section(self, section: str) -> Iterator[Part]:
        entries = self.body.get(section)
        for name, body in (entries if isinstance(entries, Mapping) else {}).items():
            if isinstance(body, Mapping):
                kind = str(body.get("Type")) if section == "Resources" else section
                yield Part(kind=kind, name=str(name), body=body, template=self)


def construct_path(part: Part) -> str:
    """Return where the CDK app made a part, without the trailing ``/Resource``; "" if the template does not say."""
    metadata = part.body.get("Metadata")
    path = metadata.get("aws:cdk:path") if isinstance(metadata, Mapping) else None
    return path.removesuffix("/Resource") if isinstance(path, str) else ""


def read_template(path: Path, name: str | None = None) -> Template:
    """Read a template.

    Args:
        path: A JSON or YAML file.
        name: What to call it; default: its file name.

    Raises:
        NotATemplateError: it cannot be read, is neither JSON nor YAML, or has no table ``Resources``.
    """
    try:
        data = path.read_bytes()
        body = _parse(data.decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise NotATemplateError(f"{path}: cannot be read: {error}", hint="Name a CloudFormation template.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise NotATemplateError(f"{path}: is neither JSON nor YAML: {error}", hint="Mend the template.") from error
    if not isinstance(body, Mapping) or not isinstance(body.get("Resources"), Mapping):
        raise NotATemplateError(f"{path}: has no table `Resources`", hint="Name a CloudFormation template.")
    return Template(name=name or path.name, path=path, digest="sha256:" + hashlib.sha256(data).hexdigest(), body=body)


def find_templates(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the templates that *paths* name: each file as it is, and of each folder the files that look like one.

    Of a cloud assembly these are its ``*.template.json``; elsewhere, every JSON or YAML file with ``Resources``.

    Raises:
        NotATemplateError: a path does not exist, or a folder holds no template.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise NotATemplateError(f"{path}: there is no such file or folder", hint="Name a template or a folder.")
        below = sorted(_below(path)) if path.is_dir() else [path]
        if not below:
            raise NotATemplateError(f"{path}: holds no template", hint="Name a folder with *.template.json in it.")
        found += [each for each in below if each not in found]
    return tuple(found)


def names(paths: Sequence[Path]) -> dict[str, Path]:
    """Return a name for each template: its file name or, where two share one, as much of the path as it takes."""
    named: dict[str, Path] = {}
    for path in paths:
        parts = path.absolute().parts
        length = 1
        while "/".join(parts[-length:]) in named and length < len(parts):
            length += 1
        named["/".join(parts[-length:])] = path
    return named


def _below(folder: Path) -> Iterator[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix in _EXTENSIONS]
    synthesized = [path for path in files if path.name.endswith((".template.json", ".template.yaml"))]
    if synthesized:
        yield from synthesized
        return
    for path in files:
        try:
            read_template(path)
        except NotATemplateError:
            continue
        yield path


def _parse(text: str) -> Any:
    if text.lstrip().startswith("{"):
        return json.loads(text)
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.CSafeLoader):
    """YAML as CloudFormation reads it: ``!Ref`` and its like, and dates that stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    """Return ``!Sub x`` as ``{"Fn::Sub": x}``.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
    """
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
