"""Every gate: one file, one question, settings with defaults, an observation that reads back."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from readiness import gates
from readiness.gate import Gate
from readiness.model import Stage
from readiness.plan import load_plan

REPOSITORY = Path(__file__).parents[3]
GATES = {gate.id: gate for gate in gates.all_gates()}


def test_every_file_of_the_folder_is_a_gate_called_like_it():
    files = {module.name for module in pkgutil.iter_modules(gates.__path__)}

    assert {gate_id.replace("-", "_") for gate_id in GATES} == files


def test_gates_are_asked_in_the_order_of_a_run():
    stages = [list(Stage).index(gate.stage) for gate in gates.all_gates()]

    assert stages == sorted(stages)


def test_the_gates_that_the_plan_of_this_repository_requires_exist():
    assert set(load_plan(REPOSITORY / "readiness.toml").gates.required) <= set(GATES)


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_a_gate_asks_a_question(gate):
    assert gate.question.endswith("?")
    assert gate.question[0].isupper()


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_every_setting_has_a_default_that_its_own_type_accepts(gate):
    assert all(each.default is not MISSING or each.default_factory is not MISSING for each in fields(gate.settings))
    adapter = TypeAdapter(gate.settings)
    assert adapter.validate_json(adapter.dump_json(gate.settings())) == gate.settings()


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_settings_and_observation_refuse_unknown_keys_and_figures_that_are_no_numbers(gate):
    for kind in (gate.settings, gate.observation):
        assert is_dataclass(kind)
        assert kind.__pydantic_config__ == {"extra": "forbid", "allow_inf_nan": False}


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_every_gate_has_a_test_of_its_own(gate):
    assert (Path(__file__).parent / f"test_{gate.id.replace('-', '_')}.py").exists()


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_what_a_gate_does_is_said_in_its_first_line(gate):
    module = importlib.import_module(f"readiness.gates.{gate.id.replace('-', '_')}")

    assert (module.__doc__ or "").startswith("Gate")


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_a_gate_that_can_do_something_to_the_clone_has_the_clone_proven_first(gate):
    """Loading, breaking, releasing and stopping start in these modules; whoever imports one has to say ``acts``."""
    module = importlib.import_module(f"readiness.gates.{gate.id.replace('-', '_')}")
    acting = {"readiness.load", "readiness.drill", "readiness.drill_release", "readiness.runbook_steps"}
    modules = {getattr(each, "__name__", "") for each in vars(module).values()}

    assert gate.acts or not modules & acting


# --- a folder with something wrong in it -----------------------------------------------------------------------------

GOOD = """
from readiness.gate import Gate
from readiness.model import Judgement, Stage, record

@record
class Settings:
    pass

@record
class Observation:
    pass

GATE = Gate(id="{id}", question="Is it?", stage=Stage.STEADY, settings=Settings, observation=Observation,
            observe=lambda ctx, settings: Observation(), judge=lambda seen, settings: Judgement(examined=0))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is walked in addition to our own."""
    monkeypatch.setattr(gates, "__path__", [str(tmp_path)])
    gates.all_gates.cache_clear()
    yield tmp_path
    gates.all_gates.cache_clear()
    for name in [name for name in sys.modules if name.startswith("readiness.gates.sample_")]:
        del sys.modules[name]


def test_a_file_dropped_into_the_folder_is_a_gate(folder):
    (folder / "sample_new.py").write_text(GOOD.format(id="sample-new"))

    (gate,) = gates.all_gates()
    assert isinstance(gate, Gate)
    assert gate.id == "sample-new"


def test_a_file_without_a_gate_is_refused(folder):
    (folder / "sample_empty.py").write_text("")

    with pytest.raises(TypeError, match=r"sample_empty\.py holds no GATE"):
        gates.all_gates()


def test_a_gate_that_is_called_otherwise_than_its_file_is_refused(folder):
    (folder / "sample_named.py").write_text(GOOD.format(id="something-else"))

    with pytest.raises(TypeError, match="its gate is called 'something-else'; name both alike"):
        gates.all_gates()


def test_within_a_stage_the_lower_order_comes_first_then_the_name(folder):
    for name, order in (("sample_a", 60), ("sample_b", 50), ("sample_c", 50)):
        text = GOOD.format(id=name.replace("_", "-")).replace("id=", f"order={order}, id=")
        (folder / f"{name}.py").write_text(text)

    assert [gate.id for gate in gates.all_gates()] == ["sample-b", "sample-c", "sample-a"]
