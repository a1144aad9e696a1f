from __future__ import annotations

import json

import pytest

from readiness.embedded.template import (
    Evaluation,
    TemplateError,
    parameter_values,
    read_template,
    resolve_dynamic_references,
)

PSEUDO = {"AWS::Region": "eu-west-1", "AWS::StackName": "stack", "AWS::AccountId": "123456789012"}


class Surroundings:
    def reference(self, logical_id):
        return f"ref-{logical_id}"

    def attribute(self, logical_id, name):
        return f"{logical_id}.{name}"

    def exported(self, name):
        return {"shared": "value"}[name]

    def availability_zones(self, region):
        return [f"{region}a", f"{region}b"]


def _evaluation(parameters=None, **sections):
    body = {"Resources": {"Topic": {"Type": "T"}, "Queue": {"Type": "Q"}}, **sections}
    return Evaluation(
        template=read_template(json.dumps(body)),
        parameters=parameters or {},
        pseudo=PSEUDO,
        surroundings=Surroundings(),
    )


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"Ref": "Topic"}, "ref-Topic"),
        ({"Ref": "AWS::Region"}, "eu-west-1"),
        ({"Fn::GetAtt": ["Topic", "Arn"]}, "Topic.Arn"),
        ({"Fn::GetAtt": "Topic.Endpoint.Address"}, "Topic.Endpoint.Address"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Topic"}, 1, True]]}, "a-ref-Topic-1-true"),
        ({"Fn::Sub": "${Topic} ${Queue.Arn} ${AWS::Region} ${!Kept}"}, "ref-Topic Queue.Arn eu-west-1 ${Kept}"),
        ({"Fn::Sub": ["${a}-${Topic}", {"a": {"Ref": "Queue"}}]}, "ref-Queue-ref-Topic"),
        ({"Fn::Select": ["1", ["a", "b"]]}, "b"),
        ({"Fn::Split": [",", "a,b"]}, ["a", "b"]),
        ({"Fn::Base64": "text"}, "dGV4dA=="),
        ({"Fn::ImportValue": "shared"}, "value"),
        ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b"]),
        ({"Fn::Cidr": ["10.0.0.0/16", 2, 8]}, ["10.0.0.0/24", "10.0.1.0/24"]),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [1, {"Ref": "AWS::NoValue"}]}, {"b": [1]}),
        ({"Condition": {"StringEquals": {"a": "b"}}}, {"Condition": {"StringEquals": {"a": "b"}}}),
    ],
)
def test_functions_evaluate_as_documented(node, expected):
    assert _evaluation().value(node) == expected


def test_a_mapping_is_looked_up_by_both_keys():
    evaluation = _evaluation(Mappings={"Sizes": {"eu-west-1": {"cpu": 256}}})
    assert evaluation.value({"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "cpu"]}) == 256
    with pytest.raises(TemplateError, match="Sizes::eu-west-1::none"):
        evaluation.value({"Fn::FindInMap": ["Sizes", "eu-west-1", "none"]})


def test_conditions_choose_branches_and_resources():
    evaluation = _evaluation(
        {"Stage": "prod"},
        Parameters={"Stage": {"Type": "String"}},
        Conditions={
            "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
            "NotProd": {"Fn::Not": [{"Condition": "IsProd"}]},
            "Both": {"Fn::And": [{"Condition": "IsProd"}, {"Condition": "NotProd"}]},
            "Either": {"Fn::Or": [{"Condition": "IsProd"}, {"Condition": "NotProd"}]},
        },
        Resources={"Here": {"Type": "T", "Condition": "Either"}, "Gone": {"Type": "T", "Condition": "Both"}},
    )
    assert evaluation.value({"Fn::If": ["IsProd", 1, 2]}) == 1
    assert [resource.logical_id for resource in evaluation.included()] == ["Here"]


def test_a_function_that_is_not_done_is_refused_by_name():
    with pytest.raises(TemplateError, match="Fn::ToJsonString"):
        _evaluation().value({"Fn::ToJsonString": {"a": 1}})


@pytest.mark.parametrize("section", ["Transform", "Hooks"])
def test_a_section_that_is_not_done_is_refused_by_name(section):
    with pytest.raises(TemplateError, match=section):
        read_template(json.dumps({"Resources": {"A": {"Type": "T"}}, section: "x"}))


def test_an_attribute_of_a_resource_that_is_not_done_is_refused_by_name():
    with pytest.raises(TemplateError, match="CreationPolicy of A"):
        read_template(json.dumps({"Resources": {"A": {"Type": "T", "CreationPolicy": {}}}}))


def test_a_template_without_resources_is_refused():
    with pytest.raises(TemplateError, match="At least one Resources member"):
        read_template('{"Resources": {}}')


@pytest.mark.parametrize("node", [{"Ref": "None"}, {"Fn::GetAtt": ["None", "A"]}, {"Fn::Sub": "${None}"}])
def test_a_reference_to_nothing_is_refused_before_anything_is_made(node):
    with pytest.raises(TemplateError, match=r"Unresolved resource dependencies \[None\]"):
        read_template(json.dumps({"Resources": {"A": {"Type": "T", "Properties": {"x": node}}}}))


def test_resources_come_after_what_they_need():
    evaluation = _evaluation(
        Resources={
            "C": {"Type": "T", "Properties": {"x": {"Fn::Sub": "${B.Arn}"}}},
            "B": {"Type": "T", "DependsOn": "A"},
            "A": {"Type": "T"},
        }
    )
    assert [resource.logical_id for resource in evaluation.creation_order()] == ["A", "B", "C"]


def test_a_branch_that_is_not_chosen_makes_no_dependency():
    evaluation = _evaluation(
        Conditions={"No": {"Fn::Equals": ["a", "b"]}},
        Resources={
            "A": {"Type": "T", "Properties": {"x": {"Fn::If": ["No", {"Ref": "B"}, "plain"]}}},
            "B": {"Type": "T", "Properties": {"x": {"Ref": "A"}}},
        },
    )
    assert [resource.logical_id for resource in evaluation.creation_order()] == ["A", "B"]


def test_resources_that_need_each_other_are_refused():
    evaluation = _evaluation(
        Resources={"A": {"Type": "T", "DependsOn": "B"}, "B": {"Type": "T", "DependsOn": ["A"]}},
    )
    with pytest.raises(TemplateError, match=r"Circular dependency between resources: \[A, B\]"):
        evaluation.creation_order()


def test_yaml_with_short_forms_reads_as_json_does():
    text = """
AWSTemplateFormatVersion: 2010-09-09
Resources:
  Topic:
    Type: T
  Queue:
    Type: Q
    Properties:
      a: !GetAtt Topic.Arn
      b: !Join ["-", [!Ref Topic, x]]
      c: !Sub "${Topic}"
"""
    template = read_template(text)
    evaluation = Evaluation(template=template, parameters={}, pseudo=PSEUDO, surroundings=Surroundings())
    assert template.document["AWSTemplateFormatVersion"] == "2010-09-09"
    assert evaluation.value(dict(template.resources["Queue"].properties)) == {
        "a": "Topic.Arn",
        "b": "ref-Topic-x",
        "c": "ref-Topic",
    }


def _values(declared, given, previous=None):
    template = read_template(json.dumps({"Parameters": declared, "Resources": {"A": {"Type": "T"}}}))
    return parameter_values(template, given, previous or {}, {"/version": "21"}.__getitem__)


def test_parameters_take_given_then_previous_then_default():
    declared = {name: {"Type": "String", "Default": "d"} for name in "abc"}
    assert _values(declared, {"a": "g"}, {"a": "p", "b": "p"}) == {"a": "g", "b": "p", "c": "d"}


def test_an_ssm_parameter_is_read():
    assert _values({"V": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/version"}}, {}) == {"V": "21"}


def test_a_comma_delimited_list_becomes_a_list():
    assert _values({"L": {"Type": "CommaDelimitedList"}}, {"L": "a, b"}) == {"L": ["a", "b"]}


@pytest.mark.parametrize(
    ("declaration", "given", "message"),
    [
        ({"Type": "String"}, {}, "must have values"),
        ({"Type": "String", "Default": "d"}, {"Other": "x"}, "do not exist in the template"),
        ({"Type": "String", "AllowedValues": ["a"]}, {"P": "b"}, "AllowedValues"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, {"P": "1"}, "must match pattern"),
        ({"Type": "String", "MinLength": 2}, {"P": "a"}, "MinLength"),
        ({"Type": "Number", "MaxValue": 3}, {"P": "4"}, "MaxValue"),
        ({"Type": "Number"}, {"P": "four"}, "must be a number"),
    ],
)
def test_a_parameter_that_is_not_allowed_is_refused(declaration, given, message):
    with pytest.raises(TemplateError, match=message):
        _values({"P": declaration}, given)


def _bootstrap_rule(version):
    refused = {"Fn::Contains": [["1", "2", "3", "4", "5"], {"Ref": "V"}]}
    rule = {"Assertions": [{"Assert": {"Fn::Not": [refused]}, "AssertDescription": "bootstrap version 6 is needed"}]}
    return _evaluation({"V": version}, Parameters={"V": {"Type": "String"}}, Rules={"Check": rule})


def test_a_broken_rule_tells_its_description():
    assert _bootstrap_rule("5").broken_rules() == ["bootstrap version 6 is needed"]
    assert _bootstrap_rule("21").broken_rules() == []


def test_dynamic_references_are_resolved_within_text():
    secrets = []

    def secret(reference):
        secrets.append(reference)
        return "s3cret"

    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-AbCdEf"
    node = {
        "a": f"{{{{resolve:secretsmanager:{arn}:SecretString:::}}}}",
        "b": ["x-{{resolve:ssm:/version:3}}"],
        "c": "{{resolve:secretsmanager:db:SecretString:password:AWSPREVIOUS}}",
    }
    resolved = resolve_dynamic_references(node, {"/version:3": "21"}.__getitem__, secret)
    assert resolved == {"a": "s3cret", "b": ["x-21"], "c": "s3cret"}
    assert (secrets[0].secret, secrets[0].key) == (arn, None)
    assert (secrets[1].secret, secrets[1].key, secrets[1].stage) == ("db", "password", "AWSPREVIOUS")


def test_a_dynamic_reference_of_another_kind_is_refused():
    with pytest.raises(TemplateError, match="resolve:vault"):
        resolve_dynamic_references("{{resolve:vault:x}}", str, str)
