"""The front matter: changed in one place, while every other byte stays as it is."""

from __future__ import annotations

from datetime import date

import pytest
import yaml

from readiness.runbook_front import FrontError, split, table, with_item, with_value

BODY = "\n# It\n\n---\n\nreviewers: none\n"
ITEM = {"name": "Bob", "date": date(2026, 6, 1), "content_hash": "sha256:1"}


def text(*lines: str) -> str:
    return "---\n" + "".join(f"{line}\n" for line in lines) + "---\n" + BODY


def test_a_text_is_the_sum_of_its_parts():
    whole = text("id: it")
    parts = split(whole)

    assert parts is not None
    assert parts.before + parts.front + parts.after == whole
    assert (parts.front, parts.body) == ("id: it\n", BODY)


@pytest.mark.parametrize("whole", ["", "# It\n", "---\nid: it\n", "text\n---\nid: it\n---\n"])
def test_a_text_without_front_matter_has_none(whole: str):
    assert split(whole) is None
    with pytest.raises(FrontError, match="has no front matter"):
        table(whole)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["id: it"], ["id: it", "reviewers:", "- name: Bob", "  date: 2026-06-01", "  content_hash: sha256:1"]),
        (
            ["reviewers: []  # nobody yet", "id: it"],
            ["reviewers:  # nobody yet", "- name: Bob", "  date: 2026-06-01", "  content_hash: sha256:1", "id: it"],
        ),
        (
            ["reviewers: null", "id: it"],
            ["reviewers:", "- name: Bob", "  date: 2026-06-01", "  content_hash: sha256:1", "id: it"],
        ),
        (
            ["reviewers:", "id: it"],
            ["reviewers:", "- name: Bob", "  date: 2026-06-01", "  content_hash: sha256:1", "id: it"],
        ),
        (
            ["reviewers:", "  # the first", "  - name: Eve  # hers", "    date: 2026-05-01", "  # the end", "id: it"],
            [
                "reviewers:",
                "  # the first",
                "  - name: Eve  # hers",
                "    date: 2026-05-01",
                "  - name: Bob",
                "    date: 2026-06-01",
                "    content_hash: sha256:1",
                "  # the end",
                "id: it",
            ],
        ),
        (
            ["reviewers: [{name: Eve}]  # in one line", "id: it"],
            [
                'reviewers: [{name: Eve}, {name: "Bob", date: 2026-06-01, content_hash: "sha256:1"}]  # in one line',
                "id: it",
            ],
        ),
    ],
    ids=["absent", "empty list", "null", "nothing", "block", "flow"],
)
def test_an_item_is_appended_and_all_else_stays(before: list[str], after: list[str]):
    assert with_item(text(*before), "reviewers", None, ITEM) == text(*after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            ["reviewers:", "- name: Eve", "  note: x", "# between", "- name: Kim", "id: it"],
            [
                "reviewers:",
                "- name: Bob",
                "  date: 2026-06-01",
                "  content_hash: sha256:1",
                "# between",
                "- name: Kim",
                "id: it",
            ],
        ),
        (
            ["reviewers: [{name: Eve}, {name: Kim}]", "id: it"],
            ['reviewers: [{name: "Bob", date: 2026-06-01, content_hash: "sha256:1"}, {name: Kim}]', "id: it"],
        ),
    ],
    ids=["block", "flow"],
)
def test_an_item_is_replaced_and_its_neighbours_stay(before: list[str], after: list[str]):
    assert with_item(text(*before), "reviewers", 0, ITEM) == text(*after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["id: it"], ["id: it", "last:", "  run: r-1", "  date: 2026-06-01"]),
        (["last: null  # never", "id: it"], ["last:  # never", "  run: r-1", "  date: 2026-06-01", "id: it"]),
        (["last:", "    run: r-0", "    x: 1", "id: it"], ["last:", "    run: r-1", "    date: 2026-06-01", "id: it"]),
        (["last: {run: r-0}", "id: it"], ['last: {run: "r-1", date: 2026-06-01}', "id: it"]),
    ],
)
def test_a_table_is_put_in_the_place_of_what_was_there(before: list[str], after: list[str]):
    assert with_value(text(*before), "last", {"run": "r-1", "date": date(2026, 6, 1)}) == text(*after)


def test_a_day_is_put_in_its_place():
    assert with_value(text("a: 2026-01-01  # x", "b: 1"), "a", date(2026, 6, 1)) == text("a: 2026-06-01  # x", "b: 1")
    assert with_value(text("b: 1"), "a", date(2026, 6, 1)) == text("b: 1", "a: 2026-06-01")


def test_line_ends_of_windows_stay():
    before = text("id: it", "reviewers: []").replace("\n", "\r\n")
    after = with_item(before, "reviewers", None, ITEM)

    assert after.replace("\r\n", "") == after.replace("\r\n", "\n").replace("\n", "")
    assert after.endswith(BODY.replace("\n", "\r\n"))
    assert table(after)["reviewers"] == [ITEM]


@pytest.mark.parametrize(
    "name",
    ["Bob: the builder", "# Bob", "yes", "2026-01-01", "12:30", "Zoë 'Z' \"O\"", "- Bob", "Bob \u2028", "日本", "1e3"],
)
def test_any_name_reads_back_as_it_was_given(name: str):
    for before in (text("reviewers: []"), text("reviewers: [{name: Eve}]")):
        assert table(with_item(before, "reviewers", None, {"name": name}))["reviewers"][-1] == {"name": name}


@pytest.mark.parametrize(
    "lines",
    [
        ["{id: it, reviewers: []}"],
        ["base: &base [{name: Eve}]", "reviewers: *base"],
        ["reviewers: Bob"],
    ],
    ids=["one line", "alias", "no list"],
)
def test_what_cannot_be_changed_in_one_place_is_refused(lines: list[str]):
    with pytest.raises(FrontError) as caught:
        with_item(text(*lines), "reviewers", None, ITEM)
    assert "cannot be changed by itself" in caught.value.message or "in one line" in caught.value.message


def test_what_was_written_is_yaml_that_another_program_reads():
    written = with_item(text("id: it"), "reviewers", None, {**ITEM, "sample": True})

    assert yaml.safe_load(written.split("---\n")[1])["reviewers"] == [{**ITEM, "sample": True}]
