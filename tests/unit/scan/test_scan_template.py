"""Templates are read as CloudFormation reads them, and what is no template is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from readiness.scan.template import NotATemplateError, construct_path, find_templates, names, read_template
from readiness.scan.values import literal, names_secret, render


def written(folder: Path, text: str, name: str = "a.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_short_forms_and_dates_are_read_as_cloudformation_reads_them(tmp_path: Path):
    template = read_template(
        written(
            tmp_path,
            "Resources:\n  A:\n    Type: T\n    Properties:\n      B: !GetAtt C.D.E\n      F: !Sub '${G}'\n"
            "      Version: 2012-10-17\n      H: !Join ['-', [a, !Ref I]]\n",
        )
    )

    assert template.resources["A"].properties == {
        "B": {"Fn::GetAtt": ["C", "D.E"]},
        "F": {"Fn::Sub": "${G}"},
        "Version": "2012-10-17",
        "H": {"Fn::Join": ["-", ["a", {"Ref": "I"}]]},
    }


@pytest.mark.parametrize("text", ["", "[]", "a: 1", '{"Resources": []}', "{", "\tx: ["])
def test_what_is_no_template_is_refused_by_name(tmp_path: Path, text: str):
    with pytest.raises(NotATemplateError, match=r"a\.yaml"):
        read_template(written(tmp_path, text))


def test_of_a_cloud_assembly_only_the_templates_are_found(tmp_path: Path):
    template = written(tmp_path, '{"Resources": {}}', "cdk.out/Stack.template.json")
    written(tmp_path, "{}", "cdk.out/manifest.json")

    assert find_templates([tmp_path / "cdk.out"]) == (template,)


def test_an_empty_folder_and_a_missing_file_are_refused(tmp_path: Path):
    with pytest.raises(NotATemplateError, match="holds no template"):
        find_templates([tmp_path])
    with pytest.raises(NotATemplateError, match="no such file"):
        find_templates([tmp_path / "a.json"])


def test_templates_of_one_name_are_told_apart_by_their_folders():
    assert set(names([Path("/x/a/t.json"), Path("/x/b/t.json")])) == {"t.json", "b/t.json"}


def test_the_construct_path_is_the_construct_not_its_default_child(tmp_path: Path):
    text = '{"Resources": {"A": {"Type": "T", "Metadata": {"aws:cdk:path": "Stack/A/Resource"}}}}'

    assert construct_path(read_template(written(tmp_path, text)).resources["A"]) == "Stack/A"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ({"Ref": "WithDefault"}, "hunter2"),
        ({"Ref": "Without"}, "${Without}"),
        ({"Fn::Sub": "${WithDefault}-${!Kept}-${AWS::Region}"}, "hunter2-${!Kept}-${AWS::Region}"),
        ({"Fn::Sub": ["${A}", {"A": {"Ref": "WithDefault"}}]}, "hunter2"),
        ({"Fn::Join": [":", ["a", {"Fn::GetAtt": ["B", "Arn"]}]]}, "a:${B.Arn}"),
        ({"Fn::ImportValue": "x"}, "${?}"),
        ([1], "${?}"),
    ],
)
def test_a_value_is_rendered_as_far_as_the_template_knows_it(tmp_path: Path, value: object, text: str):
    template = read_template(
        written(tmp_path, "Parameters: {WithDefault: {Default: hunter2}, Without: {Type: String}}\nResources: {}\n")
    )

    assert render(value, template) == text
    assert literal(value, template) == (None if "${" in text else text)


def test_a_dynamic_reference_is_no_literal(tmp_path: Path):
    template = read_template(written(tmp_path, "Resources: {}"))

    assert literal("{{resolve:secretsmanager:a:SecretString:b}}", template) is None


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "dbPassword", "ApiKey", "API_KEY", "token", "Secret1", "AUTH_TOKEN_VALUE"]
)
def test_a_name_that_ends_in_a_secret_word_names_a_secret(name: str):
    assert names_secret(name)


@pytest.mark.parametrize("name", ["SECRET_ARN", "TOKEN_TTL", "PasswordLength", "KEY_ID", "monkey", "", "SECRET_NAME"])
def test_a_name_about_a_secret_does_not_name_one(name: str):
    assert not names_secret(name)
