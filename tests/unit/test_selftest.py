"""`readiness selftest`: which bundle it takes, what it does with it, and what the shell is told."""

from __future__ import annotations

import json

import pytest

from readiness import gates, selftest
from readiness.cli import command
from readiness.errors import EvidenceError
from readiness.model import ControlShown, Stage
from readiness.run import RUNS, Request, attempt, conclude, freeze
from readiness.selftest import forgeries, latest_passed
from tests.unit.samples import PLAN, a_context, a_gate, a_narrator

ROW = ControlShown(
    id="load/no-traffic", plants="no request was made", came_to="inconclusive", said="no request was due"
)


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    """Return a function that seals the bundle of a run whose gate sees *values*."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readiness.toml").write_text(PLAN)

    def seal(*values):
        known = (a_gate("numbers", values), a_gate("words", (1.0,)), a_gate("left", stage=Stage.AFTER_TEARDOWN))
        monkeypatch.setattr(gates, "all_gates", lambda: known)
        request = Request(
            repository=tmp_path,
            plan_file=tmp_path / "readiness.toml",
            waivers_file=tmp_path / "waivers.toml",
            target="embedded",
            allow_dirty=True,
        )
        this = freeze(request, a_narrator()[0])
        context = a_context(this.folder, bundle=this.bundle, ledger=this.ledger)
        this.results += [attempt(this, gate, context) for gate in known]
        conclude(this)
        return this.bundle.root

    return seal


def test_every_forgery_is_refused_and_the_bundle_stays_as_it_is(sealed):
    bundle = sealed(1.0)
    before = {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()}

    rows = tuple(forgeries.controls(bundle))

    assert len(rows) >= 7
    assert {row.id: row.came_to for row in rows} == {row.id: "refused" for row in rows}
    assert {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()} == before


def test_a_verification_that_confirms_anything_is_found_out(sealed, monkeypatch):
    bundle = sealed(1.0)
    monkeypatch.setattr(forgeries, "verify", lambda bundle: None)

    assert {row.came_to for row in forgeries.controls(bundle)} == {"passed"}


def test_a_bundle_that_did_not_pass_is_refused(sealed, tmp_path):
    with pytest.raises(EvidenceError, match="failed"):
        selftest.selftest(sealed(11.0), tmp_path)


def test_the_newest_bundle_that_passed_is_taken(sealed, tmp_path):
    older = sealed(1.0)
    sealed(11.0)

    assert latest_passed(tmp_path) == older


def test_without_a_run_that_passed_the_user_is_told_to_make_one(tmp_path):
    (tmp_path / RUNS).mkdir(parents=True)

    with pytest.raises(EvidenceError, match="No run has passed here yet") as told:
        latest_passed(tmp_path)
    assert "readiness run" in told.value.hint


@pytest.mark.parametrize(
    ("came_to", "code"), [("failed", 0), ("inconclusive", 0), ("refused", 0), ("not shown", 1), ("passed", 2)]
)
def test_the_exit_code_says_whether_a_fault_got_through(came_to, code, monkeypatch, tmp_path, capsys):
    from dataclasses import replace

    rows = (ROW, replace(ROW, id="load/other", came_to=came_to))
    monkeypatch.setattr(selftest, "selftest", lambda bundle, repository: rows)

    assert command(["selftest", str(tmp_path)]) == code

    said = capsys.readouterr().out
    assert f"{2 if code == 0 else 1} of 2 planted faults were kept from passing" in said
    assert ("LET THROUGH" in said) == (came_to == "passed")


def test_the_table_is_printed_as_json(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(selftest, "selftest", lambda bundle, repository: (ROW,))

    assert command(["selftest", "--json", str(tmp_path)]) == 0

    (row,) = json.loads(capsys.readouterr().out)
    assert row["id"] == "load/no-traffic"


def test_a_folder_that_is_no_bundle_is_told_in_a_sentence(tmp_path, capsys):
    assert command(["selftest", str(tmp_path)]) == 1
    assert "is no evidence bundle" in capsys.readouterr().err
