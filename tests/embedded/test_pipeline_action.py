"""The steps of the GitHub action, run here as a runner would run them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

from tests.embedded.harness import ROOT

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def filled(text: str, inputs: dict[str, str], outputs: dict[str, str]) -> str:
    """Put values where a runner would."""
    text = re.sub(r"\$\{\{ inputs\.([\w-]+) }}", lambda found: inputs[found.group(1)], text)
    return re.sub(r"\$\{\{ steps\.run\.outputs\.([\w-]+) }}", lambda found: outputs[found.group(1)], text)


def run_steps(folder: Path, **given: str) -> tuple[dict[str, int], dict[str, str]]:
    """Run each shell step of the action but the comment; return their exit codes by name, and what was output."""
    inputs = {name: str(about.get("default", "")) for name, about in ACTION["inputs"].items()} | given
    output = folder / "output"
    output.touch()
    codes: dict[str, int] = {}
    outputs: dict[str, str] = {}
    for step in ACTION["runs"]["steps"]:
        if "run" not in step or step["name"] == "Comment":
            continue
        env = {name: filled(value, inputs, outputs) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=ROOT,
            env={**os.environ, "GITHUB_OUTPUT": str(output), **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        codes[step["name"]] = done.returncode
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return codes, outputs


def test_the_action_runs_keeps_the_evidence_and_ends_with_the_exit_code_of_the_run(tmp_path):
    evidence = tmp_path / "evidence"

    codes, outputs = run_steps(tmp_path, evidence=str(evidence), arguments="--only\ncfn-lint\n\n--only\nrunbooks\n")

    assert codes["Run"] == 0  # so that the steps after it happen
    assert outputs["exit-code"] == "1"  # most required gates were not asked
    assert codes["Tear down what a killed run left"] == 0
    assert codes["End with the exit code of the run"] == 1
    assert (evidence / "record.json").exists()
    assert (evidence / "findings.sarif").exists()
