"""A first plan for a service: commented TOML that is valid and complete enough to rehearse."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta

from readiness.model import spell_duration

STAND_IN = ("{python}", "-m", "examples.any_service", "--host", "{host}", "--port", "{port}")
"""What stands in for an image until its user names a local command."""
STAND_IN_SPOILT = ("ERROR_RATIO", "0.5")
"""What makes that stand-in a bad release."""
RUNBOOKS = ("high-latency", "high-error-rate", "unhealthy-hosts", "rollback")
"""The runbooks that the plan needs, by id."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the plan needs to know.

    Attributes:
        name: Of the service.
        image: Its container image.
        port: On which it listens.
        rate_per_s: The load that production is expected to bring.
        p95: Within which 95 % of the requests have their answer.
        health_path: Of the load balancer's health check.
        path: Of the request that the load consists of.
        region: On AWS.
        email: Whom an alarm wakes.
        stand_in: Local command that stands in for the image in a rehearsal.
        spoilt: Variable and value that make the service misbehave.
    """

    name: str
    image: str
    port: int = 8080
    rate_per_s: float = 20
    p95: timedelta = timedelta(milliseconds=250)
    health_path: str = "/health"
    path: str = "/"
    region: str = "eu-west-1"
    email: str = "operations@example.com"
    stand_in: tuple[str, ...] = STAND_IN
    spoilt: tuple[str, str] = STAND_IN_SPOILT


def first_plan(answers: Answers, schema: str) -> str:
    """Return the plan's text.

    Args:
        answers: What to write into it.
        schema: Where an editor finds the JSON schema, from the plan's folder; empty = nowhere.
    """
    hold = timedelta(seconds=max(30, -(-400 // max(1, answers.rate_per_s))))
    samples = max(1, min(500, int(answers.rate_per_s * hold.total_seconds() * 0.5)))
    values = {
        "schema": f"#:schema {schema}\n" if schema else "",
        "name": _text(answers.name),
        "image": _text(answers.image),
        "port": str(answers.port),
        "health_path": _text(answers.health_path),
        "path": _text(answers.path),
        "p95": spell_duration(answers.p95),
        "fault_delay": spell_duration(max(timedelta(seconds=2), 2 * answers.p95)),
        "rate": f"{answers.rate_per_s:g}",
        "hold": spell_duration(hold),
        "min_per_s": f"{answers.rate_per_s * 0.85:g}",
        "samples": str(samples),
        "region": _text(answers.region),
        "email": _text(answers.email),
        "variable": _text(answers.spoilt[0]),
        "value": _text(answers.spoilt[1]),
        "drill_rate": f"{min(50.0, answers.rate_per_s):g}",
        "stand_in": "[" + ", ".join(_text(word) for word in answers.stand_in) + "]",
    }
    return re.sub("<<([a-z0-9_]+)>>", lambda match: values[match[1]], _TEMPLATE)


def _text(value: str) -> str:
    """Return a text as TOML spells it: JSON's strings are TOML's basic strings."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


_TEMPLATE = """\
<<schema>># What is decided before the run. docs/plan.md says what each key means; `readiness plan` shows
# what it comes to. Commit it before a run: thresholds that are not fixed beforehand prove nothing.

[service]
name = <<name>>
image = <<image>>
port = <<port>>
health_path = <<health_path>>       # 200 = healthy
# environment = { LOG_LEVEL = "info" }
# secrets = { API_TOKEN = "generate" }      # or database-password, cache-token, the ARN of a secret
canary = { percent = 20, canary_bake = "2m", bake = "2m" }

# [database]                        # Aurora PostgreSQL Serverless v2; its address comes as DATABASE_*
# [cache]                           # Redis; its address comes as REDIS_*

# --- objectives: what the service promises. From each come the threshold of the load and, with `alarm`, the alarm ----

[[objectives]]
id = "latency-p95"
kind = "latency"
percentile = 95
threshold = "<<p95>>"
min_samples = <<samples>>                   # with fewer there is no answer, which is a gap
alarm = { runbook = "runbooks/high-latency.md" }

[[objectives]]
id = "error-ratio"
kind = "errors"
max_ratio = 0.01
min_samples = <<samples>>
alarm = { runbook = "runbooks/high-error-rate.md" }

[[objectives]]
id = "throughput"
kind = "throughput"
min_per_s = <<min_per_s>>
min_samples = <<samples>>

[[objectives]]
id = "unhealthy-hosts"
kind = "unhealthy-hosts"
max_hosts = 0
alarm = { runbook = "runbooks/unhealthy-hosts.md" }

# --- the load that production is expected to bring -------------------------------------------------------------------

[workload]
ramp = "5s"
hold = "<<hold>>"                        # what is judged; minutes on AWS
arrivals = { kind = "open", rate_per_s = <<rate>>, distribution = "poisson" }

[[workload.scenarios]]              # one for each kind of request, with its share as `weight`
name = "main"
path = <<path>>
# method = "POST"
# headers = { Content-Type = "application/json" }
# body = '{"id": "{{unique}}"}'

# --- drills: failures that are rehearsed -----------------------------------------------------------------------------

[drills.alarms]                     # every alarm, each by a real breach of its own metric
rate_per_s = <<drill_rate>>
fault_delay = "<<fault_delay>>"               # how late the fault target answers; above the alarm's threshold

[drills.rollback]
rate_per_s = <<drill_rate>>
# A release that is bad in a known way: change this to what makes your service fail.
bad = [{ kind = "errors", environment = { <<variable>> = <<value>> } }]
runbook = { id = "rollback" }

[drills.task_loss]
rate_per_s = <<drill_rate>>
max_failed_requests = 5

[notify]                            # who is woken; on AWS somebody has to confirm the subscription
emails = [<<email>>]

# --- who decides, and on what ----------------------------------------------------------------------------------------

[gates]
required = [
    "cost", "cfn-lint", "security", "runbooks", "fidelity", "live-security", "load", "alarms", "rollback", "task-loss",
    "leftovers",
]

[owners]                            # each must sign; put names here
release = { name = "Release owner" }
security = { name = "Security reviewer" }
operations = { name = "Operations owner" }

[budget]
wall_clock = "2h"
usd = 15                            # what a run may cost, by the estimate of `readiness plan --cost`
clone_lifetime = "4h"

[aws]
region = <<region>>
production_accounts = []            # account ids in which a run refuses to start
production_stacks = ["prod-*"]      # where a stack of such a name is, too; and none is ever drilled

# --- the embedded AWS: what stands in for which image in a rehearsal -------------------------------------------------

[embedded]
time_scale = 20                     # a 60 s alarm period lasts 3 s in a rehearsal; the record says so
confirms = [<<email>>]   # taken as confirmed: nobody is asked, nothing is sent; the report says so

[embedded.images]
<<image>> = <<stand_in>>
"readiness-fleet:local" = ["{python}", "-m", "readiness.loadgen", "--host", "{host}"]
"""
