from __future__ import annotations

import json
import random

import pytest

from readiness.errors import EvidenceError
from readiness.loadgen import lines, rows
from readiness.loadgen.rows import Row, Tallies, Tally, by_scenario, from_rows, joined, tally_of, to_rows


def tallies(seed: int, requests: int = 500, spread: float = 1.0) -> Tallies:
    choose = random.Random(seed)
    made: Tallies = {}
    for _ in range(requests):
        tally = tally_of(made, choose.randrange(5), choose.choice(["a", "b"]))
        tally.count(rows.OFFERED)
        tally.time(
            rows.OUTCOME_SERIES + choose.choice([rows.OK, rows.OK, rows.STATUS]), int(choose.lognormvariate(9, spread))
        )
    return made


def test_rows_survive_lines_that_are_each_short_enough_for_a_log_driver() -> None:
    wide = tallies(1, requests=60_000, spread=3.0)
    chunks = list(lines.chunks(to_rows(wide)))
    assert len(chunks) > 1
    assert all(
        len(json.dumps({"n": 1, "type": "rows", "rows": chunk}, separators=(",", ":"))) < 15_000 for chunk in chunks
    )
    read: list[Row] = [lines.row_of(piece) for chunk in chunks for piece in json.loads(json.dumps(chunk))]
    assert to_rows(from_rows(read)) == to_rows(wide)


def test_a_line_that_would_be_cut_in_two_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="cut in two"):
        lines.Printer().line("progress", text="x" * 15_000)
    assert capsys.readouterr().out == ""


def test_lines_are_numbered(capsys: pytest.CaptureFixture[str]) -> None:
    printer = lines.Printer()
    printer.line("a")
    printer.rows(to_rows(tallies(1)))
    numbers = [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 2


def test_quick_failures_do_not_flatter_the_latency_and_timeouts_count() -> None:
    tally = Tally()
    for outcome, latency in ((rows.OK, 100_000), (rows.TIMEOUT, 10_000_000), (rows.STATUS, 1), (rows.CONNECT, 1)):
        tally.time(rows.OUTCOME_SERIES + outcome, latency)
    assert tally.latencies().total == 2
    assert tally.latencies().value_at_rank(1) >= 100_000
    assert (tally.requests, tally.failed) == (4, 3)


@pytest.mark.parametrize("seconds", [None, range(5), range(1, 4), range(9, 12)])
def test_scenarios_over_some_seconds_are_their_tallies_added_up(seconds: range | None) -> None:
    pieces = [
        *to_rows(tallies(1)),
        *to_rows(tallies(2)),
        *(row for seed in range(30) for row in to_rows(tallies(seed))),
    ]
    expected: dict[str, Tally] = {}
    for (second, scenario), tally in from_rows(pieces).items():
        if seconds is None or second in seconds:
            expected.setdefault(scenario, Tally()).merge(tally)
    found = by_scenario(pieces, seconds)
    assert {name: (tally.histograms, tally.counts) for name, tally in found.items()} == {
        name: (tally.histograms, tally.counts) for name, tally in expected.items()
    }
    assert {name: tally.requests for name, tally in found.items()} == {
        name: tally.requests for name, tally in expected.items()
    }


def test_pieces_of_a_row_are_joined_and_whole_rows_stay_as_they_are() -> None:
    one, two = to_rows(tallies(1)), to_rows(tallies(2))
    assert joined([*one, *two]) == to_rows(from_rows([*one, *two]))
    assert joined(reversed(one)) == one


def test_a_damaged_row_is_refused_whatever_is_asked_of_it() -> None:
    good = to_rows(tallies(1))
    bad = Row(second=1, scenario="a", histograms={rows.OUTCOME_SERIES + rows.OK: "nonsense"}, counts={})
    for ask in (from_rows, by_scenario, joined):
        with pytest.raises(EvidenceError, match="cannot be read"):
            ask([*good, bad])
