"""Gate ``load``: does the service meet its objectives under the load that production is expected to bring?

Judged is the hold alone, by the seconds in which requests were due; what comes before it is warm-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field
from datetime import timedelta

from readiness import baseline, evidence, load, objectives, server_side, stats
from readiness.errors import EvidenceError
from readiness.gate import Context, Gate
from readiness.histogram import Histogram
from readiness.hopeless import hopeless, lasted
from readiness.load_figures import (
    Figures,
    ScenarioFigures,
    StepFigures,
    decoded,
    encoded,
    plain_measurements,
)
from readiness.load_validity import Drive, Limits, generator_gaps, late_for, offer_gaps
from readiness.loadgen import rows
from readiness.loadgen.rows import Row, Tally
from readiness.model import (
    Arrivals,
    CacheHitObjective,
    ClosedArrivals,
    Duration,
    ErrorObjective,
    Finding,
    Gap,
    Instant,
    Judgement,
    LatencyChangeObjective,
    LoadObjective,
    LocustfileArrivals,
    Measurement,
    OpenArrivals,
    Plan,
    Stage,
    ThroughputObjective,
    UnhealthyHostsObjective,
    Workload,
    record,
    spell_duration,
)

_SLACK = timedelta(seconds=10)


@record
class Settings(Limits):
    """How far the generator may be off, and how far the load balancer's figures may be from the clients'.

    Attributes:
        server: Tolerances between both sides.
        server_within: How long to wait for the load balancer's metrics; AWS publishes them minutes later.
    """

    server: server_side.Tolerances = field(default_factory=server_side.Tolerances)
    server_within: Duration = server_side.WITHIN


@record
class Baseline:
    """What an earlier run measured over its hold."""

    run_id: str
    decided_at: Instant
    workload_digest: str
    scenarios: tuple[ScenarioFigures, ...]


@record
class Observation:
    """What the load measured, and what it was held against.

    Attributes:
        workload_digest: Of all that says how the load was made; a baseline of another load is none.
        end_second: The first second after the hold, or after the part of it that an aborted drive came to.
        tags: Scenario -> its tags.
        steps: The holds before the one that is judged.
        dispatcher_lag: Histogram of the hold.
        by_second: Objective that is to last -> its figure of each second of the hold; None = no samples.
        aborted: Why the harness cut the drive short; empty = it did not.
        elsewhere: Requests of the whole drive that left the clone.
        user_errors: Exceptions of a locustfile's users outside of a request, over the whole drive.
        baseline_problem: Why there is no baseline although an objective needs one.
        artifact: Every second of the drive, in the bundle.
    """

    objectives: tuple[LoadObjective, ...]
    arrivals: Arrivals
    ramp: Duration
    hold: Duration
    workload_digest: str
    cache_hit_values: tuple[str, ...]
    started_at: Instant
    first_second: int
    end_second: int
    scenarios: tuple[ScenarioFigures, ...]
    tags: dict[str, tuple[str, ...]]
    steps: tuple[StepFigures, ...]
    dispatcher_lag: str
    by_second: dict[str, tuple[float | None, ...]]
    validity: load.Validity
    problems: tuple[str, ...]
    samples: dict[str, str]
    artifact: str
    clients: server_side.ClientSide
    server: server_side.ServerSide
    elsewhere: int = 0
    user_errors: int = 0
    aborted: str = ""
    baseline: Baseline | None = None
    baseline_problem: str = ""


# --- observe ---------------------------------------------------------------------------------------------------------


def observe(ctx: Context, settings: Settings) -> Observation:
    """Drive the plan's workload at the clone and return what it measured, and what the load balancer saw of it."""
    held = load_objectives(ctx.plan)
    earlier, problem = _baseline(ctx, held)
    fleet = load.Fleet(ctx.clients, ctx.clone, ctx.plan, ctx.ledger, ctx.narrate, repository=ctx.repository)
    aborted = ""
    with fleet.drive() as drive:

        def watch(progress: load.Progress) -> bool:
            nonlocal aborted
            ctx.progress(live_figures(progress))
            aborted = aborted or why_hopeless(held, drive, progress.second)
            return bool(aborted)

        result = drive.finish(watch)
    if aborted:
        ctx.narrate(f"The load was stopped early: {aborted}")
    path = ctx.bundle.write("load/rows.json.gz", load.artifact(result))
    clients = server_side.client_side(result)
    ctx.narrate("Waiting for the load balancer's own figures of the drive")
    server = server_side.observe(
        ctx.clients, ctx.clone, result.started_at, result.ended_at, clients, within=settings.server_within
    )
    return observation_of(held, result, path, clients, server, aborted, earlier, problem)


def load_objectives(plan: Plan) -> tuple[LoadObjective, ...]:
    """Return the objectives that a load is held against."""
    return tuple(each for each in plan.objectives if not isinstance(each, UnhealthyHostsObjective))


def why_hopeless(held: Sequence[LoadObjective], drive: load.Load, second: int) -> str:
    """Return which objective cannot be met any more, and why; empty if all can, or need not stop the drive."""
    watched = [each for each in held if not isinstance(each, LatencyChangeObjective) and each.abort_on_breach]
    hold = load.hold_seconds(drive.workload)
    if not watched or second < hold.start:
        return ""
    end = min(second + 1, hold.stop)
    so_far = _figures(dict(drive.hold_so_far), end - hold.start, drive.workload)
    for objective in watched:
        if objective.lasting:
            # Earlier breaches were looked for earlier, when their last answers had come.
            recent_s = (objective.lasting + drive.workload.timeout + _SLACK).total_seconds()
            recent = range(max(hold.start, end - int(recent_s)), end)
            rows_of = drive.rows_of(recent)
            why = lasted(objective, [_figures_of(of, one, drive.workload) for of, one in _by_second(rows_of, recent)])
        else:
            why = hopeless(objective, so_far, drive.workload)
        if why:
            return f"objective {objective.id} cannot be met any more: {why}"
    return ""


def _baseline(ctx: Context, held: Sequence[LoadObjective]) -> tuple[Baseline | None, str]:
    """Return the earlier run's figures, if an objective needs them, or why there are none."""
    if not any(isinstance(each, LatencyChangeObjective) for each in held):
        return None, ""
    try:
        if ctx.baseline is None:
            raise baseline.missing(ctx.environment)
        record = baseline.checked(ctx.baseline, ctx.environment)
        seen = evidence.read_json(ctx.baseline, evidence.observation_path(GATE.id), Observation)
    except EvidenceError as error:
        return None, str(error)
    return Baseline(
        run_id=record.run_id,
        decided_at=record.decided_at,
        workload_digest=seen.workload_digest,
        scenarios=seen.scenarios,
    ), ""


def live_figures(progress: load.Progress) -> dict[str, str]:
    """Return what a person who watches wants to see."""

    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f} ms"

    return {
        "second": str(progress.second),
        "rate": f"{progress.rate_per_s:.0f}/s",
        "p50": ms(progress.p50_ms),
        "p95": ms(progress.p95_ms),
        "p99": ms(progress.p99_ms),
        "errors": str(progress.errors),
        "dropped": str(progress.dropped),
        "workers": str(progress.workers),
    }


def observation_of(
    held: tuple[LoadObjective, ...],
    result: load.LoadResult,
    artifact: str,
    clients: server_side.ClientSide,
    server: server_side.ServerSide,
    aborted: str = "",
    earlier: Baseline | None = None,
    baseline_problem: str = "",
) -> Observation:
    """Return what the gate judges of a drive."""
    workload = result.workload
    seconds = load.hold_seconds(workload)
    if aborted:  # the last second that was begun is not whole
        begun = max((row.second for row in result.rows), default=seconds.start)
        seconds = range(seconds.start, max(seconds.start, min(begun, seconds.stop)))
    figures = _figures_of(result.rows, seconds, workload)
    lasting = [each for each in held if not isinstance(each, LatencyChangeObjective) and each.lasting]
    one_by_one = [_figures_of(of, one, workload) for of, one in _by_second(result.rows, seconds)] if lasting else []
    return Observation(
        objectives=held,
        arrivals=workload.arrivals,
        ramp=workload.ramp,
        hold=workload.hold,
        workload_digest=evidence.sha256(
            evidence.to_json(Workload, workload) + repr(sorted(result.files.items())).encode()
        ),
        cache_hit_values=workload.cache_hit_values,
        started_at=result.started_at,
        first_second=seconds.start,
        end_second=seconds.stop,
        scenarios=tuple(encoded(name, tally) for name, tally in sorted(figures.scenarios.items())),
        tags={scenario.name: scenario.tags for scenario in workload.scenarios if scenario.tags},
        steps=tuple(_steps(result.rows, workload)),
        dispatcher_lag=figures.lag.encode(),
        by_second={each.id: objectives.second_values(one_by_one, each) for each in lasting},
        validity=result.validity,
        problems=result.problems,
        samples=result.samples,
        artifact=artifact,
        clients=clients,
        server=server,
        elsewhere=sum(row.counts.get(rows.ELSEWHERE, 0) for row in result.rows),
        user_errors=sum(row.counts.get(rows.USER_ERRORS, 0) for row in result.rows),
        aborted=aborted,
        baseline=earlier,
        baseline_problem=baseline_problem,
    )


def rebuilt(observation: Observation, read: Callable[[str], bytes]) -> Observation:
    """Return the observation again, computed from every second that the bundle holds.

    Raises:
        EvidenceError: the artifact is damaged.
    """
    result = load.read_artifact(read(observation.artifact))
    return observation_of(
        observation.objectives,
        result,
        observation.artifact,
        server_side.client_side(result),
        observation.server,
        observation.aborted,
        observation.baseline,
        observation.baseline_problem,
    )


def _by_second(measured: Iterable[Row], seconds: range) -> Iterator[tuple[list[Row], range]]:
    """Yield each second's rows, with the second."""
    found: dict[int, list[Row]] = {}
    for row in measured:
        found.setdefault(row.second, []).append(row)
    for second in seconds:
        yield found.get(second, []), range(second, second + 1)


def _figures_of(measured: Iterable[Row], seconds: range, workload: Workload) -> Figures:
    return _figures(rows.by_scenario(measured, seconds), len(seconds), workload)


def _figures(scenarios: dict[str, Tally], seconds: int, workload: Workload) -> Figures:
    lag = scenarios.pop(rows.EVERY, Tally()).histogram(rows.LAG)
    return Figures(
        seconds=seconds,
        scenarios=scenarios,
        whole=rows.over_all(scenarios),
        tags={scenario.name: scenario.tags for scenario in workload.scenarios},
        lag=lag,
        cache_hit_values=workload.cache_hit_values,
    )


def _steps(measured: Sequence[Row], workload: Workload) -> Iterator[StepFigures]:
    arrivals = workload.arrivals
    if not isinstance(arrivals, OpenArrivals):
        return
    for step, seconds in zip(arrivals.steps, load.step_seconds(workload), strict=True):
        yield StepFigures(
            rate_per_s=step.rate_per_s,
            first_second=seconds.start,
            end_second=seconds.stop,
            figures=encoded(rows.EVERY, _figures_of(measured, seconds, workload).whole),
        )


# --- judge -----------------------------------------------------------------------------------------------------------


def judge(observation: Observation, settings: Settings) -> Judgement:
    """Hold the figures of the hold against the objectives, and the generator against its own limits."""
    figures = _decode(observation)
    earlier = _decode_baseline(observation, figures)
    drive = Drive(
        arrivals=observation.arrivals, figures=figures, validity=observation.validity, aborted=observation.aborted
    )
    generator = tuple(generator_gaps(drive, settings))
    offer = tuple(offer_gaps(drive, settings))
    differences, server_measurements = server_side.reconcile(observation.clients, observation.server, settings.server)
    gaps = [*_drive_gaps(observation), *generator, *offer, *differences]
    measurements = [*plain_measurements(figures, observation.steps), *server_measurements]
    findings: list[Finding] = []
    examined = 0
    for objective in observation.objectives:
        try:
            reading = objectives.read(figures, objective, earlier)
        except stats.NoSamplesError as error:
            why = observation.baseline_problem if isinstance(objective, LatencyChangeObjective) else ""
            gaps.append(Gap(what=f"objective {objective.id}", why=why or error.message))
            continue
        breach = _breach(observation, objective, reading)
        measurements.append(breach.measurement)
        doubt = _doubt(figures, objective, reading, breach, settings, earlier) or _blamed(
            objective, breach, generator, offer
        )
        if doubt:
            gaps.append(Gap(what=f"objective {objective.id}", why=doubt))
        else:
            examined += 1
            if breach.missed:
                findings.append(objectives.finding(figures, objective, breach.said))
    return Judgement(
        examined=examined,
        findings=tuple(findings),
        gaps=tuple(gaps),
        measurements=tuple(measurements),
        notes=tuple(_notes(observation)),
    )


def _decode(observation: Observation) -> Figures:
    """Return the figures of an observation.

    Raises:
        EvidenceError: a histogram cannot be read.
    """
    scenarios = {given.scenario: decoded(given) for given in observation.scenarios}
    return Figures(
        seconds=observation.end_second - observation.first_second,
        scenarios=scenarios,
        whole=rows.over_all(scenarios),
        tags=observation.tags,
        lag=Histogram.decode(observation.dispatcher_lag),
        cache_hit_values=observation.cache_hit_values,
        samples=observation.samples,
    )


def _decode_baseline(observation: Observation, figures: Figures) -> Figures | None:
    """Return the baseline's figures; None = there is none, or it is of another load."""
    earlier = observation.baseline
    if earlier is None or earlier.workload_digest != observation.workload_digest:
        return None
    scenarios = {given.scenario: decoded(given) for given in earlier.scenarios}
    return Figures(seconds=figures.seconds, scenarios=scenarios, whole=rows.over_all(scenarios), tags=observation.tags)


def _drive_gaps(observation: Observation) -> Iterator[Gap]:
    """Yield what the drive itself could not see or do."""
    for problem in observation.problems:
        yield Gap(what="the whole drive", why=problem)
    if observation.aborted:
        yield Gap(what="the rest of the hold", why=f"the drive was stopped early: {observation.aborted}")
    earlier = observation.baseline
    if earlier is not None and earlier.workload_digest != observation.workload_digest:
        yield Gap(what="the baseline", why=f"run {earlier.run_id} drove another workload: nothing can be compared")
    if observation.elsewhere:
        why = f"{observation.elsewhere} requests of the locustfile went to another host than the clone"
        yield Gap(what="the load", why=why)
    if observation.user_errors:
        why = f"users of the locustfile raised {observation.user_errors} exceptions outside of a request"
        yield Gap(what="the load", why=why)


@record
class _Breach:
    """Whether an objective was missed, and what is said and recorded of it."""

    missed: bool
    said: str
    measurement: Measurement
    unsure: str = ""


def _breach(observation: Observation, objective: LoadObjective, reading: objectives.Reading) -> _Breach:
    """Return whether the hold as a whole misses the objective or, if a breach must last, whether one has lasted."""
    if isinstance(objective, LatencyChangeObjective) or not objective.lasting:
        return _Breach(missed=reading.missed, said=reading.say(), measurement=reading.measurement(objective.id))
    wanted_s = objective.lasting.total_seconds()
    values = observation.by_second.get(objective.id, ())
    longest = objectives.longest_breach(values, reading, unknown=False)
    at_most = objectives.longest_breach(values, reading, unknown=True)
    said = f"missed in each of {longest} s in a row, {wanted_s:g} s are too long; over the whole hold {reading.say()}"
    unsure = f"{at_most} s in a row missed it or have no samples" if longest < wanted_s <= at_most else ""
    return _Breach(
        missed=longest >= wanted_s,
        said=said,
        unsure=unsure,
        measurement=Measurement(
            name=f"{objective.id} (longest breach)",
            value=longest,
            unit="s",
            samples=reading.samples,
            threshold=wanted_s,
            comparison="<",
        ),
    )


def _doubt(
    figures: Figures,
    objective: LoadObjective,
    reading: objectives.Reading,
    breach: _Breach,
    settings: Settings,
    earlier: Figures | None,
) -> str:
    """Return why an objective's figure proves nothing; empty if it does."""
    return (
        objectives.too_few(figures, objective, reading, earlier)
        or breach.unsure
        or late_for(objective, figures, settings)
    )


def _blamed(objective: LoadObjective, breach: _Breach, generator: Sequence[Gap], offer: Sequence[Gap]) -> str:
    """Return that a miss may be the generator's doing; empty if it is not.

    A generator that is out of breath makes a service look slow, and one that offers too little makes its throughput
    look small: a miss is then no fault of the service, and not to be told as one.
    """
    if not breach.missed or isinstance(objective, ErrorObjective | CacheHitObjective):
        return ""
    blamed = [*generator, *(offer if isinstance(objective, ThroughputObjective) else ())]
    return f"missed ({breach.said}), but it may be the generator's doing: {blamed[0].why}" if blamed else ""


def _notes(observation: Observation) -> Iterator[str]:
    """Yield how the load was made, with the limits of that model."""
    arrivals, hold = observation.arrivals, spell_duration(observation.hold)
    if isinstance(arrivals, OpenArrivals):
        steps = "".join(f", {step.rate_per_s:g}/s for {spell_duration(step.hold)}" for step in arrivals.steps)
        yield (
            f"Open workload: {arrivals.rate_per_s:g} requests a second ({arrivals.distribution} arrivals) for {hold}"
            f"{f' after{steps[1:]}' if steps else ''}, however slow the service answered. Latency counts from the "
            "instant at which a request was due."
        )
    elif isinstance(arrivals, ClosedArrivals):
        yield (
            f"Closed workload: {arrivals.users} users for {hold}, each waiting for its answer and then "
            f"{spell_duration(arrivals.think_time)}. {_CLOSED_LIMITS}"
        )
    elif isinstance(arrivals, LocustfileArrivals):
        yield (
            f"Locustfile {arrivals.file}: {arrivals.users} users for {hold}, at the file's own pace. It is a closed "
            f"workload. {_CLOSED_LIMITS}"
        )
    if observation.baseline is not None:
        earlier = observation.baseline
        yield f"Baseline: run {earlier.run_id}, decided {earlier.decided_at:%Y-%m-%d %H:%M} UTC."


_CLOSED_LIMITS = (
    "A stall holds such users back, so that requests which clients would have sent meanwhile are missing: percentiles "
    "are too low whenever the service is slow, and throughput follows the service instead of testing it."
)


GATE: Gate[Settings, Observation] = Gate(
    id="load",
    question="Does the service meet its objectives under the load that production is expected to bring?",
    stage=Stage.STEADY,
    acts=True,
    order=20,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    rebuild=rebuilt,
    terms=lambda plan: {
        "objectives": load_objectives(plan),
        "arrivals": plan.workload.arrivals,
        "ramp": plan.workload.ramp,
        "hold": plan.workload.hold,
        "cache_hit_values": plan.workload.cache_hit_values,
    },
)
