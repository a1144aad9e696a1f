"""Runbooks: what is read of them, which reviews count, and what voids one."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from readiness.runbook import SECTIONS, Runbook, RunbookError, content_hash, load_runbooks, read_runbook, sign

ON = date(2026, 6, 1)
AGE = timedelta(days=180)
SHIPPED = Path(__file__).parents[2] / "runbooks"
FRONT = """---
id: it
title: It
service: s
owner: Service team
author: Ada
alarms: [error-ratio]
inputs:
  CLUSTER: output Cluster
next_review: 2026-12-01
---
"""
BODY = "\n# It\n\n" + "\n".join(f"## {section}\n\ntext\n" for section in SECTIONS)


def written(folder: Path, body: str = BODY, front: str = FRONT) -> Path:
    (folder / "runbooks").mkdir(exist_ok=True)
    path = folder / "runbooks" / "it.md"
    path.write_text(front + body, encoding="utf-8")
    return path


def read(folder: Path, body: str = BODY, front: str = FRONT) -> Runbook:
    return read_runbook(written(folder, body, front), folder)


def test_a_runbook_is_read_with_its_sections_and_path(tmp_path: Path):
    runbook = read(tmp_path)

    assert runbook.path == "runbooks/it.md"
    assert runbook.missing_sections == ()
    assert runbook.about.alarms == ("error-ratio",)


def test_a_heading_inside_a_block_is_no_section(tmp_path: Path):
    body = BODY.replace("## Verify", "```bash name=a\n## Verify\n```")

    assert read(tmp_path, body).missing_sections == ("Verify",)


@pytest.mark.parametrize(
    ("front", "words"),
    [
        ("", "has no front matter"),
        ("---\n- a\n---\n", "is no table"),
        ("---\na: [\n---\n", "is no YAML"),
        (FRONT.replace("owner: Service team\n", ""), "owner"),
        (FRONT.replace("title: It", "title: It\ncolour: red"), "colour"),
        (FRONT.replace("id: it", "id: other"), "its id is 'other'"),
        (FRONT.replace("2026-12-01", "soon"), "next_review"),
    ],
)
def test_a_wrong_front_matter_is_refused_by_name(tmp_path: Path, front: str, words: str):
    with pytest.raises(RunbookError, match=words):
        read(tmp_path, front=front)


def test_the_hash_is_of_the_body_alone_whatever_ends_its_lines():
    assert content_hash(FRONT + BODY) == content_hash(BODY)
    assert content_hash((FRONT + BODY).replace("\n", "\r\n")) == content_hash(BODY)
    assert content_hash(FRONT.replace("Ada", "Bob") + BODY) == content_hash(BODY)
    assert content_hash(FRONT + BODY + "x") != content_hash(BODY)


def test_a_rule_in_the_body_does_not_end_the_front_matter():
    assert content_hash(FRONT + "\na\n---\nb\n") != content_hash(FRONT + "\nc\n---\nb\n")


def test_a_review_counts_until_it_is_too_old(tmp_path: Path):
    path = written(tmp_path)
    sign(path, "Bob", ON)
    runbook = read_runbook(path, tmp_path)

    assert runbook.void_reviews(ON, AGE) == {}
    assert runbook.void_reviews(ON + AGE, AGE) == {}
    assert "more than 180 days ago" in runbook.void_reviews(ON + AGE + timedelta(days=1), AGE)["Bob"]
    assert "yet to come" in runbook.void_reviews(ON - timedelta(days=1), AGE)["Bob"]


def test_an_edit_voids_a_review_and_a_new_one_heals_it(tmp_path: Path):
    path = written(tmp_path)
    sign(path, "Bob", ON)
    path.write_text(path.read_text(encoding="utf-8") + "more\n", encoding="utf-8")

    assert read_runbook(path, tmp_path).void_reviews(ON, AGE) == {"Bob": "reviewed another wording"}

    sign(path, "bob", ON)

    assert read_runbook(path, tmp_path).void_reviews(ON, AGE) == {}
    assert [review.name for review in read_runbook(path, tmp_path).about.reviewers] == ["bob"]


def test_signing_changes_nothing_but_the_reviewers(tmp_path: Path):
    path = written(tmp_path)
    before = read_runbook(path, tmp_path)

    sign(path, "Bob", ON)
    sign(path, "Carol", ON)

    after = read_runbook(path, tmp_path)
    assert path.read_text(encoding="utf-8").endswith(BODY)
    assert (after.content_hash, after.about.inputs) == (before.content_hash, before.about.inputs)
    assert [review.name for review in after.about.reviewers] == ["Bob", "Carol"]


@pytest.mark.parametrize("name", ["Ada", " ada "])
def test_the_author_cannot_review(tmp_path: Path, name: str):
    with pytest.raises(RunbookError, match="nobody reviews their own"):
        sign(written(tmp_path), name, ON)


def test_a_review_needs_a_name(tmp_path: Path):
    with pytest.raises(RunbookError, match="needs a name"):
        sign(written(tmp_path), " ", ON)


def test_an_authors_review_that_was_written_by_hand_is_void(tmp_path: Path):
    by_hand = f"reviewers: [{{name: ADA, date: 2026-06-01, content_hash: '{content_hash(BODY)}'}}]\n---\n"

    assert read(tmp_path, front=FRONT[:-4] + by_hand).void_reviews(ON, AGE) == {"ADA": "is the author"}


def test_blocks_are_read_with_their_attributes(tmp_path: Path):
    body = (
        "```bash name=a inputs=CLUSTER outputs=X,Y\necho $CLUSTER\n```\n\n"
        "```bash name=b inputs=X\n:\n```\n\n```json\n{\n```\n"
    )
    first, second = read(tmp_path, body).blocks

    assert (first.name, first.inputs, first.outputs, first.code) == ("a", ("CLUSTER",), ("X", "Y"), "echo $CLUSTER\n")
    assert (first.fault, second.fault) == ("", "")
    assert first.line == FRONT.count("\n") + 1


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("```bash name=a\nif true; then\n```\n", "is no bash"),
        ("```bash name=a inputs=NOWHERE\n:\n```\n", "needs NOWHERE, which nothing before it gives"),
        ("```bash name=a inputs=X outputs=X\n:\n```\n", "needs X"),
        ("```bash\n:\n```\n", "has no name="),
        ("```bash name=a input=CLUSTER\n:\n```\n", "unknown attribute 'input'"),
        ("```bash name=a outputs=$(x)\n:\n```\n", "is no variable name"),
    ],
)
def test_a_block_that_could_not_be_executed_says_why(tmp_path: Path, block: str, words: str):
    (found,) = read(tmp_path, block).blocks

    assert words in found.fault


def test_links_that_lead_nowhere_or_out_of_the_repository_are_dead(tmp_path: Path):
    body = "[a](it.md) [b](it.md#top) [c](none.md) [d](https://example.com) [e](../../etc) [f](#here)\n"

    assert read(tmp_path, body).dead_links == ("none.md", "../../etc")


def test_a_folder_without_runbooks_has_none(tmp_path: Path):
    assert load_runbooks(tmp_path / "nowhere") == ()


def test_the_shipped_runbooks_are_whole():
    runbooks = load_runbooks(SHIPPED)

    assert {"rollback", "deploy", "teardown"} <= {runbook.about.id for runbook in runbooks}
    for runbook in runbooks:
        signed = max(review.date for review in runbook.about.reviewers)
        assert runbook.missing_sections == ()
        assert runbook.dead_links == ()
        assert [block.fault for block in runbook.blocks if block.fault] == []
        assert runbook.blocks
        assert runbook.void_reviews(signed, AGE) == {}


def test_the_index_lists_every_shipped_runbook():
    index = (SHIPPED / "README.md").read_text(encoding="utf-8")

    assert [runbook.about.id for runbook in load_runbooks(SHIPPED) if f"]({runbook.about.id}.md)" not in index] == []
