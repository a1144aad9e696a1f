"""Consent: before anything is made that costs money, a person sees what and how much, and types a name to agree."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from readiness import cost
from readiness.cost import Estimate
from readiness.errors import UsageError

_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What is about to be made.

    Attributes:
        resources: CloudFormation type -> how many of it.
        lifetime: From its making to its expiry.
    """

    account: str
    region: str
    stack: str
    resources: Mapping[str, int]
    estimate: Estimate
    budget_usd: float | None
    expires_at: datetime
    lifetime: timedelta


def count_resources(templates: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return type -> how many resources of it the templates hold."""
    return dict(Counter(str(body.get("Type")) for each in templates for body in each.get("Resources", {}).values()))


def require_voice(assumed: bool) -> None:
    """Refuse at once where nobody could be asked later.

    Args:
        assumed: The command line says yes already.

    Raises:
        UsageError: it does not, and there is no terminal to ask on.
    """
    if not assumed and not sys.stdin.isatty():
        raise UsageError(
            "This costs money on AWS, and there is no terminal to ask you on.",
            hint="Say yes beforehand: --yes. `readiness plan --cost` says what it costs.",
        )


def _asked(prompt: str) -> str:
    """Return what is typed at a prompt on stderr: stdout holds the command's result, and may go into a file."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return input()


def obtain(proposal: Proposal, *, assumed: bool, say: Callable[[str], None], ask: Callable[[str], str] = _asked) -> str:
    """Show what will be made and what it costs, and go on only if somebody agrees; return how they did.

    Args:
        proposal: What is about to be made.
        assumed: ``--yes``: it is shown, and nobody is asked.
        say: Says one line.
        ask: Returns what is typed at a prompt.

    Raises:
        UsageError: nobody agreed; nothing was made.
    """
    for line in told(proposal):
        say(line)
    if assumed:
        return "--yes"
    require_voice(assumed)
    try:
        typed = ask(f"Type the account's id ({proposal.account}) or the stack's name to go on: ").strip()
    except EOFError:
        typed = ""
    if typed not in (proposal.account, proposal.stack):
        raise UsageError("Not confirmed: nothing was made.", hint="Run it again to be asked again.")
    return "typed"


def told(proposal: Proposal) -> tuple[str, ...]:
    """Return what a person has to know before they agree."""
    rows = cost.table(proposal.estimate)
    total = sum(proposal.resources.values())
    kinds = sorted(proposal.resources.items(), key=lambda each: (-each[1], each[0]))
    most = ", ".join(f"{count} {kind.removeprefix('AWS::')}" for kind, count in kinds[:6])
    more = len(rows) - _SHOWN
    left = proposal.estimate.usd_per_hour_most * (proposal.lifetime / timedelta(hours=1))
    return (
        f"This makes a clone in account {proposal.account}, {proposal.region}. It costs money until it is gone.",
        f"Stack {proposal.stack}: {total} resources ({most}, ...)",
        *(f"  {row}" for row in rows[:_SHOWN]),
        *([f"  ... and {more} that cost less; `readiness plan --cost` lists all"] if more > 0 else []),
        f"In all {cost.summary(proposal.estimate)}.",
        "The plan has no budget.usd." if proposal.budget_usd is None else f"Budget: {proposal.budget_usd:.2f} USD.",
        f"It deletes itself at {proposal.expires_at:%Y-%m-%d %H:%M} UTC, whatever happens to this program; "
        f"if nobody does so before, it will have cost at most {left:.2f} USD.",
    )
