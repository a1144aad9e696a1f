"""Lines of a template: each part is found on the line where its name stands."""

from __future__ import annotations

import json

import pytest

from readiness.scan.lines import lines_of

BODY = {
    "Metadata": {"Resources": {"Decoy": {"Type": "no resource"}}},
    "Parameters": {"Key": {"Type": "String"}},
    "Resources": {"Key": {"Type": "A::B::C", "Properties": {"Text": 'a "}{" b'}}, "Ünder": {"Type": "A::B::C"}},
    "Outputs": {"Key": {"Value": "x"}},
}
YAML = """\
# a comment
Parameters:
  Key: {Type: String}
Resources:

  Key:
    Type: A::B::C
    Properties: {Text: !Sub "${Key}"}
Outputs:
  Key: {Value: !GetAtt Key.Arn}
"""


def test_json_parts_are_found_where_their_names_stand():
    text = json.dumps(BODY, indent=1, ensure_ascii=False)
    lines = text.splitlines()

    found = lines_of(text)

    assert set(found) == {"Parameters.Key", "Key", "Ünder", "Outputs.Key"}
    for part, line in found.items():
        assert lines[line - 1].strip().startswith(f'"{part.rpartition(".")[2]}"')
    assert found["Parameters.Key"] < found["Key"] < found["Ünder"] < found["Outputs.Key"]


def test_yaml_parts_are_found_where_their_names_stand():
    assert lines_of(YAML) == {"Parameters.Key": 3, "Key": 6, "Outputs.Key": 10}


def test_json_on_one_line_is_all_on_line_one():
    assert set(lines_of(json.dumps(BODY)).values()) == {1}


@pytest.mark.parametrize(
    "text", ["", "{", '{"Resources": {"A" 1}}', "a: [", "- 1", "{]", '{"Resources": 1}', "Resources: 1"]
)
def test_what_cannot_be_followed_has_no_lines(text):
    assert lines_of(text) == {}
