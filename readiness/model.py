"""The nouns: frozen records, checked where they enter (plan, waivers, evidence) and trusted after that.

Durations are ``timedelta``, instants aware UTC ``datetime``; any other number carries its unit in its name. A record
refuses unknown keys, NaN and infinity when it is read. Alternatives are tagged unions (``kind``), never heaps of
optional fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform

from pydantic import AfterValidator, AliasChoices, AwareDatetime, BeforeValidator, Field

T = TypeVar("T")

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make *cls* a noun: frozen, slotted, keyword-only, refusing unknown keys, NaN and infinity when read."""
    made = dataclass(frozen=True, slots=True, kw_only=True)(cls)
    made.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # type: ignore[attr-defined]
    return made


def parse_duration(text: object) -> object:
    """Return the ``timedelta`` that *text* spells (``500ms``, ``30s``, ``1m30s``, ``2h``, ``90d``).

    Anything else is handed on as it is: ISO 8601, as evidence spells it, is pydantic's to read, and a bare number is
    refused, because it has no unit.

    Raises:
        ValueError: a number without a unit.
    """
    if isinstance(text, int | float):
        raise ValueError(f"{text} has no unit; write it as '30s', '5m', '250ms'")  # noqa: TRY004 - pydantic's protocol
    if not isinstance(text, str) or text.startswith(("P", "-P")):
        return text
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; write it as '30s', '5m', '1h30m', '250ms'")
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any run") from None


def spell_duration(duration: timedelta) -> str:
    """Return a duration as the plan spells it, in the largest unit that divides it."""
    ms = round(duration / timedelta(milliseconds=1))
    for unit in ("d", "h", "m", "s"):
        size = round(_SECONDS[unit] * 1000)
        if ms >= size and ms % size == 0:
            return f"{ms // size}{unit}"
    return f"{ms}ms"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0))]
Instant = AwareDatetime
Ratio = Annotated[float, Field(ge=0, le=1)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,38}$")]
Positive = Annotated[int, Field(gt=0)]
WorkloadFile = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$")]
"""Path of a file below the repository's ``workload`` folder, which the fleet's image holds a copy of."""


# --- what is judged, and what is left of a judgement ---------------------------------------------------------------


class Severity(StrEnum):
    """How bad a finding is; the first is the worst."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    INFO = "INFO"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


def _no_room_for_blocking(limits: dict[Severity, int]) -> dict[Severity, int]:
    for severity in (Severity.CRITICAL, Severity.HIGH):
        if limits.get(severity, 0) > 0:
            raise ValueError(f"leaves room for {severity} findings; a single one is accepted by a waiver")
    return limits


MaxOpen = Annotated[dict[Severity, Annotated[int, Field(ge=0)]], AfterValidator(_no_room_for_blocking)]
"""Severity -> how many findings of it may be open."""


class ControlFamily(StrEnum):
    """The security control that a finding belongs to. The first four must each have been examined."""

    IAM = "iam"
    SECRETS = "secrets"
    ENCRYPTION = "encryption"
    NETWORK = "network"
    LOGGING = "logging"
    RESILIENCE = "resilience"
    SUPPLY_CHAIN = "supply-chain"


class Stage(StrEnum):
    """When a gate asks its question, in the order of a run."""

    BEFORE_DEPLOY = "before-deploy"
    STEADY = "steady"
    DISRUPTIVE = "disruptive"
    AFTER_TEARDOWN = "after-teardown"
    AFTER_CUTOVER = "after-cutover"
    """In production, by `readiness go-live`; a run never asks it."""


class Outcome(StrEnum):
    """What a gate came to, worst first."""

    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    PASSED = "passed"


class Verdict(StrEnum):
    """What the run came to."""

    GO = "GO"
    NO_GO = "NO-GO"


class Environment(StrEnum):
    """Where the clone stood. What was seen on the embedded AWS claims no more than a rehearsal."""

    AWS = "aws"
    EMULATED = "emulated"


class Disposition(StrEnum):
    """The standing of a finding."""

    OPEN = "open"
    WAIVED = "waived"
    FALSE_POSITIVE = "false-positive"
    """Somebody proved that there is no fault; the register holds the proof."""


@record
class Measurement:
    """A number that was measured, how many samples it rests on, and the threshold it is held against, if any.

    Attributes:
        interval: Between which bounds the true value lies with 95 % confidence; None = not known.
    """

    name: str
    value: float
    unit: str
    samples: int
    threshold: float | None = None
    comparison: Literal["<=", ">=", "<"] | None = None
    interval: tuple[float, float] | None = None


@record
class Finding:
    """A fault that was seen.

    Attributes:
        rule: ``source/thing``, e.g. ``checkov/CKV_AWS_24`` or ``load/objective-missed``.
        subject: What has the fault: a construct path, an alarm, an objective.
        message: What is wrong.
        help: How to mend it.
        fingerprint: Stable across runs of the same fault on the same subject.
        template: The file that says so; "" where none does.
        line: On which line of it the subject begins; None = not known. No part of the fingerprint: lines move.
        logical_id: What that file calls the subject; "" = the fault is of no single part of a file.
        why: Why it matters.
    """

    rule: str
    subject: str
    severity: Severity
    message: str
    help: str = ""
    family: ControlFamily | None = None
    fingerprint: str = ""
    sources: tuple[str, ...] = ()
    template: str = ""
    line: Annotated[int, Field(ge=1)] | None = None
    logical_id: str = ""
    why: str = ""

    @property
    def mark(self) -> str:
        """What tells it from every other finding, from run to run."""
        return self.fingerprint or f"{self.rule}\n{self.subject}"


@record
class Gap:
    """A blindness: what should have been seen and was not, and why."""

    what: str
    why: str


@record
class OpenLimit:
    """At most so many findings of a severity may be open: of one control family, or of all findings of a gate."""

    severity: Severity
    most: Annotated[int, Field(ge=0)]
    family: ControlFamily | None = None


@record
class Judgement:
    """What a gate makes of its observation. It never states its own outcome: ``decide.outcome`` computes it.

    Attributes:
        notes: What a reader has to know to read the figures aright; neither fault nor blindness.
        limits: How many findings may be open, beside the rule that none of a blocking severity may.
    """

    examined: int
    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    notes: tuple[str, ...] = ()
    limits: tuple[OpenLimit, ...] = ()


@record
class Waiver:
    """An entry of the register: a fault that somebody accepted until a day, or a false alarm that somebody proved one.

    Attributes:
        disposition: What it makes of a finding that it names.
        evidence: Of a false alarm: what proves that there is no fault.
    """

    rule: str
    subject: str
    disposition: Literal["waived", "false-positive"] = "waived"
    reason: Annotated[str, Field(min_length=10)]
    evidence: str = ""
    owner: str
    approver: str
    ticket: str = ""
    created: date
    expires: date


@record
class Clone:
    """The ephemeral copy of the service that a run deployed."""

    run_id: str
    stack_name: str
    stack_id: str
    outputs: dict[str, str]
    expires_at: Instant


@record
class Candidate:
    """What is judged, down to the digests."""

    commit: str
    dirty: bool
    template_digests: dict[str, str]
    image: str


# --- the plan --------------------------------------------------------------------------------------------------------


LatencyPart = Literal["whole", "proxy", "upstream"]
Level = Literal["fail", "warn"]
"""Whether a miss fails the gate, or is a finding that does not block."""
Lasting = Annotated[Duration, Field(validation_alias=AliasChoices("for", "lasting"))]
"""``for`` in the plan: the objective is missed only if every second of so long a time misses it. 0 = the whole hold is
judged as one."""


@record
class AlarmSettings:
    """How the alarm of an objective evaluates, and the runbook it names.

    Attributes:
        runbook: Path of the runbook, relative to the repository.
        period: Period of the metric; whole minutes, because the load balancer's metrics have no other.
        evaluation_periods: N: how many periods are looked at.
        datapoints_to_alarm: M: how many of them must breach; at most N.
        missing_data: What silence means: ``missing`` (INSUFFICIENT_DATA) or ``breaching`` (ALARM). An alarm that rings
            on silence takes no release back: nobody has sent a request yet to the first one.
    """

    runbook: str
    period: Duration = timedelta(minutes=1)
    evaluation_periods: Positive = 1
    datapoints_to_alarm: Positive = 1
    missing_data: Literal["missing", "breaching"] = "missing"


@record
class LatencyObjective:
    """At most *threshold* at *percentile*, over all requests, one scenario's, or those of a tag.

    Attributes:
        kind: Says that it is a latency.
        id: Its name in figures, findings, alarms and drills; unique.
        percentile: Which percentile, by nearest rank; per cent.
        threshold: At most this.
        part: `whole` (what the client waited), `upstream` (what the service waited for its upstream) or `proxy` (the
            rest: the service's own). A part needs `workload.request_start_header`.
        min_samples: With fewer requests there is no answer, which is a gap.
        scenario: Only over the requests of this scenario; absent = over all.
        tag: Only over the requests of the scenarios with this tag; not beside `scenario`.
        level: `fail`: a miss is a HIGH finding; `warn`: a LOW one, which does not block.
        lasting: Missed only if each second of so long a time misses it; 0 = the whole hold is judged as one. Whole
            seconds.
        abort_on_breach: Stop the load as soon as the objective cannot be met any more.
        alarm: The objective's alarm. Such an objective has neither `scenario`, `tag` nor `part`: the load balancer's
            metrics cannot tell them apart.
    """

    kind: Literal["latency"]
    id: Identifier
    percentile: Annotated[float, Field(gt=0, lt=100)]
    threshold: Duration
    part: LatencyPart = "whole"
    min_samples: Positive = 100
    scenario: str | None = None
    tag: str | None = None
    level: Level = "fail"
    lasting: Lasting = timedelta(0)
    abort_on_breach: bool = False
    alarm: AlarmSettings | None = None


@record
class LatencyChangeObjective:
    """A percentile at most *max_increase_ratio* above that of the baseline: an earlier run's bundle.

    Attributes:
        kind: Says that it is a change of a latency.
        id: Its name in figures, findings, alarms and drills; unique.
        percentile: Which percentile, by nearest rank; per cent.
        max_increase_ratio: At most so much above the same percentile of the baseline; 0.1 = 10 % more.
        part: `whole` (what the client waited), `upstream` (what the service waited for its upstream) or `proxy` (the
            rest: the service's own). A part needs `workload.request_start_header`.
        min_samples: With fewer requests there is no answer, which is a gap.
        scenario: Only over the requests of this scenario; absent = over all.
        tag: Only over the requests of the scenarios with this tag; not beside `scenario`.
        level: `fail`: a miss is a HIGH finding; `warn`: a LOW one, which does not block.
    """

    kind: Literal["latency-change"]
    id: Identifier
    percentile: Annotated[float, Field(gt=0, lt=100)]
    max_increase_ratio: Annotated[float, Field(ge=0)]
    part: LatencyPart = "whole"
    min_samples: Positive = 1000
    scenario: str | None = None
    tag: str | None = None
    level: Level = "fail"


@record
class ErrorObjective:
    """At most *max_ratio* of the requests fail.

    Attributes:
        kind: Says that it is a share of errors.
        id: Its name in figures, findings, alarms and drills; unique.
        max_ratio: At most this share of the requests fails.
        min_samples: With fewer requests there is no answer, which is a gap.
        scenario: Only over the requests of this scenario; absent = over all.
        tag: Only over the requests of the scenarios with this tag; not beside `scenario`.
        level: `fail`: a miss is a HIGH finding; `warn`: a LOW one, which does not block.
        lasting: Missed only if each second of so long a time misses it; 0 = the whole hold is judged as one. Whole
            seconds.
        abort_on_breach: Stop the load as soon as the objective cannot be met any more.
        alarm: The objective's alarm. Such an objective has neither `scenario`, `tag` nor `part`: the load balancer's
            metrics cannot tell them apart.
    """

    kind: Literal["errors"]
    id: Identifier
    max_ratio: Ratio
    min_samples: Positive = 100
    scenario: str | None = None
    tag: str | None = None
    level: Level = "fail"
    lasting: Lasting = timedelta(0)
    abort_on_breach: bool = False
    alarm: AlarmSettings | None = None


@record
class ThroughputObjective:
    """At least *min_per_s* answered requests a second over the hold.

    Attributes:
        kind: Says that it is a throughput.
        id: Its name in figures, findings, alarms and drills; unique.
        min_per_s: At least so many answered requests a second.
        min_samples: With fewer requests there is no answer, which is a gap.
        scenario: Only over the requests of this scenario; absent = over all.
        tag: Only over the requests of the scenarios with this tag; not beside `scenario`.
        level: `fail`: a miss is a HIGH finding; `warn`: a LOW one, which does not block.
        lasting: Missed only if each second of so long a time misses it; 0 = the whole hold is judged as one. Whole
            seconds.
        abort_on_breach: Stop the load as soon as the objective cannot be met any more.
    """

    kind: Literal["throughput"]
    id: Identifier
    min_per_s: Annotated[float, Field(gt=0)]
    min_samples: Positive = 100
    scenario: str | None = None
    tag: str | None = None
    level: Level = "fail"
    lasting: Lasting = timedelta(0)
    abort_on_breach: bool = False


@record
class CacheHitObjective:
    """At least *min_ratio* of the answers that name a cache outcome were hits.

    Attributes:
        kind: Says that it is a share of cache hits.
        id: Its name in figures, findings, alarms and drills; unique.
        min_ratio: At least this share. The answers name their outcome in `workload.cache_header`.
        min_samples: With fewer requests there is no answer, which is a gap.
        scenario: Only over the requests of this scenario; absent = over all.
        tag: Only over the requests of the scenarios with this tag; not beside `scenario`.
        level: `fail`: a miss is a HIGH finding; `warn`: a LOW one, which does not block.
        lasting: Missed only if each second of so long a time misses it; 0 = the whole hold is judged as one. Whole
            seconds.
        abort_on_breach: Stop the load as soon as the objective cannot be met any more.
    """

    kind: Literal["cache-hits"]
    id: Identifier
    min_ratio: Ratio
    min_samples: Positive = 100
    scenario: str | None = None
    tag: str | None = None
    level: Level = "fail"
    lasting: Lasting = timedelta(0)
    abort_on_breach: bool = False


@record
class UnhealthyHostsObjective:
    """At most *max_hosts* targets are unhealthy. Only the load balancer sees it: an alarm, no load threshold.

    Attributes:
        kind: Says that it is a number of targets.
        id: Its name in figures, findings, alarms and drills; unique.
        max_hosts: At most so many targets are unhealthy.
        alarm: The objective's alarm.
    """

    kind: Literal["unhealthy-hosts"]
    id: Identifier
    max_hosts: Annotated[int, Field(ge=0)]
    alarm: AlarmSettings


LoadObjective = Annotated[
    LatencyObjective | LatencyChangeObjective | ErrorObjective | ThroughputObjective | CacheHitObjective,
    Field(discriminator="kind"),
]
"""What the load is held against."""
Objective = Annotated[
    LatencyObjective
    | LatencyChangeObjective
    | ErrorObjective
    | ThroughputObjective
    | CacheHitObjective
    | UnhealthyHostsObjective,
    Field(discriminator="kind"),
]
AlarmedObjective = LatencyObjective | ErrorObjective | UnhealthyHostsObjective


@record
class CanarySettings:
    """How ECS releases a new task definition, and how it takes a bad one back.

    Attributes:
        percent: Share of the requests that a new revision gets first; per cent.
        canary_bake: How long that share is watched; rounded up to minutes.
        bake: How long the whole is watched before the old revision goes; rounded up to minutes.
    """

    percent: Annotated[float, Field(gt=0, lt=100)] = 20
    canary_bake: Duration = timedelta(minutes=2)
    bake: Duration = timedelta(minutes=2)


@record
class Service:
    """The service as production runs it.

    Attributes:
        name: Its name.
        image: Container image; on the embedded AWS the key into `[embedded.images]`.
        port: Port that the container listens on.
        health_path: Path of the load balancer's health check; 200 = healthy.
        cpu: CPU of a task, in CPU units (1024 = one vCPU).
        memory_mib: Memory of a task, in MiB.
        desired_count: Tasks; also the least that autoscaling keeps.
        max_count: The most tasks that autoscaling runs.
        listener_port: Port of the load balancer's listener.
        certificate_arn: ARN of a certificate: makes the listener HTTPS.
        environment: Variables of the container. They outrank the wired ones: `DATABASE_HOST`, `DATABASE_PORT`,
            `DATABASE_NAME`, `DATABASE_USER`, `REDIS_HOST`, `REDIS_PORT`, `REDIS_TLS`.
        secrets: Variable -> `generate` (a new random secret), `database-password`, `cache-token`, or the ARN of a
            secret.
        command: Command of the container, if not the image's own.
        health_check_interval: Time between health checks; rounded up to whole seconds, at least 5 s.
        canary: How a release goes out.
    """

    name: Identifier
    image: str
    port: Annotated[int, Field(gt=0, lt=65536)]
    health_path: str = "/health"
    cpu: Positive = 512
    memory_mib: Positive = 1024
    desired_count: Positive = 2
    max_count: Positive = 6
    listener_port: Annotated[int, Field(gt=0, lt=65536)] = 8080
    certificate_arn: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    health_check_interval: Duration = timedelta(seconds=10)
    canary: CanarySettings = field(default_factory=CanarySettings)


@record
class Network:
    """An existing VPC to stand the clone in.

    Absent = a VPC of its own: two zones, public, private and isolated subnets, one NAT gateway.

    Attributes:
        vpc_id: Id of the VPC.
        availability_zones: Its zones, in the order of the subnets.
        private_subnet_ids: Subnets with a way out, for tasks and load balancer.
        isolated_subnet_ids: Subnets without one, for database and cache.
    """

    vpc_id: str
    availability_zones: tuple[str, ...]
    private_subnet_ids: tuple[str, ...]
    isolated_subnet_ids: tuple[str, ...]


@record
class Database:
    """Aurora PostgreSQL Serverless v2. Absent = there is none.

    Attributes:
        engine_version: Version of Aurora PostgreSQL.
        min_acu: Least capacity, in Aurora capacity units.
        max_acu: Greatest capacity, in Aurora capacity units.
        name: Name of the database.
    """

    engine_version: str = "16.13"
    min_acu: Annotated[float, Field(ge=0)] = 0.5
    max_acu: Annotated[float, Field(gt=0)] = 4
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "service"


@record
class Cache:
    """An ElastiCache Redis replication group. Absent = there is none.

    Attributes:
        node_type: Type of its nodes.
        engine_version: Version of Redis.
        replicas: Replicas besides the primary; any makes it multi-AZ with failover.
    """

    node_type: str = "cache.t4g.small"
    engine_version: str = "7.1"
    replicas: Annotated[int, Field(ge=0, le=5)] = 1


@record
class Scenario:
    """One kind of request.

    ``path``, ``headers`` and ``body`` may hold ``{{name}}`` for a variable (one of its values, at random),
    ``{{unique}}`` for a value never used before, and ``{{env:NAME}}`` for an environment variable of the fleet. A
    placeholder that nothing fills is refused before the load starts.

    Attributes:
        name: Its name; unique.
        weight: Its share of the requests, relative to the other scenarios'.
        method: HTTP method.
        path: Path, with query.
        headers: Request headers.
        body: Request body.
        body_file: File below the repository's `workload` folder whose text is the body, instead of `body`.
        variables: Name -> the values that `{{name}}` may take.
        unique_ratio: Share of the requests whose variables get values never used before, which no cache can hold.
        expect_status: Statuses that are a success.
        expect_headers: Response header -> text that its value must hold; an empty text asks for the header alone.
        expect_body_contains: Text that the body must hold.
        expect_body_matches: Regular expression that the body must hold a match of.
        tags: Groups of scenarios that objectives and figures may name.
    """

    name: Identifier
    weight: Annotated[float, Field(gt=0)] = 1
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: Annotated[str, Field(pattern=r"^/")]
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    body_file: WorkloadFile | None = None
    variables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unique_ratio: Ratio = 0
    expect_status: tuple[int, ...] = (200,)
    expect_headers: dict[str, str] = field(default_factory=dict)
    expect_body_contains: str | None = None
    expect_body_matches: str | None = None
    tags: tuple[Identifier, ...] = ()


@record
class Step:
    """A rate that is climbed to, and held, before the rate that is judged. Told, not judged.

    Attributes:
        rate_per_s: Requests a second, of the whole fleet.
        ramp: Time in which the rate changes to this one.
        hold: How long it is held; at least 1 s.
    """

    rate_per_s: Annotated[float, Field(gt=0)]
    ramp: Duration = timedelta(0)
    hold: Duration


@record
class OpenArrivals:
    """Requests arrive at a rate, however slow the service answers.

    Attributes:
        kind: Says that arrivals are open.
        rate_per_s: Requests a second, of the whole fleet; its hold is judged.
        distribution: How arrivals scatter.
        steps: Rates before `rate_per_s`, in order: a warm-up, a staircase, a spike. Their figures are told; only the
            hold of `rate_per_s` is judged.
        max_in_flight: So many requests may be under way, of the whole fleet. What would exceed it is not sent, and
            counted as dropped.
    """

    kind: Literal["open"]
    rate_per_s: Annotated[float, Field(gt=0)]
    distribution: Literal["constant", "poisson"] = "poisson"
    steps: tuple[Step, ...] = ()
    max_in_flight: Positive = 2000


@record
class ClosedArrivals:
    """A number of users, each waiting for its answer and then for the think time. Hides queueing: see the docs.

    Attributes:
        kind: Says that arrivals are closed.
        users: So many users; at least one for each worker.
        think_time: Pause of a user between answer and next request.
    """

    kind: Literal["closed"]
    users: Positive
    think_time: Duration = timedelta(0)


@record
class LocustfileArrivals:
    """Users of a locustfile, as Locust runs it: closed, at a pace of its own. The scenarios serve the drills alone.

    Attributes:
        kind: Says that a locustfile makes the load.
        file: Locustfile below the repository's `workload` folder.
        users: How many users Locust spawns over the ramp.
        user_classes: User classes of the file; none named = all.
    """

    kind: Literal["locustfile"]
    file: WorkloadFile
    users: Positive
    user_classes: tuple[str, ...] = ()


Arrivals = Annotated[OpenArrivals | ClosedArrivals | LocustfileArrivals, Field(discriminator="kind")]


@record
class Workload:
    """The load that is offered: who arrives how, for how long, and what they ask.

    A service that sends none of the headers below is judged without them; a `cache-hits` objective then has no samples,
    which is a gap.

    Attributes:
        arrivals: Who arrives how.
        ramp: Time in which the rate, or the number of users, grows to its full; not judged.
        hold: Time at the full rate; what the load is judged by. At least 1 s.
        timeout: After which a request has failed.
        cache_header: Response header that names the cache outcome.
        cache_hit_values: Its values that are hits.
        request_start_header: Request header with the instant of sending, in ns since 1970.
        upstream_start_header: Response header: when the service called its upstream, in ns since 1970.
        upstream_stop_header: Response header: when the upstream had answered, in ns since 1970.
        scenarios: What they ask.
    """

    arrivals: Arrivals
    ramp: Duration
    hold: Duration
    timeout: Duration = timedelta(seconds=10)
    cache_header: str | None = "X-PROXY-CACHE"
    cache_hit_values: tuple[str, ...] = ("hit", "conditional-hit")
    request_start_header: str | None = "X-REQUEST-START"
    upstream_start_header: str = "X-UPSTREAM-REQUEST-START"
    upstream_stop_header: str = "X-UPSTREAM-REQUEST-STOP"
    scenarios: Annotated[tuple[Scenario, ...], Field(min_length=1)]

    @property
    def warm_up(self) -> timedelta:
        """How long the load climbs before the hold that is judged."""
        steps = self.arrivals.steps if isinstance(self.arrivals, OpenArrivals) else ()
        return sum((step.ramp + step.hold for step in steps), self.ramp)

    @property
    def length(self) -> timedelta:
        """From the first request that is due to the last."""
        return self.warm_up + self.hold


@record
class Fleet:
    """The load generators: one master and these workers, run on demand.

    Attributes:
        workers: Load generators, besides the one master; tasks.
        image: Image of the fleet; absent = built from this repository by `cdk deploy`, which needs docker.
        cpu: CPU of each task, in CPU units (1024 = one vCPU).
        memory_mib: Memory of each task, in MiB.
        secrets: Variable of the fleet -> variable of `service.secrets` whose secret it shares.
        start_deadline: How long the fleet may take to start.
    """

    workers: Positive = 2
    image: str | None = None
    cpu: Positive = 1024
    memory_mib: Positive = 2048
    secrets: dict[str, str] = field(default_factory=dict)
    start_deadline: Duration = timedelta(minutes=3)


DrillMethod = Literal["fault-errors", "fault-slow", "unhealthy-targets", "no-traffic", "probe-fault", "set-state"]
"""How an alarm is made to fire. All but the last are real breaches of the alarm's own metric."""


@record
class AlarmDrill:
    """How one alarm is made to fire, where it is not by default.

    Attributes:
        objective: Id of an objective that has an alarm, or `probe`.
        method: `fault-errors` (the fault target answers 500), `fault-slow` (it answers late), `unhealthy-targets`
            (targets that fail their health check are registered), `no-traffic` (no request comes until the alarm
            rings), `probe-fault` (the probe's requests meet the fault target) or `set-state` (no fault: the state is
            set by hand, and the report says so). Absent = by what the alarm watches.
        fault_percent: Share of the drill's requests that meet the fault; per cent.
    """

    objective: Identifier
    method: DrillMethod | None = None
    fault_percent: Annotated[int, Field(gt=0, le=100)] = 100


@record
class AlarmDrills:
    """The drill of every alarm: load that carries the drill header, a fault per alarm, limits.

    Attributes:
        rate_per_s: Load during the drills, with the drill header; requests a second.
        fault_delay: How long the fault target takes to answer in a `fault-slow` drill.
        max_detect: At most this from the fault to ALARM.
        max_clear: At most this from the end of the fault to OK.
        each: Alarms that are drilled otherwise than by default.
    """

    rate_per_s: Annotated[float, Field(gt=0)] = 20
    fault_delay: Duration = timedelta(seconds=2)
    max_detect: Duration = timedelta(minutes=5)
    max_clear: Duration = timedelta(minutes=5)
    each: tuple[AlarmDrill, ...] = ()


@record
class BadRelease:
    """A release that is bad in a known way: the service's own task definition, spoilt.

    Attributes:
        kind: How it is bad, which decides by what its effect shows: `errors` and `slow` by the clients' requests, the
            others by tasks that fail.
        environment: Variables that make the service misbehave.
        image: Another image; for `unpullable`, one that nobody has.
        command: Another command for the container.
    """

    kind: Literal["errors", "slow", "crash", "never-healthy", "unpullable"]
    environment: dict[str, str] = field(default_factory=dict)
    image: str | None = None
    command: tuple[str, ...] = ()

    @property
    def starts(self) -> bool:
        """Whether it comes up, so that all traffic can be on it."""
        return self.kind in ("errors", "slow")


@record
class RunbookRehearsal:
    """The bad release is fully out, nothing takes it back by itself, and the harness follows the runbook.

    Attributes:
        id: Id of the runbook.
        max_detect: At most this from the order to the first alarm.
        max_recover: At most this from the order until the objectives are met again.
        max_failed_ratio: At most this share of the requests in between fails.
        max_failed_requests: At most so many of them; absent = any number.
    """

    id: str = "rollback"
    max_detect: Duration = timedelta(minutes=5)
    max_recover: Duration = timedelta(minutes=20)
    max_failed_ratio: Ratio = 1.0
    max_failed_requests: Annotated[int, Field(ge=0)] | None = None


@record
class RollbackDrill:
    """Releases that are bad in a known way, deployed as canary under load; and the runbook that takes one back.

    Attributes:
        rate_per_s: Load during the rehearsals; requests a second.
        bad: The bad releases; at least one of kind `errors` or `slow`.
        max_detect: At most this from the order to the first alarm, or the circuit breaker.
        max_recover: At most this from the order until the objectives are met again.
        max_failed_ratio: At most this share of the requests in between fails.
        max_failed_requests: At most so many of them; absent = any number.
        recovered_for: How long the objectives have to be met until the service counts as recovered; at least 1 s.
        deadline: After which the release is no longer waited for.
        runbook: The rehearsal by the runbook, with limits of its own.
    """

    rate_per_s: Annotated[float, Field(gt=0)] = 50
    bad: Annotated[tuple[BadRelease, ...], Field(min_length=1)]
    max_detect: Duration = timedelta(minutes=5)
    max_recover: Duration = timedelta(minutes=10)
    max_failed_ratio: Ratio = 0.25
    max_failed_requests: Annotated[int, Field(ge=0)] | None = None
    recovered_for: Duration = timedelta(seconds=5)
    deadline: Duration = timedelta(minutes=30)
    runbook: RunbookRehearsal = field(default_factory=RunbookRehearsal)


@record
class TaskLossDrill:
    """Tasks of the service are stopped under load.

    Attributes:
        rate_per_s: Load during the drill; requests a second.
        lose: One task, or all tasks of one availability zone.
        max_recover: At most this from the order to as many healthy tasks as before.
        max_failed_requests: So many may fail although the objectives were missed; 0 = the objectives have to be kept.
    """

    rate_per_s: Annotated[float, Field(gt=0)] = 50
    lose: Literal["task", "zone"] = "task"
    max_recover: Duration = timedelta(minutes=5)
    max_failed_requests: Annotated[int, Field(ge=0)] = 0


@record
class Drills:
    """The rehearsed failures.

    Attributes:
        alarms: Does every alarm fire, reach somebody, and clear?
        rollback: Is a bad release taken back?
        task_loss: Does the service outlive the loss of tasks?
    """

    rollback: RollbackDrill
    alarms: AlarmDrills = field(default_factory=AlarmDrills)
    task_loss: TaskLossDrill = field(default_factory=TaskLossDrill)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


Name = Annotated[str, AfterValidator(_not_blank)]
"""Of a person; anything that has to be said, and not with spaces alone."""


@record
class Owner:
    """Who answers for a role, and must sign. The first one's name is the owner tag of the stack.

    Attributes:
        name: Person who signs; case and spaces do not matter.
        contact: How to reach them.
        deputies: Who else may sign and tick for the role; `*` = anybody, with a name.
        public_key: Ed25519 key, as `ssh-ed25519 ...` or PEM. With one, only a signature by it counts. No two roles
            share one.
    """

    name: Name
    contact: str = ""
    deputies: tuple[Name, ...] = ()
    public_key: str | None = None


@record
class ChecklistItem:
    """One item of the go-live checklist: automatic if it is bound to a gate, else a person has to tick it.

    Attributes:
        id: Its name in ticks and reports; unique.
        text: What has to be true.
        gate: It is done when this gate passed; absent = a person has to tick it.
        measurement: It is done when the gate measured this, proved it, and it kept its threshold; the gate itself may
            have failed for another reason.
        owner: Role whose people may tick it; absent = anybody may, with a name.
    """

    id: Identifier
    text: str
    gate: str | None = None
    measurement: str | None = None
    owner: str | None = None


@record
class Criterion:
    """An acceptance criterion or an item of the definition of done, and what shows that it is met: all of it.

    Attributes:
        id: Its name in reports; unique.
        type: Which of the two it is.
        text: What has to be true.
        gates: Each has to have passed.
        not_waived: Severities of which these gates' findings may not even have been waived.
        figures: `gate/name` of measurements that have to have been taken, whatever they came to.
        artifacts: Files of the bundle that have to be there.
        checklist: Items that have to be done; `*` = all.
        signed: Roles that have to have signed go; `*` = all.
        decided: Whether every role has to have signed, either way.
        go_live: Whether production has to have been seen to run what was approved. It comes after the verdict.
    """

    id: Identifier
    type: Literal["acceptance", "definition-of-done"]
    text: str
    gates: tuple[str, ...] = ()
    not_waived: tuple[Severity, ...] = ()
    figures: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*/.+$")], ...] = ()
    artifacts: tuple[str, ...] = ()
    checklist: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    decided: bool = False
    go_live: bool = False


@record
class Notify:
    """Subscribers of the alarms besides the harness's inbox.

    Attributes:
        emails: E-mail addresses; AWS asks each to confirm.
        https: HTTPS addresses.
    """

    emails: tuple[str, ...] = ()
    https: tuple[str, ...] = ()


@record
class Probe:
    """A CloudWatch Synthetics canary on the health path. Absent = there is none.

    Attributes:
        runtime: Runtime of the canary.
        every: Time between two probes.
        runbook: What the probe's alarm names; absent = it has no alarm, and tells nobody.
    """

    runtime: str = "syn-nodejs-puppeteer-9.1"
    every: Duration = timedelta(minutes=5)
    runbook: str | None = None


@record
class Budget:
    """What a run may take; it is stopped in an orderly way.

    Attributes:
        wall_clock: What a run may take until its teardown begins; then it ends in an orderly way, without a verdict to
            rely on.
        usd: What a run may cost, in US dollars, by the estimate. The gate `cost` fails above it and is inconclusive
            without it; a run that outlasts it is ended.
        clone_lifetime: After which the reaper deletes the clone on AWS; not shorter than `wall_clock`.
    """

    wall_clock: Duration = timedelta(hours=2)
    usd: Annotated[float, Field(gt=0)] | None = None
    clone_lifetime: Duration = timedelta(hours=4)


@record
class AwsSettings:
    """Where on AWS a clone may stand.

    Attributes:
        region: Region of the clone.
        production_accounts: Ids of accounts in which a run refuses to start.
        production_stacks: Names of stacks, as globs: where there is one nothing is started, and none is ever drilled.
    """

    region: str = "eu-west-1"
    production_accounts: tuple[Annotated[str, Field(pattern=r"^\d{12}$")], ...] = ()
    production_stacks: tuple[Annotated[str, Field(min_length=1)], ...] = ()

    def production_pattern(self, stack: str) -> str | None:
        """Return the glob by which a stack is production's; None = by none. Upper and lower case are the same."""
        name = stack.lower()
        return next((each for each in self.production_stacks if fnmatchcase(name, each.lower())), None)


@record
class EmbeddedAws:
    """What stands in for what on the embedded AWS.

    Attributes:
        time_scale: By how much waiting times are shortened in a rehearsal: 20 = a minute lasts three seconds.
        images: Image -> command that stands in for it. `{python}` is this Python, `{host}` the task's own loopback
            address, `{port}` its own free port.
        confirms: Addresses of ``notify`` whose owner is taken to have confirmed the subscription. Nobody is asked, and
            nothing is sent to them.
    """

    time_scale: Annotated[float, Field(ge=1, le=120)] = 1
    refused_ratio: Annotated[float, Field(ge=0, le=0.9)] = 0
    """Share of API calls that are refused, as throttled or as failed: a rehearsal of a busy AWS."""
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    confirms: tuple[str, ...] = ()


@record
class Gates:
    """Which gates a GO needs, and the settings that the plan changes, by gate id.

    Attributes:
        required: Ids of the gates that a GO needs; `readiness gates` lists them.
        settings: Settings of single gates.
    """

    required: Annotated[tuple[str, ...], Field(min_length=1)]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)


@record
class Plan:
    """Everything that is decided before the run.

    Attributes:
        service: The service.
        objectives: What it promises: the one source of the load's thresholds and of the alarms. At least one each of
            `latency`, `errors` and `throughput` over the whole answer and of level `fail`.
        workload: The load that production is expected to bring.
        drills: The rehearsed failures.
        gates: What a GO needs.
        owners: Role -> who answers for it, and must sign. At least one.
        network: An existing VPC to stand the clone in.
        database: Its database.
        cache: Its cache.
        probe: A probe from inside the VPC.
        fleet: The load generators.
        notify: Who else hears the alarms.
        checklist: Items of the go-live checklist. An open one keeps the verdict from GO.
        criteria: Acceptance criteria and items of the definition of done: the rows of the coverage matrix.
        budget: What a run may take.
        aws: Where on AWS.
        embedded: The embedded AWS.
        blocking_severities: Severities of open findings that make a gate fail. CRITICAL and HIGH are always among them.
        max_waiver_age: The longest that a waiver may run from `created` to `expires`.
    """

    service: Service
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    workload: Workload
    drills: Drills
    gates: Gates
    owners: dict[Identifier, Owner]
    network: Network | None = None
    database: Database | None = None
    cache: Cache | None = None
    probe: Probe | None = None
    fleet: Fleet = field(default_factory=Fleet)
    notify: Notify = field(default_factory=Notify)
    checklist: tuple[ChecklistItem, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    budget: Budget = field(default_factory=Budget)
    aws: AwsSettings = field(default_factory=AwsSettings)
    embedded: EmbeddedAws = field(default_factory=EmbeddedAws)
    blocking_severities: tuple[Severity, ...] = (Severity.CRITICAL, Severity.HIGH)
    max_waiver_age: Duration = timedelta(days=90)


@record
class ScanTerms:
    """What a scan needs of a plan. The defaults serve templates for which there is none."""

    gates: Gates
    aws: AwsSettings = field(default_factory=AwsSettings)
    blocking_severities: tuple[Severity, ...] = (Severity.CRITICAL, Severity.HIGH)
    max_waiver_age: Duration = timedelta(days=90)


# --- the decision ----------------------------------------------------------------------------------------------------


@record
class Disposed:
    """A finding and its standing."""

    finding: Finding
    disposition: Disposition
    waiver: Waiver | None = None


@record
class GateResult:
    """What one gate came to, and which evidence it rests on."""

    gate: str
    question: str
    stage: Stage
    required: bool
    outcome: Outcome
    judgement: Judgement
    findings: tuple[Disposed, ...]
    observation: str | None
    """Path of the observation in the bundle; None = it could not be observed."""
    started_at: Instant
    ended_at: Instant


@record
class Span:
    """How long a part of the run took."""

    name: str
    started_at: Instant
    ended_at: Instant

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.ended_at - self.started_at).total_seconds()


@record
class Fixed:
    """A finding of an earlier run that is gone, although its gate saw everything that it looks for."""

    gate: str
    finding: Finding


@record
class ControlShown:
    """What became of a fault that the selftest planted.

    Attributes:
        id: ``gate/what-is-planted``.
        plants: What was planted, in words.
        came_to: ``passed`` = nobody noticed it; ``not shown`` = there was no evidence to plant it in.
        said: What the gate said of it, or why it is not shown.
    """

    id: str
    plants: str
    came_to: Literal["failed", "inconclusive", "refused", "passed", "not shown"]
    said: str

    @property
    def noticed(self) -> bool:
        """Whether the fault was kept from passing."""
        return self.came_to in ("failed", "inconclusive", "refused")


@record
class RegisteredFile:
    """A file that the verdict depends on, as it was when the run started.

    Attributes:
        path: From the root of the repository; absolute where it lies outside.
        kept: Its copy in the bundle.
        digest: Of its bytes.
        committed: Of the bytes that the commit has at this path; None = the commit has no such file.
        commit: The last commit that changed it; empty = not known.
        committed_at: When that commit was made, by its own word.
        changed: Whether it was another at the end of the run.
    """

    path: str
    kept: str
    digest: str
    committed: str | None = None
    commit: str = ""
    committed_at: Instant | None = None
    changed: bool = False


@record
class Registration:
    """Whether what decides the run was fixed before it: plan, waivers and workload files, held against the commit.

    Attributes:
        files: All of them; none = nothing shows that anything was fixed.
        allow_dirty: Whether the user said that this is a rehearsal, so that they need not be committed.
    """

    commit: str = "unknown"
    files: tuple[RegisteredFile, ...] = ()
    allow_dirty: bool = False


@record
class Record:
    """What a run came to, sealed with its evidence. What people make of it comes after: ``Decision``."""

    schema: Literal["readiness.record/v1"] = "readiness.record/v1"
    run_id: str
    harness_version: str
    environment: Environment
    time_scale: float
    candidate: Candidate
    plan_digest: str
    waivers_digest: str
    registration: Registration = field(default_factory=Registration)
    started_at: Instant
    decided_at: Instant
    results: tuple[GateResult, ...]
    leftovers: tuple[str, ...]
    spans: tuple[Span, ...]
    required: tuple[str, ...]
    unused_waivers: tuple[Waiver, ...]
    compared_with: str | None = None
    """Run whose findings these are compared with; None = there was no earlier run."""
    fixed: tuple[Fixed, ...] = ()
    known: tuple[str, ...] = ()
    """Marks of the findings that the earlier run had too."""
    interrupted: bool
    troubles: tuple[str, ...]
    """What the harness itself stumbled over. With any there is no reliable verdict."""
    outcome: Outcome
    verdict: Verdict
    reasons: tuple[str, ...]


# --- what people decide, on a sealed bundle --------------------------------------------------------------------------


@record
class Tick:
    """A person's word that a manual item of the checklist is done on this evidence; or that it is not, after all.

    Attributes:
        bundle: Digest of the bundle that it is about.
        plan: Digest of the plan that has the item.
        evidence: What shows it: a sentence, an address, or the name of the file that was kept.
        artifact: Path in the bundle of the file that was kept; None = it is a sentence.
        artifact_digest: Of that file.
        done: False takes an earlier tick back.
    """

    schema: Literal["readiness.tick/v1"] = "readiness.tick/v1"
    bundle: str
    plan: str
    item: Identifier
    name: Name
    at: Instant
    evidence: Name
    artifact: str | None = None
    artifact_digest: str | None = None
    note: str = ""
    done: bool = True


@record
class FiledTick:
    """A tick, where it lies in the bundle, and the digest of that file."""

    tick: Tick
    path: str
    digest: str


@record
class ResidualRisk:
    """A risk that somebody accepts until a day, the last one included."""

    id: Identifier
    text: Annotated[str, Field(min_length=10)]
    owner: Name
    mitigation: Name
    accepted_until: date


@record
class Signature:
    """A person's decision on a bundle, and what of it they saw.

    Attributes:
        plan: Digest of the plan.
        risks: What the signer accepts with it. A role that signs again states its risks again.
        seen_ticks: Item -> digest of the tick that was in force.
        seen_risks: What others had accepted.
        public_key: Of the key that signed, as ``ssh-ed25519 ...``; None = a name and no more.
    """

    role: str
    name: Name
    decision: Literal["go", "no-go"]
    at: Instant
    note: str = ""
    plan: str
    risks: tuple[ResidualRisk, ...] = ()
    seen_ticks: dict[str, str] = field(default_factory=dict)
    seen_risks: tuple[ResidualRisk, ...] = ()
    public_key: str | None = None


@record
class FiledSignature:
    """A signature, where it lies in the bundle, and the fingerprint of its key ("" = it has none)."""

    signature: Signature
    path: str
    key: str = ""


@record
class SignatureStanding:
    """A signature and whether it counts.

    Attributes:
        why: Why it does not; "" = it does.
    """

    filed: FiledSignature
    why: str = ""

    @property
    def in_force(self) -> bool:
        """Whether it counts."""
        return not self.why


class ItemState(StrEnum):
    """What became of an item of the checklist."""

    OPEN = "open"
    REHEARSED = "rehearsed"
    """Done, in a rehearsal: that it can be done was shown, and no more."""
    DONE = "done"


@record
class ItemStanding:
    """An item of the checklist and what became of it.

    Attributes:
        why: What it rests on, or what it still needs.
        evidence: Path in the bundle of what shows it; "" = nothing does.
        tick: Of a manual item.
    """

    item: ChecklistItem
    state: ItemState
    why: str
    evidence: str = ""
    tick: Tick | None = None


class Coverage(StrEnum):
    """How far a criterion is met, worst first."""

    UNMET = "Unmet"
    UNVERIFIED = "Unverified"
    PARTIAL = "Partial"
    MET = "Met"


@record
class CriterionStanding:
    """A row of the coverage matrix.

    Attributes:
        evidence: Paths in the bundle of what it rests on.
        notes: What is missing, and what a reader has to know.
    """

    criterion: Criterion
    status: Coverage
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Standing(StrEnum):
    """What became of a threshold, worst first."""

    MISSED = "missed"
    UNPROVEN = "not proven"
    UNOBSERVED = "not observed"
    MET = "met"


@record
class Threshold:
    """One threshold of a run.

    Attributes:
        gate: Who held the figure against it.
        limit: What it is held against, as a person reads it.
        measured: The figure; None = there is none.
        margin_ratio: How far it is on the right side, as a ratio of the limit; None = the limit is 0, or no figure.
        why: Why the figure proves nothing, or why there is none.
    """

    gate: str
    name: str
    standing: Standing
    limit: str = ""
    measured: Measurement | None = None
    margin_ratio: float | None = None
    why: str = ""


@record
class GateStanding:
    """A required gate and what it came to; None = it was not asked."""

    gate: str
    outcome: Outcome | None


@record
class Decision:
    """The go/no-go record of a bundle: what the run showed, what people made of it, and what is missing.

    Attributes:
        bundle: Digest of the sealed bundle; None = the run has not sealed it yet, so nobody can have signed.
        decided_at: When the last of it was done: the run's end, a tick, a signature. Risks end by this clock.
        reasons: Each thing that stands between this candidate and production.
        waivers: Those that the outcome of a required gate rests on.
        signatures: Every one that was given, in order, also those that count no more.
    """

    schema: Literal["readiness.decision/v1"] = "readiness.decision/v1"
    run_id: str
    service: str
    bundle: str | None
    plan: str
    candidate: Candidate
    environment: Environment
    decided_at: Instant
    outcome: Outcome
    verdict: Verdict
    reasons: tuple[str, ...]
    leftovers: tuple[str, ...]
    gates: tuple[GateStanding, ...]
    thresholds: tuple[Threshold, ...]
    checklist: tuple[ItemStanding, ...]
    criteria: tuple[CriterionStanding, ...]
    waivers: tuple[Waiver, ...]
    risks: tuple[ResidualRisk, ...]
    owners: dict[str, Owner]
    signatures: tuple[SignatureStanding, ...]
