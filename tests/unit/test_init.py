"""`readiness init`: what it writes is a valid plan with the answers in it, and nothing is ever overwritten."""

from __future__ import annotations

import io
import json
import tomllib
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from readiness import waivers
from readiness.cli import command
from readiness.decide import ExitCode
from readiness.drill_orders import alarmed, method_of
from readiness.estimate import estimate, findings
from readiness.first_plan import Answers, first_plan
from readiness.model import Environment, Plan
from readiness.plan import load_plan, parse

REPOSITORY = Path(__file__).parents[2]
FLAGS = ("--name", "shop", "--image", "shop:1.4.2", "--yes")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_flags_make_a_valid_plan_that_a_run_can_answer(folder, capsys):
    flags = ("--port", "9000", "--rate", "2.5", "--p95", "1s500ms", "--health-path", "/up", "--region", "eu-north-1")

    assert command(["init", *FLAGS, *flags]) == 0

    plan = load_plan(folder / "readiness.toml")
    assert (plan.service.name, plan.service.image, plan.service.port) == ("shop", "shop:1.4.2", 9000)
    assert plan.service.health_path == "/up"
    assert plan.workload.arrivals.rate_per_s == 2.5
    assert plan.objectives[0].threshold == timedelta(seconds=1.5) < plan.drills.alarms.fault_delay
    assert plan.aws.region == "eu-north-1"
    assert list(findings(plan, estimate(plan, Environment.EMULATED))) == []
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "Written: readiness.toml, waivers.toml"
    assert "  3. Rehearse it, with no AWS account: readiness run\n" in said
    assert "runbooks/high-latency.md" in said


@pytest.mark.parametrize("rate", [0.5, 1, 3, 20, 1000, 25000.5])
def test_every_objective_has_its_samples_at_any_rate(folder, rate):
    (folder / "a.toml").write_text(first_plan(Answers(name="shop", image="shop:1", rate_per_s=rate), ""))
    plan = load_plan(folder / "a.toml")

    assert {each.standing for each in estimate(plan, Environment.AWS).samples} == {"enough"}


def test_the_plan_is_valid_by_the_published_schema():
    schema = json.loads((REPOSITORY / "readiness/data/plan.schema.json").read_text())

    jsonschema.validate(tomllib.loads(first_plan(Answers(name="shop", image="shop:1"), "x.json")), schema)


def test_a_first_plan_asks_for_everything_that_the_shipped_plan_asks_for():
    """What the shipped plan's rehearsal shows to be enough for a GO is what a first plan starts with."""
    first = parse(Plan, tomllib.loads(first_plan(Answers(name="shop", image="shop:1"), "")), "first")
    shipped = load_plan(REPOSITORY / "readiness.toml")

    assert first.gates.required == shipped.gates.required
    assert (first.budget, first.notify, first.embedded.confirms) == (
        shipped.budget,
        shipped.notify,
        shipped.embedded.confirms,
    )
    assert first.aws.production_stacks == shipped.aws.production_stacks
    assert {method_of(first, each) for each in alarmed(first)} == {
        method_of(shipped, each) for each in alarmed(shipped)
    }


def test_text_that_is_odd_stays_what_it_is(folder):
    odd = 'r.example.com/"shop"\\<<port>>:é'

    assert command(["init", "--name", "shop", "--image", odd, "--yes"]) == 0

    plan = load_plan(folder / "readiness.toml")
    assert plan.service.image == odd
    assert odd in plan.embedded.images


def test_the_users_own_command_and_fault_are_written(folder, capsys):
    own = ("--stand-in", "./build/shop -listen '{host}:{port}'", "--spoilt", "FAIL=yes")

    assert command(["init", *FLAGS, *own]) == 0

    plan = load_plan(folder / "readiness.toml")
    assert plan.embedded.images["shop:1.4.2"] == ("./build/shop", "-listen", "{host}:{port}")
    assert plan.drills.rollback.bad[0].environment == {"FAIL": "yes"}
    assert "stands in until then" not in capsys.readouterr().out


def test_a_file_that_is_there_is_never_overwritten(folder, capsys):
    (folder / "readiness.toml").write_text("mine")

    assert command(["init", *FLAGS]) == ExitCode.USAGE

    assert (folder / "readiness.toml").read_text() == "mine"
    assert "--output" in capsys.readouterr().err
    assert command(["init", *FLAGS, "--output", "shop.toml"]) == 0
    assert "readiness plan --plan shop.toml" in capsys.readouterr().out


def test_a_register_that_is_there_stays_and_one_that_is_not_is_valid(folder):
    assert command(["init", *FLAGS]) == 0
    assert waivers.load_waivers(folder / "waivers.toml") == ()
    (folder / "waivers.toml").write_text("# mine\n")

    assert command(["init", *FLAGS, "--output", "other.toml"]) == 0

    assert (folder / "waivers.toml").read_text() == "# mine\n"


def test_on_a_terminal_what_no_flag_says_is_asked_for(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", Terminal("\nshop\n9000\n\n/cart\n50\n\n\nme@example.com\n"))

    assert command(["init", "--image", "shop:1"]) == 0

    plan = load_plan(folder / "readiness.toml")
    assert (plan.service.name, plan.service.port, plan.workload.scenarios[0].path) == ("shop", 9000, "/cart")
    assert plan.workload.arrivals.rate_per_s == 50
    assert plan.notify.emails == plan.embedded.confirms == ("me@example.com",)
    assert "Its container image" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--yes",), "--name and --image must be given"),
        (("--name", "shop"), "--image must be given"),
        (("--name", "My Shop", "--image", "a", "--yes"), "service.name is 'My Shop'; allowed is an identifier"),
        ((*FLAGS, "--port", "99999"), "service.port is 99999"),
        ((*FLAGS, "--port", "http"), "--port: 'http' is no number"),
        ((*FLAGS, "--rate", "many"), "--rate: 'many' is no number"),
        ((*FLAGS, "--rate", "0"), "rate_per_s"),
        ((*FLAGS, "--p95", "250"), "--p95: '250' is no duration"),
        ((*FLAGS, "--p95", "0s"), "--p95"),
        ((*FLAGS, "--path", "cart"), "begins with /"),
        ((*FLAGS, "--spoilt", "FAIL"), "VARIABLE=VALUE"),
        ((*FLAGS, "--stand-in", "'"), "--stand-in"),
    ],
)
def test_a_wrong_answer_is_told_and_nothing_is_written(folder, capsys, flags, words):
    assert command(["init", *flags]) == ExitCode.USAGE

    assert words in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(capsys):
    assert command(["init", *FLAGS, "--output", "no/such/plan.toml"]) == ExitCode.NO_RELIABLE_VERDICT

    assert "cannot be written" in capsys.readouterr().err
