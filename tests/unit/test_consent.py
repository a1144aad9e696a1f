"""Consent: shown before it is asked, given by a typed name or beforehand, refused without a terminal."""

from __future__ import annotations

import io
import sys
from datetime import timedelta

import pytest

from readiness.consent import Proposal, count_resources, obtain, require_voice
from readiness.cost import estimate
from readiness.errors import UsageError
from readiness.prices import load_prices
from tests.unit.samples import T0, a_plan

TEMPLATE = {"Resources": {"Nat": {"Type": "AWS::EC2::NatGateway"}, "Odd": {"Type": "AWS::Kinesis::Stream"}}}
PROPOSAL = Proposal(
    account="123456789012",
    region="eu-west-1",
    stack="readiness-20260301-120000-abcd",
    resources=count_resources([TEMPLATE]),
    estimate=estimate([TEMPLATE], a_plan(), load_prices()),
    budget_usd=15.0,
    expires_at=T0,
    lifetime=timedelta(hours=4),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal())


@pytest.fixture
def pipe(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("123456789012\n"))


def asked(answer, assumed=False):
    said = []

    def ask(prompt):
        said.append(prompt)
        return answer

    return obtain(PROPOSAL, assumed=assumed, say=said.append, ask=ask), said


@pytest.mark.parametrize("answer", ["123456789012", "readiness-20260301-120000-abcd", " 123456789012 "])
def test_the_account_or_the_stack_typed_is_a_yes(terminal, answer):
    how, said = asked(answer)

    assert how == "typed"
    assert "123456789012" in said[-1]


@pytest.mark.parametrize("answer", ["", "y", "yes", "123456789013", "readiness-"])
def test_anything_else_is_a_no(terminal, answer):
    with pytest.raises(UsageError, match="nothing was made"):
        asked(answer)


def test_the_question_is_asked_on_stderr_so_that_a_redirected_stdout_does_not_swallow_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Terminal("123456789012\n"))

    assert obtain(PROPOSAL, assumed=False, say=lambda line: None) == "typed"

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Type the account's id (123456789012)")


def test_the_end_of_the_input_is_a_no(terminal):
    def ended(prompt):
        raise EOFError

    with pytest.raises(UsageError, match="nothing was made"):
        obtain(PROPOSAL, assumed=False, say=lambda line: None, ask=ended)


def test_what_is_made_and_what_it_costs_is_shown_before_anybody_is_asked(terminal):
    _, said = asked("123456789012")

    told = "\n".join(said[:-1])
    assert "account 123456789012, eu-west-1" in told
    assert "2 resources (1 EC2::NatGateway, 1 Kinesis::Stream" in told
    assert "NAT gateway Nat" in told
    assert "Odd (AWS::Kinesis::Stream): the price table knows no such type" in told
    assert "USD an hour" in told
    assert "Budget: 15.00 USD" in told
    assert f"at most {4 * PROPOSAL.estimate.usd_per_hour_most:.2f} USD" in told


def test_yes_beforehand_asks_nobody_and_still_shows_it(pipe):
    how, said = asked("never", assumed=True)

    assert how == "--yes"
    assert not any("Type the account" in line for line in said)
    assert any("USD an hour" in line for line in said)


def test_without_a_terminal_an_answer_that_waits_in_the_pipe_is_not_taken(pipe):
    with pytest.raises(UsageError, match="no terminal to ask"):
        asked("123456789012")
    with pytest.raises(UsageError, match="no terminal to ask"):
        require_voice(assumed=False)
    require_voice(assumed=True)
