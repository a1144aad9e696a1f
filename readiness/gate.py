"""What a gate is: one question, asked by observing the world once and judging only what was written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from readiness.cutover import Cutover
from readiness.errors import ReadinessError
from readiness.evidence import BundleWriter
from readiness.ledger import Ledger
from readiness.model import Clone, Environment, Judgement, Plan, Stage

SettingsT = TypeVar("SettingsT")
ObservationT = TypeVar("ObservationT")


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a gate may use to observe.

    Attributes:
        plan: The frozen plan.
        repository: Root folder of the user's repository; paths of the plan are relative to it.
        templates: The synthesized templates of the cloud assembly.
        clients: Service name -> boto3 client of the account that the run targets.
        ledger: Where to write what is about to be made, before it is made.
        bundle: Where artifacts go.
        narrate: Says one sentence to the person who watches.
        progress: Shows live figures (name -> text), e.g. during load.
        environment: Where the clone stands.
        baseline: Bundle of the earlier run that relative objectives compare with; None = there is none.
        variables: What a program must have in its environment to reach the same account.
        deployed: The clone; None = there is none yet. Gates ask for ``clone``.
        gone_live: What is asked about after the cutover. Gates ask for ``cutover``.
    """

    plan: Plan
    repository: Path
    templates: tuple[Path, ...]
    clients: Callable[[str], Any]
    ledger: Ledger
    bundle: BundleWriter
    narrate: Callable[[str], None] = field(default=lambda _: None)
    progress: Callable[[dict[str, str]], None] = field(default=lambda _: None)
    environment: Environment = Environment.EMULATED
    baseline: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    deployed: Clone | None = None
    gone_live: Cutover | None = None

    @property
    def clone(self) -> Clone:
        """The deployed clone.

        Raises:
            ReadinessError: a gate asked for it before there is one.
        """
        if self.deployed is None:
            raise ReadinessError("No clone is deployed.", hint="Ask this question in a stage after the deployment.")
        return self.deployed

    @property
    def cutover(self) -> Cutover:
        """What production is to run, and where it is.

        Raises:
            ReadinessError: a gate asked for it in a run.
        """
        if self.gone_live is None:
            raise ReadinessError("Nothing has gone live.", hint="`readiness go-live BUNDLE` asks after the cutover.")
        return self.gone_live


@dataclass(frozen=True, kw_only=True)
class Gate(Generic[SettingsT, ObservationT]):
    """One question, one file: ``readiness/gates/<id with underscores>.py`` holds it as ``GATE``.

    Attributes:
        id: Kebab-case form of the file's name.
        question: What it answers, as a person would ask it.
        stage: When it is asked.
        settings: Record of its settings; the table ``[gates.settings.<id>]`` of the plan.
        observation: Record of what it sees.
        observe: Looks at the world; may raise, which becomes a gap.
        judge: Pure: makes findings, gaps and measurements of an observation.
        rebuild: Computes an observation again from the artifacts that it names (path -> bytes), where it is a summary
            of them; ``verify`` refuses a bundle in which the two differ.
    """

    id: str
    question: str
    stage: Stage
    settings: type[SettingsT]
    observation: type[ObservationT]
    observe: Callable[[Context, SettingsT], ObservationT]
    judge: Callable[[ObservationT, SettingsT], Judgement]
    rebuild: Callable[[ObservationT, Callable[[str], bytes]], ObservationT] | None = None
    terms: Callable[[Any], dict[str, Any]] | None = None
    """What of its observation is the plan's (plan -> field -> value): ``verify`` holds it against the frozen plan."""
    order: int = 50
    """Among the gates of a stage, the lower is asked first."""
    acts: bool = False
    """It does something to the clone, so the clone is proven to be this run's own before it is asked."""
