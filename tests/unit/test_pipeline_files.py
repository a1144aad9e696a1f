"""What users copy into their pipelines: valid by the vendors' schemas, pinned, least privilege."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / ".github" / "workflows" / "readiness.yml"
GITLAB = ROOT / "examples" / "ci" / "gitlab-ci.yml"


def ended(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [str(Path(sys.executable).with_name(program)), *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("schema", "file", "more"),
    [
        ("vendor.github-actions", ACTION, ()),
        ("vendor.github-workflows", WORKFLOW, ()),
        ("vendor.gitlab-ci", GITLAB, ("--data-transform", "gitlab-ci")),
    ],
)
def test_a_file_is_valid_by_its_vendors_schema(schema, file, more):
    done = ended("check-jsonschema", "--builtin-schema", schema, *more, str(file))

    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_of_medium_weight_or_more_is_found_by_an_auditor_of_workflows():
    done = ended("zizmor", "--offline", "--quiet", "--min-severity", "medium", str(ACTION), str(WORKFLOW))

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_auditor_would_say_so(tmp_path):
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    planted = tmp_path / ".github" / "workflows" / "planted.yml"
    planted.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: x\n    steps:\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n"
    )

    done = ended("zizmor", "--offline", "--quiet", "--min-severity", "medium", str(planted))

    assert done.returncode != 0


@pytest.mark.parametrize("file", [ACTION, WORKFLOW])
def test_actions_of_others_are_pinned_to_commits(file):
    used = re.findall(r"uses: (\S+)", file.read_text())

    assert used
    for each in used:
        assert each == "./" or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each), each


def test_every_step_of_the_action_but_the_set_up_and_the_run_happens_whatever_the_run_came_to():
    steps = yaml.safe_load(ACTION.read_text())["runs"]["steps"]

    for step in steps[2:-1]:
        assert step["if"].startswith("always()"), step["name"]
    assert steps[-1]["run"].startswith("exit ")


def test_inputs_reach_a_shell_through_its_environment_only():
    for step in yaml.safe_load(ACTION.read_text())["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), step["name"]


def test_the_workflow_may_do_nothing_that_its_jobs_do_not_ask_for():
    workflow = yaml.safe_load(WORKFLOW.read_text())

    assert workflow["permissions"] == {}
    assert workflow["jobs"]["clean-up"]["permissions"] == {"contents": "read", "id-token": "write"}


def test_the_page_about_pipelines_names_every_input_of_the_action():
    page = (ROOT / "docs" / "ci.md").read_text()

    for name, about in yaml.safe_load(ACTION.read_text())["inputs"].items():
        assert f"| `{name}` | {about['description']} |" in page
