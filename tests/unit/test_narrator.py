"""The voice of a run: text is text, whatever brackets it holds."""

from __future__ import annotations

import errno
import sys

import pytest

from readiness.model import Gap, Severity
from readiness.narrator import Narrator
from tests.unit.samples import a_finding, a_judgement, a_narrator, a_result, a_waiver

ODD = [
    "[bold]not bold[/bold]",
    "[/closing nothing]",
    "ends with a backslash \\",
    "arn:aws:kms:key:id",
    "a [link=https://x.test]b",
    "100% :warning:",
]


@pytest.mark.parametrize("text", ODD)
def test_what_is_said_is_said_to_the_letter(text):
    narrator, said = a_narrator()

    narrator.say(text)
    narrator.warn(text)
    with narrator.stage(text):
        pass

    assert said.getvalue().count(text) == 4


@pytest.mark.parametrize("text", ODD)
def test_findings_and_gaps_are_said_to_the_letter(text):
    narrator, said = a_narrator()
    judgement = a_judgement(a_finding(text, message=text), gaps=(Gap(what=text, why=text),))

    narrator.result(a_result(judgement=judgement))

    assert said.getvalue().count(text) == 4


def test_a_stage_says_that_it_begins_and_how_long_it_took():
    narrator, said = a_narrator()

    with narrator.stage("Deploy the clone"):
        begun = said.getvalue()

    assert begun == "... Deploy the clone\n"
    assert said.getvalue().splitlines()[1].endswith(" s  Deploy the clone")


def test_a_stage_that_fails_does_not_claim_to_have_ended():
    narrator, said = a_narrator()

    with pytest.raises(ZeroDivisionError), narrator.stage("Deploy the clone"):
        raise ZeroDivisionError

    assert said.getvalue() == "... Deploy the clone\n"


def test_after_a_stage_that_failed_on_a_terminal_figures_do_not_go_to_its_spinner():
    narrator, _ = a_narrator(force_terminal=True)

    with pytest.raises(ZeroDivisionError), narrator.stage("Deploy the clone"):
        raise ZeroDivisionError

    assert narrator._status is None


def test_on_a_terminal_figures_are_shown_in_place():
    narrator, said = a_narrator(force_terminal=True)

    with narrator.stage("Load"):
        narrator.figures({"p95": "12 ms"})
        assert "12 ms" in str(narrator._status.status)

    assert "Load" in said.getvalue()


def test_elsewhere_figures_are_said_every_few_seconds_only(monkeypatch):
    narrator, said = a_narrator()
    clock = [100.0]
    monkeypatch.setattr("readiness.narrator.time.monotonic", lambda: clock[0])

    with narrator.stage("Load"):
        for _ in range(100):
            clock[0] += 0.11
            narrator.figures({"rate": "[20]/s", "p95": "12 ms"})

    assert said.getvalue().count("rate [20]/s  p95 12 ms") == 2


@pytest.mark.parametrize(
    ("judgement", "words"),
    [
        (a_judgement(), "numbers passed"),
        (a_judgement(a_finding()), "numbers failed"),
        (a_judgement(examined=0), "numbers inconclusive"),
    ],
)
def test_a_result_is_said_in_a_word(judgement, words):
    narrator, said = a_narrator()

    narrator.result(a_result(judgement=judgement))

    assert words in said.getvalue()


def test_a_gate_that_is_not_required_is_said_to_be():
    narrator, said = a_narrator()

    narrator.result(a_result(required=False))

    assert "numbers passed (not required)" in said.getvalue()


def test_the_finding_that_made_a_gate_fail_is_said_before_lesser_and_waived_ones():
    narrator, said = a_narrator()
    lesser = [a_finding(f"lesser-{index}", Severity.LOW) for index in range(5)]
    judgement = a_judgement(a_finding("accepted", Severity.CRITICAL), *lesser, a_finding("culprit"))

    narrator.result(a_result(judgement=judgement, waivers=(a_waiver(subject="accepted"),)))

    lines = said.getvalue().splitlines()[1:]
    assert lines[0].strip() == "HIGH culprit: is too much (open)"
    assert len(lines) == 5


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    narrator, said = a_narrator(force_terminal=True)

    narrator.result(a_result())

    assert "\x1b[3" not in said.getvalue()
    assert "numbers" in said.getvalue()


def test_what_somebody_is_asked_about_is_shown_as_it_is():
    narrator, said = a_narrator()

    narrator.show("[eu-west-1] costs 2 USD")

    assert said.getvalue() == "[eu-west-1] costs 2 USD\n"


class Gone:
    """A stream whose reader is gone, as a lost terminal is."""

    encoding = "utf-8"

    def __init__(self, error):
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error

    def isatty(self):
        return True

    def fileno(self):
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "gone"), BrokenPipeError(), ValueError("closed"), RuntimeError("reentrant call")]
)
def test_a_terminal_that_is_gone_does_not_end_what_it_was_told_of(monkeypatch, error):
    monkeypatch.setattr(sys, "stderr", Gone(error))
    narrator = Narrator()
    done = []

    with narrator.stage("Destroy the clone"):
        narrator.warn("the teardown is under way")
        done.append("destroyed")
    narrator.say("gone")

    assert done == ["destroyed"]
