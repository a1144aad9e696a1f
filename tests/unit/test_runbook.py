"""Runbooks: what is read of them, which reviews count, and what voids one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from readiness.model import Environment
from readiness.runbook import (
    SECTIONS,
    Rehearsed,
    Review,
    Runbook,
    RunbookError,
    content_hash,
    load_runbooks,
    read_runbook,
)
from readiness.runbook_signing import sign

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


def test_an_authors_review_that_was_written_by_hand_is_void(tmp_path: Path):
    by_hand = f"reviewers: [{{name: ADA, date: 2026-06-01, content_hash: '{content_hash(BODY)}'}}]\n---\n"

    assert read(tmp_path, front=FRONT[:-4] + by_hand).void_reviews(ON, AGE) == {"ADA": "is the author"}


def test_blocks_are_read_with_their_attributes(tmp_path: Path):
    body = (
        "```bash name=a inputs=CLUSTER outputs=X,Y\nX=$CLUSTER Y=2\n```\n\n"
        "```bash name=b inputs=X\n:\n```\n\n```json\n{\n```\n"
    )
    first, second = read(tmp_path, body).blocks

    assert (first.name, first.inputs, first.outputs, first.code) == ("a", ("CLUSTER",), ("X", "Y"), "X=$CLUSTER Y=2\n")
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


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("```bash name=a\necho $CLUSTER\n```\n", "uses CLUSTER, which is none of its inputs"),
        (
            "```bash name=a inputs=CLUSTER outputs=X\necho ${CLUSTER%x}\n```\n",
            "says that it gives X, and never sets it",
        ),
        ('~~~bash name=a expect="x\n:\n~~~\n', "attributes that cannot be read"),
        ("```bash step=a\necho $NOWHERE\n```\n", "uses NOWHERE, which nothing before it gives"),
        ("~~~bash step=a\n:\n~~~\n", "is no step to a drill"),
    ],
)
def test_a_variable_that_nothing_gives_is_a_fault(tmp_path: Path, block: str, words: str):
    (found,) = read(tmp_path, block).blocks

    assert words in found.fault


@pytest.mark.parametrize(
    "block",
    [
        '```bash name=a inputs=CLUSTER\nfor X in $CLUSTER; do echo "$X ${AWS_REGION} $HOME"; done\n```\n',
        "```bash name=a\nread -rsp 'x' OLD && echo \"$OLD\" | awk '{ print $NF }'\n```\n",
        '```bash name=a expect="all newer"\n:\n```\n',
        '```bash step=a\necho "X=$CLUSTER" >> "$STEP_OUTPUT"\n```\n\n```bash step=b\necho "$X"\n```\n',
    ],
)
def test_variables_that_a_shell_or_the_block_itself_sets_are_none(tmp_path: Path, block: str):
    assert [each.fault for each in read(tmp_path, block).blocks if each.fault] == []


def test_a_block_says_what_to_expect(tmp_path: Path):
    (block,) = read(tmp_path, '```bash name=a expect="all newer"\n:\n```\n').blocks

    assert block.expect == "all newer"


def test_steps_that_no_drill_can_read_make_it_no_runbook(tmp_path: Path):
    with pytest.raises(RunbookError, match=r"runbooks/it\.md:\d+: timeout=soon is no duration"):
        read(tmp_path, "```bash step=a timeout=soon\n:\n```\n")


def test_links_that_lead_nowhere_or_out_of_the_repository_are_dead(tmp_path: Path):
    body = "[a](it.md) [b](/runbooks/it.md) [c](none.md) [d](https://example.com) [e](../../etc) ![f](none.png)\n"

    assert read(tmp_path, body).dead_links == ("none.md", "../../etc", "none.png")


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("#roll-back", False),
        ("it.md#roll-back", False),
        ("#whats-up-doc", False),
        ("#twice-1", False),
        ("#by-hand", False),
        ("#rollback", True),
        ("it.md#none", True),
        ("../runbooks/it.md#none", True),
        ("#twice-2", True),
    ],
)
def test_a_link_to_a_heading_is_dead_unless_there_is_that_heading(tmp_path: Path, link: str, dead: bool):
    headings = "## Roll back\n\n### What's up, `doc`?\n\n### Twice\n\n### Twice\n\n<a id='by-hand'></a>\n"

    assert read(tmp_path, f"{headings}\n[x]({link})\n").dead_links == ((link,) if dead else ())


def test_a_link_inside_a_block_of_code_is_none(tmp_path: Path):
    assert read(tmp_path, "```text\n[a](none.md)\n```\n\n`[a](none.md)`\n").dead_links == ()


def test_a_file_that_is_a_link_out_of_the_repository_is_refused(tmp_path: Path):
    (tmp_path / "it.md").write_text(FRONT + BODY, encoding="utf-8")
    (tmp_path / "repository" / "runbooks").mkdir(parents=True)
    path = tmp_path / "repository" / "runbooks" / "it.md"
    path.symlink_to(tmp_path / "it.md")

    with pytest.raises(RunbookError, match="lies outside of the repository"):
        read_runbook(path, tmp_path / "repository")


# --- samples and rehearsals ------------------------------------------------------------------------------------------


def reviewed(folder: Path, *reviews: Review) -> Runbook:
    runbook = read(folder)
    return replace(runbook, about=replace(runbook.about, reviewers=reviews))


def test_a_sample_counts_only_where_samples_do(tmp_path: Path):
    sample = Review(name="Bob", date=ON, content_hash=content_hash(BODY), sample=True)
    runbook = reviewed(tmp_path, sample)

    assert runbook.valid_reviews(ON, AGE) == (sample,)
    assert runbook.valid_reviews(ON, AGE, samples=False) == ()
    assert "is a sample" in runbook.void_reviews(ON, AGE, samples=False)["Bob"]


def test_a_persons_review_comes_before_a_newer_sample(tmp_path: Path):
    sample = Review(name="Bob", date=ON, content_hash=content_hash(BODY), sample=True)
    person = Review(name="Eve", date=ON - timedelta(days=9), content_hash=content_hash(BODY))

    assert reviewed(tmp_path, sample, person).valid_reviews(ON, AGE) == (person, sample)


def test_an_old_review_beside_a_new_one_of_the_same_name_voids_nothing(tmp_path: Path):
    old = Review(name="Bob", date=ON, content_hash="sha256:old")
    new = Review(name="Bob", date=ON, content_hash=content_hash(BODY))

    assert reviewed(tmp_path, old, new).valid_reviews(ON, AGE) == (new,)


@pytest.mark.parametrize("name", ["ADA", " ada ", "A\u0064a", "ａｄａ", ""])
def test_an_author_or_nobody_by_another_spelling_has_not_reviewed(tmp_path: Path, name: str):
    assert reviewed(tmp_path, Review(name=name, date=ON, content_hash=content_hash(BODY))).valid_reviews(ON, AGE) == ()


def test_a_rehearsal_counts_for_its_wording_and_for_a_while(tmp_path: Path):
    last = Rehearsed(
        run="r", date=ON, environment=Environment.EMULATED, content_hash=content_hash(BODY), bundle="sha256:b"
    )
    runbook = read(tmp_path)
    rehearsed = replace(runbook, about=replace(runbook.about, rehearsed_in=last))

    assert runbook.unrehearsed(ON, AGE) == "it was never rehearsed"
    assert rehearsed.unrehearsed(ON, AGE) == rehearsed.unrehearsed(None, AGE) == ""
    assert "another wording" in replace(rehearsed, content_hash="sha256:2").unrehearsed(ON, AGE)
    assert "more than 180 days ago" in rehearsed.unrehearsed(ON + timedelta(days=181), AGE)
    assert "yet to come" in rehearsed.unrehearsed(ON - timedelta(days=1), AGE)


# --- the shipped ones ------------------------------------------------------------------------------------------------


def test_a_folder_without_runbooks_has_none(tmp_path: Path):
    assert load_runbooks(tmp_path / "nowhere") == ()


def test_the_shipped_runbooks_are_whole():
    runbooks = load_runbooks(SHIPPED)

    assert {runbook.about.id for runbook in runbooks} == {
        "cache-trouble",
        "database-trouble",
        "deploy",
        "high-error-rate",
        "high-latency",
        "rollback",
        "scale-out",
        "secret-rotation",
        "teardown",
        "unhealthy-hosts",
        "upstream-outage",
    }
    for runbook in runbooks:
        signed = max(review.date for review in runbook.about.reviewers)
        assert runbook.missing_sections == ()
        assert runbook.dead_links == ()
        assert [block.fault for block in runbook.blocks if block.fault] == []
        assert runbook.blocks
        assert len(runbook.valid_reviews(signed, AGE)) == 1


def test_the_shipped_reviews_say_that_they_are_samples():
    reviews = [review for runbook in load_runbooks(SHIPPED) for review in runbook.about.reviewers]

    assert len(reviews) == 11
    assert all(review.sample for review in reviews)
