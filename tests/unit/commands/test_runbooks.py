"""`readiness runbooks`: what each act prints, writes, and ends with."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from readiness.cli import command
from readiness.runbook import content_hash, read_runbook
from tests.unit.report.bundles import Story, a_bundle, rollback_seen

ROOT = Path(__file__).parents[3]
TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a copy of what the repository has."""
    shutil.copytree(ROOT / "runbooks", tmp_path / "runbooks")
    shutil.copy(ROOT / "readiness.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runbooks"


def leave(*arguments: str) -> object:
    with pytest.raises(SystemExit) as caught:
        command(["runbooks", *arguments])
    return caught.value.code


def test_list_prints_how_every_runbook_stands(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert command(["runbooks", "list"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["runbook", "alarm", "owner", "reviewer", "reviewed", "on", "rehearsed", "on", "status"]
    assert len(lines) == 12
    (line,) = [each for each in lines if each.startswith("high-latency ")]
    assert "latency-p95" in line
    assert line.endswith("sample review")


def test_list_tells_of_a_runbook_that_cannot_be_read_and_ends_with_1(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "odd.md").write_text("# Odd\n")

    assert command(["runbooks", "list"]) == 1

    said = capsys.readouterr()
    assert "odd.md: has no front matter" in said.err
    assert len(said.out.splitlines()) == 12


def test_an_empty_folder_is_no_list(folder: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(folder)
    folder.mkdir()

    assert command(["runbooks", "list"]) == 1
    assert "There is no runbook in runbooks/" in capsys.readouterr().err


def test_sign_records_a_review_and_renews_the_index(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert command(["runbooks", "sign", "deploy", "--reviewer", "Eve"]) == 0

    said = capsys.readouterr().out
    assert f"deploy.md: reviewed by Eve on {TODAY}" in said
    assert "README.md: the index is written again" in said
    runbook = read_runbook(folder / "deploy.md", folder.parent)
    (review,) = runbook.valid_reviews(TODAY, timedelta(days=180), samples=False)
    assert (review.name, review.date, review.content_hash) == ("Eve", TODAY, runbook.content_hash)
    assert f"| Eve | {TODAY} | never | reviewed |" in (folder / "README.md").read_text()
    assert command(["runbooks", "index", "--check"]) == 0


def test_sign_twice_is_one_review(folder: Path):
    for name in ("Eve", "EVE"):
        assert command(["runbooks", "sign", "deploy", "--reviewer", name, "--date", "2026-01-31"]) == 0

    reviewers = read_runbook(folder / "deploy.md", folder.parent).about.reviewers
    assert [each.name for each in reviewers] == ["Operations owner", "EVE"]


def test_a_sample_says_that_nobody_stands_behind_it(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert command(["runbooks", "sign", "deploy", "--reviewer", "Some role", "--sample"]) == 0
    assert "a sample review, by nobody, under the name Some role" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sign", "rolback", "--reviewer", "Eve"], 5, "Did you mean 'rollback'?"),
        (["sign", "zebra", "--reviewer", "Eve"], 5, "There are: cache-trouble, "),
        (["sign", "deploy", "--reviewer", "service  TEAM"], 1, "nobody reviews their own runbook"),
        (["sign", "deploy", "--reviewer", " "], 1, "a review needs a name"),
        (["sign", "deploy", "--reviewer", "Eve", "--date", "2999-01-01"], 5, "is yet to come"),
        (["sign", "deploy", "--reviewer", "Eve", "--next-review", "2020-01-01"], 1, "not after this one"),
        (["list", "--folder", "nowhere"], 5, "There is no folder nowhere/"),
        (["list", "--folder", "/"], 5, "lies outside of"),
        (["list", "--plan", "none.toml"], 3, "none.toml"),
        (["rehearsed", "rollback", "nowhere"], 1, "is no evidence bundle"),
        (["rehearsed", "rolback", "nowhere"], 5, "Did you mean 'rollback'?"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
):
    assert command(["runbooks", *arguments]) == code
    assert words in capsys.readouterr().err
    for path in folder.iterdir():
        assert path.read_bytes() == (ROOT / "runbooks" / path.name).read_bytes()


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["sign", "deploy"], ["sign", "deploy", "--reviewer", "E", "--date", "x"]]
)
def test_a_wrong_command_line_ends_with_5(arguments: list[str]):
    assert leave(*arguments) == 5


def test_a_stale_index_fails_the_check_until_it_is_written(folder: Path, capsys: pytest.CaptureFixture[str]):
    path = folder / "deploy.md"
    path.write_text(path.read_text().replace("owner: Service team", "owner: Platform team"))

    assert command(["runbooks", "index", "--check"]) == 1
    assert "the index is stale" in capsys.readouterr().err
    assert command(["runbooks", "index"]) == 0
    assert command(["runbooks", "index", "--check"]) == 0
    assert "| Platform team |" in (folder / "README.md").read_text()


def test_an_index_without_its_place_is_refused_with_what_to_write(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "README.md").write_text("# Runbooks\n")

    assert command(["runbooks", "index"]) == 1
    assert "<!-- index: begin;" in capsys.readouterr().err
    assert command(["runbooks", "sign", "deploy", "--reviewer", "Eve"]) == 0, "there is no index to renew"
    assert (folder / "README.md").read_text() == "# Runbooks\n"


def test_a_broken_neighbour_keeps_nobody_from_signing(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "odd.md").write_bytes(b"\xff")

    assert command(["runbooks", "sign", "deploy", "--reviewer", "Eve"]) == 0
    assert "the index cannot be written: runbooks/odd.md: cannot be read" in capsys.readouterr().err
    assert "Eve" in (folder / "deploy.md").read_text()


def test_a_runbook_of_another_folder_needs_no_plan(folder: Path):
    folder.rename(folder.parent / "books")
    (folder.parent / "readiness.toml").unlink()

    assert command(["runbooks", "list", "--folder", "books"]) == 0


def test_a_rehearsal_is_recorded_from_the_evidence_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]):
    wording = content_hash((folder / "rollback.md").read_text())
    seen = rollback_seen()
    followed = replace(seen.rehearsals[1], runbook_hash=wording)
    story = Story(drive=None, rollback=replace(seen, rehearsals=(seen.rehearsals[0], followed)))
    bundle = a_bundle(folder.parent / "bundle", story)

    assert command(["runbooks", "rehearsed", "rollback", str(bundle)]) == 0

    assert "rehearsed in run 20260301-120000-abcd on 2026-03-01 (emulated)" in capsys.readouterr().out
    runbook = read_runbook(folder / "rollback.md", folder.parent)
    assert runbook.unrehearsed(TODAY, timedelta(days=3650)) == ""
    assert runbook.content_hash == wording
    assert runbook.void_reviews(None, timedelta(days=180)) == {}
    assert (
        "| 2026-03-01 (20260301-120000-abcd, on the embedded AWS) | sample review |"
        in (folder / "README.md").read_text()
    )

    (folder / "rollback.md").write_text((folder / "rollback.md").read_text() + "more\n")
    assert command(["runbooks", "rehearsed", "rollback", str(bundle)]) == 1
    assert "another wording was followed" in capsys.readouterr().err
