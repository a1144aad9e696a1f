"""CloudFormation templates: reading one, checking its parameters, and evaluating its intrinsic functions.

Pure: what a template needs from outside (resources, exports, availability zones) is asked of a ``Surroundings``.
The functions are those of
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

Json = Any
"""A value of a template: what JSON can hold."""

NO_VALUE = object()
"""What ``Ref: AWS::NoValue`` evaluates to: the property or list item that holds it is left out."""

_SECTIONS = frozenset(
    [
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Mappings",
        "Conditions",
        "Rules",
        "Resources",
        "Outputs",
    ]
)
_RESOURCE_ATTRIBUTES = frozenset(
    ["Type", "Properties", "DependsOn", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy"]
)
_SHORT_FORM_PREFIXES = {"Ref": "Ref", "Condition": "Condition"}
_SUBSTITUTION = re.compile(r"\$\{(!?)([^}]*)\}")
_RULE_FUNCTIONS = frozenset({"Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn"})


class TemplateError(Exception):
    """A template, or a value given for one of its parameters, is wrong; the message names the place."""


class Surroundings(Protocol):
    """What a template's functions may ask of the stack and account around it."""

    def reference(self, logical_id: str) -> Json:
        """Return what ``Ref`` gives for a resource."""

    def attribute(self, logical_id: str, name: str) -> Json:
        """Return what ``Fn::GetAtt`` gives for a resource."""

    def exported(self, name: str) -> str:
        """Return the value of an export, for ``Fn::ImportValue``."""

    def availability_zones(self, region: str) -> list[str]:
        """Return the zones of a region, for ``Fn::GetAZs``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceDefinition:
    """One entry of a template's ``Resources``."""

    logical_id: str
    type: str
    properties: Mapping[str, Json]
    depends_on: tuple[str, ...]
    condition: str | None
    deletion_policy: Json
    update_replace_policy: Json
    metadata: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template that was read and whose outer form is right."""

    text: str
    document: Mapping[str, Json]
    resources: Mapping[str, ResourceDefinition]

    def section(self, name: str) -> Mapping[str, Json]:
        """Return a top-level section, empty if the template has none."""
        return self.document.get(name) or {}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms (``!Ref``, ``!GetAtt``, ...)."""


def _construct_short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Json]:
    name = _SHORT_FORM_PREFIXES.get(suffix, f"Fn::{suffix}")
    value: Json
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if name == "Fn::GetAtt":
            value = str(value).split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


_Loader.add_multi_constructor("!", _construct_short_form)
# A template's version (2010-09-09) is text; YAML would read it as a date.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_template(text: str) -> Template:
    """Read a template in JSON or YAML and check its outer form.

    Raises:
        TemplateError: It can't be read, or has a section or attribute that is not done here.
    """
    document = _parse(text)
    if unknown := sorted(set(document) - _SECTIONS):
        raise TemplateError(f"template sections are not done by the embedded AWS: {', '.join(unknown)}")
    entries = document.get("Resources")
    if not isinstance(entries, dict) or not entries:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    resources = {logical_id: _resource(logical_id, entry) for logical_id, entry in entries.items()}
    template = Template(text=text, document=document, resources=resources)
    _check_references(template)
    return template


def _parse(text: str) -> dict[str, Json]:
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, Loader=_Loader)
    except (ValueError, yaml.YAMLError) as error:
        raise TemplateError(f"Template format error: the text is neither JSON nor YAML: {error}") from error
    if not isinstance(document, dict):
        raise TemplateError("Template format error: the template is not an object.")
    return document


def _resource(logical_id: str, entry: Json) -> ResourceDefinition:
    if not isinstance(entry, dict) or not isinstance(entry.get("Type"), str):
        raise TemplateError(
            f"Template format error: [/Resources/{logical_id}] Every Resources object must have a Type."
        )
    if not re.fullmatch(r"[A-Za-z0-9]+", logical_id):
        raise TemplateError(f"Template format error: Resource name {logical_id} is non alphanumeric.")
    if unknown := sorted(set(entry) - _RESOURCE_ATTRIBUTES):
        raise TemplateError(
            f"resource attributes are not done by the embedded AWS: {', '.join(unknown)} of {logical_id}"
        )
    depends_on = entry.get("DependsOn", [])
    return ResourceDefinition(
        logical_id=logical_id,
        type=entry["Type"],
        properties=entry.get("Properties") or {},
        depends_on=(depends_on,) if isinstance(depends_on, str) else tuple(depends_on),
        condition=entry.get("Condition"),
        deletion_policy=entry.get("DeletionPolicy"),
        update_replace_policy=entry.get("UpdateReplacePolicy"),
        metadata=entry.get("Metadata"),
    )


def _check_references(template: Template) -> None:
    known = {*template.resources, *template.section("Parameters")}
    nodes: list[Json] = [resource.properties for resource in template.resources.values()]
    named = {name for node in [*nodes, template.section("Outputs")] for name in _named_in(node)}
    named |= {name for resource in template.resources.values() for name in resource.depends_on}
    if missing := sorted(named - known):
        raise TemplateError(
            f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] in the template"
        )
    for resource in template.resources.values():
        if resource.condition and resource.condition not in template.section("Conditions"):
            raise TemplateError(f"Template format error: Unresolved condition {resource.condition} of a resource")


def _named_in(node: Json) -> Iterator[str]:
    """Names of resources and parameters that a value refers to, whatever its conditions say."""
    if isinstance(node, list):
        for item in node:
            yield from _named_in(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref" and len(node) == 1:
                yield from _named_by_reference(value)
            elif key == "Fn::GetAtt" and len(node) == 1:
                yield (value.split(".")[0] if isinstance(value, str) else value[0])
            elif key == "Fn::Sub" and len(node) == 1:
                yield from _named_by_sub(value)
            else:
                yield from _named_in(value)


def _named_by_reference(name: Json) -> Iterator[str]:
    if isinstance(name, str) and not name.startswith("AWS::"):
        yield name


def _named_by_sub(value: Json) -> Iterator[str]:
    text, own = (value, {}) if isinstance(value, str) else (value[0], value[1])
    yield from _named_in(list(own.values()))
    for literal, name in _SUBSTITUTION.findall(text):
        first = name.strip().split(".")[0]
        if not literal and first not in own and not first.startswith("AWS::"):
            yield first


def parameter_values(
    template: Template,
    given: Mapping[str, str],
    previous: Mapping[str, str],
    stored_parameter: Callable[[str], str],
) -> dict[str, Json]:
    """Return the value of every parameter of a template, checked against its declaration.

    Args:
        template: The template.
        given: Values by name.
        previous: Values for parameters that are to keep theirs (``UsePreviousValue``).
        stored_parameter: Reads an SSM parameter, for the ``AWS::SSM::Parameter::Value`` types.

    Raises:
        TemplateError: A value is missing, unknown or not allowed.
    """
    declared = template.section("Parameters")
    if unknown := sorted(set(given) - set(declared)):
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    raw: dict[str, Json] = {}
    for name, declaration in declared.items():
        raw[name] = given.get(name, previous.get(name, declaration.get("Default")))
    if missing := sorted(name for name, value in raw.items() if value is None):
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    return {name: _typed_parameter(name, declared[name], str(raw[name]), stored_parameter) for name in declared}


def _typed_parameter(
    name: str, declaration: Mapping[str, Json], raw: str, stored_parameter: Callable[[str], str]
) -> Json:
    kind = str(declaration.get("Type", "String"))
    stored = re.fullmatch(r"AWS::SSM::Parameter::Value<(.+)>", kind)
    _check_parameter(name, declaration, raw)
    if stored:
        raw, kind = stored_parameter(raw), stored[1]
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [part.strip() for part in raw.split(",")] if raw else []
    if kind == "Number":
        _number(name, raw)
    return raw


def _number(name: str, raw: str) -> float:
    try:
        return float(raw)
    except ValueError as error:
        raise TemplateError(f"Parameter '{name}' must be a number: {raw}") from error


def _check_parameter(name: str, declaration: Mapping[str, Json], raw: str) -> None:
    allowed = declaration.get("AllowedValues")
    if allowed is not None and raw not in [str(value) for value in allowed]:
        raise TemplateError(f"Parameter '{name}' must be one of AllowedValues")
    pattern = declaration.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, raw):
        raise TemplateError(f"Parameter '{name}' must match pattern {pattern}")
    limits: tuple[tuple[str, Callable[[], float], int], ...] = (
        ("MinLength", lambda: len(raw), 1),
        ("MaxLength", lambda: len(raw), -1),
        ("MinValue", lambda: _number(name, raw), 1),
        ("MaxValue", lambda: _number(name, raw), -1),
    )
    for key, measured, sign in limits:
        if key in declaration and sign * (measured() - float(declaration[key])) < 0:
            raise TemplateError(f"Parameter '{name}' violates {key} {declaration[key]}")


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """Evaluates the values of one template.

    Attributes:
        template: The template.
        parameters: Value of every parameter.
        pseudo: Value of every pseudo parameter (``AWS::Region``, ...).
        surroundings: Where resources, exports and zones come from.
    """

    template: Template
    parameters: Mapping[str, Json]
    pseudo: Mapping[str, Json]
    surroundings: Surroundings
    _conditions: dict[str, bool] = field(default_factory=dict)

    def value(self, node: Json) -> Json:
        """Return a value with all its functions evaluated; parts that are ``AWS::NoValue`` are left out."""
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        function = _function_of(node)
        if function is None:
            evaluated = {key: self.value(item) for key, item in node.items()}
            return {key: item for key, item in evaluated.items() if item is not NO_VALUE}
        return _FUNCTIONS[function](self, node[function])

    def condition(self, name: str) -> bool:
        """Return whether a condition of the template holds."""
        if name not in self._conditions:
            definitions = self.template.section("Conditions")
            if name not in definitions:
                raise TemplateError(f"Template error: the condition {name} is not defined")
            self._conditions[name] = self.truth(definitions[name])
        return self._conditions[name]

    def truth(self, node: Json) -> bool:
        """Return the value of a condition function."""
        value = self.value(node)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise TemplateError(f"Template error: {json.dumps(node)} is not a condition")
        return value

    def included(self) -> list[ResourceDefinition]:
        """Return the resources whose condition holds."""
        return [r for r in self.template.resources.values() if r.condition is None or self.condition(r.condition)]

    def dependencies(self, resource: ResourceDefinition) -> set[str]:
        """Return the logical ids of the resources that a resource needs first."""
        present = {other.logical_id for other in self.included()}
        named = {*_named_in(self._chosen(dict(resource.properties))), *resource.depends_on}
        return (named & present) - {resource.logical_id}

    def creation_order(self) -> list[ResourceDefinition]:
        """Return the resources so that each comes after all that it needs; otherwise in the template's order.

        Raises:
            TemplateError: Resources need each other.
        """
        waiting = {resource.logical_id: (resource, self.dependencies(resource)) for resource in self.included()}
        ordered: list[ResourceDefinition] = []
        while waiting:
            ready = [resource for resource, needs in waiting.values() if not needs & waiting.keys()]
            if not ready:
                raise TemplateError(f"Circular dependency between resources: [{', '.join(sorted(waiting))}]")
            ordered.extend(ready)
            for resource in ready:
                del waiting[resource.logical_id]
        return ordered

    def broken_rules(self) -> list[str]:
        """Return the assertions of the ``Rules`` section that do not hold.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
        """
        broken: list[str] = []
        for name, rule in self.template.section("Rules").items():
            if "RuleCondition" in rule and not self.truth(rule["RuleCondition"]):
                continue
            for assertion in rule.get("Assertions", []):
                if not self.truth(assertion["Assert"]):
                    broken.append(str(assertion.get("AssertDescription", f"an assertion of rule {name} does not hold")))
        return broken

    def _chosen(self, node: Json) -> Json:
        """Return a value with each ``Fn::If`` replaced by the branch that its condition chooses."""
        if isinstance(node, list):
            return [self._chosen(item) for item in node]
        if not isinstance(node, dict):
            return node
        if _function_of(node) == "Fn::If":
            name, then, otherwise = _arguments(node["Fn::If"], 3, "Fn::If")
            return self._chosen(then if self.condition(name) else otherwise)
        return {key: self._chosen(item) for key, item in node.items()}


def _function_of(node: Mapping[str, Json]) -> str | None:
    """Return the function that an object calls, or None if it is plain data."""
    if len(node) != 1:
        return None
    name = next(iter(node))
    if name in _FUNCTIONS and (name != "Condition" or isinstance(node[name], str)):
        return str(name)
    if isinstance(name, str) and name.startswith("Fn::"):
        raise TemplateError(f"intrinsic function is not done by the embedded AWS: {name}")
    return None


def _arguments(value: Json, count: int, function: str) -> Sequence[Json]:
    if not isinstance(value, list) or len(value) != count:
        raise TemplateError(f"Template error: {function} takes {count} arguments, got {json.dumps(value)}")
    return value


def text_of(value: Json) -> str:
    """Return a scalar as CloudFormation writes it into text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        raise TemplateError(f"Template error: text is needed where {json.dumps(value)} is")
    return str(value)


def _ref(evaluation: Evaluation, name: Json) -> Json:
    if name == "AWS::NoValue":
        return NO_VALUE
    if name in evaluation.pseudo:
        return evaluation.pseudo[name]
    if name in evaluation.parameters:
        return evaluation.parameters[name]
    if name not in evaluation.template.resources:
        raise TemplateError(f"Template error: Ref names nothing that the template has: {name}")
    return evaluation.surroundings.reference(name)


def _get_att(evaluation: Evaluation, value: Json) -> Json:
    logical_id, attribute = value.split(".", 1) if isinstance(value, str) else (value[0], evaluation.value(value[1]))
    if logical_id not in evaluation.template.resources:
        raise TemplateError(f"Template error: instance of Fn::GetAtt references undefined resource {logical_id}")
    return evaluation.surroundings.attribute(logical_id, attribute)


def _sub(evaluation: Evaluation, value: Json) -> str:
    text, own = (value, {}) if isinstance(value, str) else _arguments(value, 2, "Fn::Sub")
    own_values = {name: evaluation.value(item) for name, item in own.items()}

    def substituted(match: re.Match[str]) -> str:
        literal, name = match[1], match[2].strip()
        if literal:
            return "${" + match[2] + "}"
        if name in own_values:
            return text_of(own_values[name])
        if "." in name:
            return text_of(_get_att(evaluation, name))
        return text_of(_ref(evaluation, name))

    return _SUBSTITUTION.sub(substituted, text)


def _join(evaluation: Evaluation, value: Json) -> str:
    separator, items = _arguments(value, 2, "Fn::Join")
    evaluated = evaluation.value(items)
    if not isinstance(evaluated, list):
        raise TemplateError(f"Template error: Fn::Join needs a list, got {json.dumps(evaluated)}")
    return str(evaluation.value(separator)).join(text_of(item) for item in evaluated)


def _select(evaluation: Evaluation, value: Json) -> Json:
    index, items = _arguments(value, 2, "Fn::Select")
    evaluated = evaluation.value(items)
    position = int(evaluation.value(index))
    if not isinstance(evaluated, list) or not 0 <= position < len(evaluated):
        raise TemplateError(f"Template error: Fn::Select cannot select nonexistent value at index {position}")
    return evaluated[position]


def _split(evaluation: Evaluation, value: Json) -> list[str]:
    separator, text = _arguments(value, 2, "Fn::Split")
    return text_of(evaluation.value(text)).split(str(evaluation.value(separator)))


def _if(evaluation: Evaluation, value: Json) -> Json:
    name, then, otherwise = _arguments(value, 3, "Fn::If")
    return evaluation.value(then if evaluation.condition(name) else otherwise)


def _equals(evaluation: Evaluation, value: Json) -> bool:
    left, right = (evaluation.value(item) for item in _arguments(value, 2, "Fn::Equals"))
    if isinstance(left, (dict, list)) or isinstance(right, (dict, list)):
        return bool(left == right)
    return text_of(left) == text_of(right)


def _find_in_map(evaluation: Evaluation, value: Json) -> Json:
    keys = [str(evaluation.value(key)) for key in _arguments(value, 3, "Fn::FindInMap")]
    found: Json = evaluation.template.section("Mappings")
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            raise TemplateError(f"Template error: Unable to get mapping for {'::'.join(keys)}")
        found = found[key]
    return found


def _cidr(evaluation: Evaluation, value: Json) -> list[str]:
    block, count, *bits = evaluation.value(value)
    network = ipaddress.ip_network(str(block))
    prefix = network.max_prefixlen - int(bits[0] if bits else 8)
    wanted = int(count)
    blocks: list[str] = []
    for subnet in network.subnets(new_prefix=prefix):
        if len(blocks) == wanted:
            break
        blocks.append(str(subnet))
    if len(blocks) < wanted:
        raise TemplateError(f"Template error: Fn::Cidr can't cut {wanted} blocks of /{prefix} out of {block}")
    return blocks


def _zones(evaluation: Evaluation, value: Json) -> list[str]:
    return evaluation.surroundings.availability_zones(evaluation.value(value) or evaluation.pseudo["AWS::Region"])


def _members(evaluation: Evaluation, value: Json, function: str) -> tuple[list[Json], Json]:
    first, second = (evaluation.value(item) for item in _arguments(value, 2, function))
    return first, second


def _contains(evaluation: Evaluation, value: Json) -> bool:
    items, wanted = _members(evaluation, value, "Fn::Contains")
    return text_of(wanted) in [text_of(item) for item in items]


def _each_member_equals(evaluation: Evaluation, value: Json) -> bool:
    items, wanted = _members(evaluation, value, "Fn::EachMemberEquals")
    return all(text_of(item) == text_of(wanted) for item in items)


def _each_member_in(evaluation: Evaluation, value: Json) -> bool:
    items, allowed = _members(evaluation, value, "Fn::EachMemberIn")
    return all(item in allowed for item in items)


def _all(evaluation: Evaluation, value: Iterable[Json]) -> bool:
    return all(map(evaluation.truth, value))


def _any(evaluation: Evaluation, value: Iterable[Json]) -> bool:
    return any(map(evaluation.truth, value))


_FUNCTIONS: dict[str, Callable[[Evaluation, Json], Json]] = {
    "Ref": _ref,
    "Condition": lambda evaluation, name: evaluation.condition(name),
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::If": _if,
    "Fn::Equals": _equals,
    "Fn::And": _all,
    "Fn::Or": _any,
    "Fn::Not": lambda evaluation, value: not evaluation.truth(_arguments(value, 1, "Fn::Not")[0]),
    "Fn::FindInMap": _find_in_map,
    "Fn::Base64": lambda evaluation, value: base64.b64encode(text_of(evaluation.value(value)).encode()).decode(),
    "Fn::ImportValue": lambda evaluation, value: evaluation.surroundings.exported(text_of(evaluation.value(value))),
    "Fn::GetAZs": _zones,
    "Fn::Cidr": _cidr,
    "Fn::Contains": _contains,
    "Fn::EachMemberEquals": _each_member_equals,
    "Fn::EachMemberIn": _each_member_in,
}


_DYNAMIC = re.compile(r"\{\{resolve:(?P<service>ssm-secure|ssm|secretsmanager):(?P<rest>[^{}]+)\}\}")
_SECRET = re.compile(
    r"(?P<secret>arn:[^:]+:secretsmanager:[^:]*:\d+:secret:[^:]+|[^:]+)"
    r"(?::SecretString(?::(?P<key>[^:]*)(?::(?P<stage>[^:]*)(?::(?P<version>[^:]*))?)?)?)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReference:
    """A reference to a secret, or to one key of its JSON."""

    secret: str
    key: str | None
    stage: str | None
    version: str | None


def resolve_dynamic_references(
    node: Json, stored_parameter: Callable[[str], str], secret: Callable[[SecretReference], str]
) -> Json:
    """Replace ``{{resolve:...}}`` by what it names; done just before a resource is made, so that nothing else sees it.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
    """
    if isinstance(node, list):
        return [resolve_dynamic_references(item, stored_parameter, secret) for item in node]
    if isinstance(node, dict):
        return {key: resolve_dynamic_references(item, stored_parameter, secret) for key, item in node.items()}
    if not isinstance(node, str) or "{{resolve:" not in node:
        return node

    def resolved(match: re.Match[str]) -> str:
        if match["service"] != "secretsmanager":
            return stored_parameter(match["rest"])
        parts = _SECRET.fullmatch(match["rest"])
        if parts is None:
            raise TemplateError(f"the dynamic reference {match[0]} can't be read")
        return secret(
            SecretReference(
                secret=parts["secret"], key=parts["key"] or None, stage=parts["stage"], version=parts["version"]
            )
        )

    text = _DYNAMIC.sub(resolved, node)
    if "{{resolve:" in text and text == node:
        raise TemplateError(f"the dynamic reference is not done by the embedded AWS: {node}")
    return text
