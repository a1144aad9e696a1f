"""``readiness scan``: with a plan, and without one for templates that are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from readiness import gates
from readiness.errors import PlanError, ReadinessError
from readiness.model import Outcome, Severity
from readiness.review import review
from tests.unit.samples import PLAN, a_finding, a_gate, a_judgement


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.template.json").write_text('{"Resources": {"A": {"Type": "AWS::A::B"}}}')
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the scanning gates find a fault, and say for which region they were asked."""
    regions: list[str] = []

    def observe(ctx, settings):
        regions.append(ctx.plan.aws.region)
        assert [path.name for path in ctx.templates] == ["a.template.json"]
        return a_gate("security").observe(ctx, settings)

    found = a_judgement(a_finding("Bucket", Severity.HIGH))
    fakes = [
        replace(a_gate(name), observe=observe, judge=lambda seen, settings: found) for name in ("cfn-lint", "security")
    ]
    monkeypatch.setattr(gates, "all_gates", lambda: tuple(fakes))
    return regions


def scan(*templates: str, plan: str = "readiness.toml"):
    return review(Path.cwd(), Path(plan), Path("waivers.toml"), tuple(Path(each) for each in templates))


def test_templates_need_no_plan_and_leave_nothing_behind(asked: list[str], folder: Path):
    seen = scan("templates")

    assert seen.outcome is Outcome.FAILED
    assert seen.blocking == (Severity.CRITICAL, Severity.HIGH)
    assert all(result.required for result in seen.results)
    assert asked == ["eu-west-1"] * 2
    assert [each.name for each in folder.iterdir()] == ["templates"]


def test_a_plan_that_is_there_is_used(asked: list[str], folder: Path):
    (folder / "readiness.toml").write_text(PLAN + '\n[aws]\nregion = "us-west-2"\n')
    scan("templates")

    assert asked == ["us-west-2"] * 2


def test_a_plan_that_is_named_must_be_there(asked: list[str]):
    with pytest.raises(PlanError, match="there is no such file"):
        scan("templates", plan="mine.toml")


def test_without_templates_a_plan_is_needed(asked: list[str]):
    with pytest.raises(PlanError, match="there is no such file"):
        scan()


@pytest.mark.parametrize("name", ["nothing.json", "empty"])
def test_what_holds_no_template_is_named(asked: list[str], folder: Path, name: str):
    (folder / "empty").mkdir()

    with pytest.raises(ReadinessError, match=name):
        scan(name)
