"""A scanner that is missing, crashes, hangs or talks nonsense says so in its run; its silence is never clean."""

from __future__ import annotations

from pathlib import Path

import pytest

from readiness import scan as scanning
from readiness.model import ControlFamily
from readiness.scan.child import Order, ask
from readiness.scan.findings import gaps
from readiness.scan.observed import Scan, ScannerRun, TemplateSeen

ORDER = Order(templates={"a.template.json": "/nowhere/a.template.json"}, region="eu-west-1")
SEEN = TemplateSeen(name="a.template.json", digest="sha256:0", resources={"Queue": "AWS::SQS::Queue"})


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    """Write a module that stands in for a scanner and return its name."""
    (folder / "stand_in.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "stand_in"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; sys.exit('no licence')", "no licence"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
        ("print('looking good!')", "unreadable"),
        ("", "unreadable"),
        ("import time; time.sleep(60)", "did not end in time"),
        (
            "from readiness.scan.child import answer\n"
            "def scan(order): raise RuntimeError('lost my rules')\n"
            "answer('checkov', scan)",
            "lost my rules",
        ),
    ],
)
def test_a_scanner_that_does_not_answer_says_why_and_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
):
    run = ask("checkov", module(tmp_path, monkeypatch, code), ORDER, deadline_s=2 if "sleep" in code else 30)

    assert run.results == ()
    assert why in run.errors[0]
    assert [gap.what for gap in gaps(Scan(templates=(SEEN,), runs=(run,)), ["checkov"], ())] == ["checkov"]


def test_a_missing_scanner_is_a_gap():
    run = ask("checkov", "readiness.scan.no_such_scanner", ORDER, deadline_s=30)

    assert "no_such_scanner" in run.errors[0]


def test_what_a_scanner_prints_does_not_spoil_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = (
        "import os\n"
        "from readiness.scan.child import answer\n"
        "from readiness.scan.observed import ScannerRun\n"
        "def scan(order):\n"
        "    print('chatter'); os.system('echo more chatter')\n"
        "    return ScannerRun(scanner='checkov', templates=tuple(order.templates))\n"
        "answer('checkov', scan)"
    )

    assert ask("checkov", module(tmp_path, monkeypatch, code), ORDER, 30).templates == ("a.template.json",)


def test_a_scanner_runs_where_no_configuration_file_can_switch_a_rule_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = (
        "import os, pathlib\n"
        "from readiness.scan.child import answer\n"
        "from readiness.scan.observed import ScannerRun\n"
        "def scan(order):\n"
        "    here = [path.name for path in pathlib.Path('.').iterdir()]\n"
        "    same = os.path.samefile(os.environ['HOME'], '.')\n"
        "    return ScannerRun(scanner='checkov', errors=(f'{here} {same} {os.environ.get(\"CKV_IGNORE\")}',))\n"
        "answer('checkov', scan)"
    )
    monkeypatch.setenv("CKV_IGNORE", "everything")

    assert ask("checkov", module(tmp_path, monkeypatch, code), ORDER, 30).errors == ("[] True None",)


def test_a_template_that_is_none_is_told_and_no_scanner_is_asked(tmp_path: Path):
    path = tmp_path / "notes.yaml"
    path.write_text("just: notes", encoding="utf-8")

    seen = scanning.scan([path], "eu-west-1")

    assert "has no table `Resources`" in seen.unread["notes.yaml"]
    assert [gap.what for gap in gaps(seen, ["checkov"], ())] == ["template notes.yaml", "templates", "checkov"]


def test_a_scanner_that_left_a_template_out_is_a_gap():
    run = ScannerRun(scanner="checkov", version="1", templates=())

    assert gaps(Scan(templates=(SEEN,), runs=(run,)), ["checkov"], [ControlFamily.IAM]) != ()
