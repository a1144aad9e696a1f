"""What moved between two runs, and what only seems to have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readiness import stats
from readiness.cli import command
from readiness.compare import Move, compare, compare_bundles, told
from readiness.decide import ExitCode
from readiness.errors import EvidenceError
from readiness.evidence import RECORD, BundleWriter
from readiness.model import Environment, Measurement, Record
from tests.unit.samples import a_finding, a_judgement, a_record, a_result


def latency(value, low=None, high=None, name="p95"):
    interval = None if low is None else (low, high)
    return Measurement(name=name, value=value, unit="ms", samples=1000, interval=interval)


def ratio(value, samples, name="error-ratio"):
    return Measurement(name=name, value=value, unit="ratio", samples=samples)


def run(*measurements, **changes):
    judgement = replace(a_judgement(), measurements=measurements)
    return replace(a_record(a_result("load", judgement=judgement)), **changes)


def move(old, new):
    (figure,) = compare(run(old), run(new)).figures
    return figure.move


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        (latency(100, 95, 105), latency(120, 115, 125), Move.WORSE),
        (latency(100, 95, 105), latency(80, 75, 85), Move.BETTER),
        (latency(100, 95, 105), latency(108, 103, 113), Move.NOISE),
        (latency(100, 95, 105), latency(120), Move.MOVED),
        (latency(100), latency(100), Move.SAME),
        (ratio(0.001, 10_000), ratio(0.02, 10_000), Move.WORSE),
        (ratio(0.01, 100), ratio(0.02, 100), Move.NOISE),
        (ratio(0.5, 10_000, "cache-hit-ratio"), ratio(0.3, 10_000, "cache-hit-ratio"), Move.WORSE),
        (ratio(0.5, 10_000, "cache-hit-ratio"), ratio(0.7, 10_000, "cache-hit-ratio"), Move.BETTER),
        (ratio(0.5, 10_000, "odd"), ratio(0.7, 10_000, "odd"), Move.MOVED),
        (ratio(0.0, 0), ratio(0.5, 0), Move.MOVED),
    ],
)
def test_a_figure_is_worse_or_better_only_where_chance_is_ruled_out(old, new, moved):
    assert move(old, new) is moved


def test_the_objective_says_which_way_is_better():
    least = Measurement(name="x", value=10, unit="answers", samples=5, threshold=5, comparison=">=", interval=(9, 11))

    assert move(least, replace(least, value=20, interval=(19, 21))) is Move.BETTER
    assert move(least, replace(least, value=2, interval=(1, 3))) is Move.WORSE


def test_figures_of_one_run_only_are_named():
    both = compare(run(latency(1), latency(2, name="gone")), run(latency(1), latency(3, name="came")))

    assert (both.only_old, both.only_new) == (("load gone",), ("load came",))


def test_what_makes_two_runs_incomparable_is_said():
    other = run(
        latency(1), environment=Environment.AWS, time_scale=3.0, plan_digest="sha256:other", harness_version="9.9.9"
    )

    assert len(compare(run(latency(1)), other).doubts) == 4
    assert compare(run(latency(1)), run(latency(2))).doubts == ()


def test_a_gate_that_one_run_did_not_ask_is_told():
    old, new = a_record(a_result("load")), a_record(a_result("load"), a_result("alarms"))

    assert compare(old, new).outcomes["alarms"][0] is None
    assert "not asked -> passed" in "\n".join(told(compare(old, new)))


def test_worse_figures_are_told_before_better_ones_and_noise_is_counted_only():
    names = ("a", "b", "c")
    old = run(*(latency(100, 95, 105, name) for name in names))
    new = run(latency(50, 45, 55, "a"), latency(200, 195, 205, "b"), latency(101, 96, 106, "c"))

    text = "\n".join(told(compare(old, new)))

    assert text.index("## Worse") < text.index("| b |") < text.index("## Better") < text.index("| a |")
    assert "| c |" not in text
    assert "1 figures differ by no more than chance" in text
    assert "+100.0%" in text


def test_new_and_fixed_findings_are_told():
    old = a_record(a_result("security", judgement=a_judgement(a_finding("gone", fingerprint="1"))))
    text = "\n".join(told(compare(old, a_record(a_result("security")))))

    assert "0 findings new" in text


def bundle(folder, record):
    writer = BundleWriter(folder)
    writer.put_json(RECORD, Record, record)
    writer.seal()
    return folder


def test_an_altered_bundle_is_not_compared(tmp_path):
    old, new = bundle(tmp_path / "old", run(latency(1))), bundle(tmp_path / "new", run(latency(2)))
    (new / RECORD).write_text((new / RECORD).read_text().replace("2.0", "1.0"))

    with pytest.raises(EvidenceError):
        compare_bundles(old, new)


def test_the_command_prints_markdown_or_json(tmp_path, capsys):
    old, new = bundle(tmp_path / "old", run(latency(1, 0, 2))), bundle(tmp_path / "new", run(latency(9, 8, 10)))

    assert command(["compare", str(old), str(new)]) == ExitCode.GO
    assert "## Worse" in capsys.readouterr().out
    assert command(["compare", str(old), str(new), "--json"]) == ExitCode.GO
    assert '"move": "worse"' in capsys.readouterr().out
    assert command(["compare", str(old), str(tmp_path / "none")]) == ExitCode.NO_RELIABLE_VERDICT


@given(st.floats(0, 1), st.integers(1, 10**7))
def test_the_interval_of_a_share_holds_it_and_lies_between_0_and_1(share, samples):
    low, high = stats.share_interval(share, samples)

    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1


def test_the_interval_of_a_share_is_wilsons():
    assert stats.share_interval(0.1, 100) == pytest.approx((0.05523, 0.17437), abs=1e-4)
    assert stats.share_interval(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_no_samples_have_no_interval():
    with pytest.raises(stats.NoSamplesError):
        stats.share_interval(0.5, 0)
