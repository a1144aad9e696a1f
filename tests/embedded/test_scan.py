"""Stories of `readiness scan`, with the real command line and the real scanners."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.embedded import harness

CLEAN = harness.ROOT / "tests" / "data" / "templates" / "clean.template.json"
PLANTED = harness.ROOT / "tests" / "data" / "templates" / "planted.yaml"


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "readiness", "scan", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(harness.ROOT)},
        start_new_session=True,
    )


def scan(folder: Path, *arguments: str) -> tuple[int, str]:
    process = start(folder, *arguments)
    said, complained = process.communicate(timeout=120)
    assert "Traceback" not in complained
    return process.returncode, said + complained


def scanners_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the scanners that it has running now."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for child in children:
        try:
            if any("readiness.scan." in word for word in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def test_a_clean_template_passes_without_plan_and_account(tmp_path: Path):
    code, said = scan(tmp_path, str(CLEAN), "--output", str(tmp_path / "out"))

    assert code == 0, said
    assert "security: passed" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "findings.json",
        "findings.csv",
        "findings.sarif",
        "findings.junit.xml",
    }


def test_planted_faults_fail(tmp_path: Path):
    code, said = scan(tmp_path, str(PLANTED))

    assert code == 2
    assert "security: failed" in said


@pytest.mark.parametrize("victim", ["checkov", "cloudformation_validate"])
def test_a_scanner_that_is_killed_is_a_gap_and_no_clean_bill(tmp_path: Path, victim: str):
    process = start(tmp_path, str(CLEAN), "--json")

    def killed() -> bool:
        for scanner in scanners_of(process):
            if f"readiness.scan.{victim}" in scanner.cmdline():
                scanner.kill()
                return True
        return False

    harness.wait_until(killed, f"{victim} to be there", within_s=60)
    said, complained = process.communicate(timeout=120)

    results = {each["gate"]: each for each in json.loads(said)}
    assert process.returncode == 1, complained
    assert results["security"]["outcome"] == "inconclusive"
    gaps = {gap["what"]: gap["why"] for gap in results["security"]["judgement"]["gaps"]}
    assert "killed by signal 9" in gaps[victim.replace("_", "-")], gaps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_scan_leaves_no_scanner_behind(tmp_path: Path, number: signal.Signals):
    process = start(tmp_path, str(CLEAN))
    harness.wait_until(lambda: len(scanners_of(process)) >= 3, "the scanners to be there", within_s=60)
    scanners = scanners_of(process)

    os.kill(process.pid, number)
    _, complained = process.communicate(timeout=60)

    assert "Traceback" not in complained
    assert process.returncode == 130
    _, alive = psutil.wait_procs(scanners, timeout=20)
    assert alive == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("notes.yaml", "just: text", "has no table `Resources`"),
        ("broken.json", "{", "is neither JSON nor YAML"),
        ("empty.yaml", "", "has no table `Resources`"),
    ],
)
def test_a_file_that_is_no_template_is_told_and_not_passed(tmp_path: Path, name: str, text: str, told: str):
    (tmp_path / name).write_text(text)

    code, said = scan(tmp_path, name)

    assert code == 1
    assert told in said


def test_an_empty_folder_is_told_and_not_passed(tmp_path: Path):
    (tmp_path / "empty").mkdir()

    code, said = scan(tmp_path, "empty")

    assert code == 1
    assert "holds no template" in said


def test_two_scans_at_the_same_time_do_not_disturb_each_other(tmp_path: Path):
    one, other = start(tmp_path, str(CLEAN)), start(tmp_path, str(PLANTED))

    one.communicate(timeout=180)
    other.communicate(timeout=180)

    assert (one.returncode, other.returncode) == (0, 2)
