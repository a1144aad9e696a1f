"""Permission and environment preflight: is there all that a run needs? Asked before anything is created.

A check that could not look says so; that is never taken for fine.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from botocore.exceptions import BotoCoreError, ClientError

from readiness import contract, permissions, production, staging, toolchain
from readiness.cloud import Connection, balancer_program
from readiness.errors import ReadinessError
from readiness.model import Plan, record
from readiness.shell import run as run_program

Standing = Literal["ok", "fault", "cannot tell"]

LEAST_FREE_BYTES: Final = 1_000_000_000
"""Evidence, the cloud assembly and the CDK's caches of one run, with room to spare."""
LEAST_BOOTSTRAP: Final = 21
"""The bootstrap whose roles the CDK of this version asks for.
Source: https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html"""
_PROGRAM_DEADLINE_S = 30.0
_VCPUS, _VPCS, _ADDRESSES = ("fargate", "L-3032A538"), ("vpc", "L-F678F1CE"), ("ec2", "L-0263D0A3")
"""Service and code of the quotas: Fargate's vCPUs, VPCs of a region, its Elastic IPs."""
_SAMPLE = "readiness-20260131-120000-abcd"
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError")


@record
class Check:
    """One thing that a run needs.

    Attributes:
        said: What was seen, or why nothing was.
        then: What to do next; "" = nothing.
    """

    name: str
    standing: Standing
    said: str
    then: str = ""


Look = Callable[[], str]
"""Looks, and returns what it saw; raises ``ReadinessError`` for a fault."""


class CannotTellError(Exception):
    """A check could not look."""

    def __init__(self, why: str, then: str = "") -> None:
        super().__init__(why)
        self.then = then


def ask(name: str, look: Look) -> Check:
    """Return what a check came to."""
    try:
        return Check(name=name, standing="ok", said=look())
    except ReadinessError as error:
        return Check(name=name, standing="fault", said=error.message, then=error.hint)
    except CannotTellError as error:
        return Check(name=name, standing="cannot tell", said=str(error), then=error.then)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        then = "Allow it: docs/iam/harness-policy.json." if code in _DENIED else "Ask again, or look yourself."
        return Check(name=name, standing="cannot tell", said=str(error), then=then)
    except (BotoCoreError, OSError) as error:
        return Check(name=name, standing="cannot tell", said=str(error), then="Is the network there?")


# --- this machine ----------------------------------------------------------------------------------------------------


def local(repository: Path) -> Iterator[Check]:
    """Check what every run needs of this machine."""
    yield ask("Python", _python)
    yield ask("Node", _node)
    yield ask("CDK", lambda: _cdk(repository))
    yield ask("disk", lambda: _disk(repository))


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))  # an older one could not have read this file


def _node() -> str:
    program = toolchain.node_folder() / ("node.exe" if os.name == "nt" else "node")
    return run_program([str(program), "--version"], deadline_s=_PROGRAM_DEADLINE_S).stdout.decode().strip()


def _cdk(repository: Path) -> str:
    program = str(toolchain.cdk_program(repository))
    environment = toolchain.cdk_environment(repository, {})
    said = run_program([program, "--version"], deadline_s=_PROGRAM_DEADLINE_S, env=environment)
    return said.stdout.decode().strip()


def _disk(repository: Path) -> str:
    folder = repository / ".readiness"
    nearest = folder if folder.exists() else repository
    if not nearest.is_dir():
        raise ReadinessError(f"{nearest} is no folder: there would be no evidence.", hint="Move it out of the way.")
    if not os.access(nearest, os.W_OK):
        raise ReadinessError(
            f"{nearest} cannot be written to: there would be no evidence.", hint="Mend its permissions."
        )
    free = shutil.disk_usage(nearest).free
    if free < LEAST_FREE_BYTES:
        raise ReadinessError(
            f"{free / 1e9:.1f} GB are free; a run may need {LEAST_FREE_BYTES / 1e9:.0f} GB.",
            hint=f"Free the disk of {nearest}; `.readiness/runs` keeps every run.",
        )
    return f"{free / 1e9:.0f} GB free"


def for_embedded(plan: Plan) -> Iterator[Check]:
    """Check what the embedded AWS needs of this machine."""
    yield ask("load balancer", balancer_program)
    yield ask("loopback", _loopback)
    for image, argv in plan.embedded.images.items():
        yield ask(f"image {image}", lambda argv=argv: _program(argv))  # type: ignore[misc]


def _loopback() -> str:
    """Bind a port on an address that only an alias, or a kernel that takes all of 127/8 for itself, has."""
    for address in ("127.0.0.1", "127.1.2.3"):
        with socket.socket() as one:
            try:
                one.bind((address, 0))
            except OSError as error:
                raise ReadinessError(
                    f"No port can be opened on {address}: {error.strerror}.",
                    hint="Tasks and load balancers get addresses of 127.0.0.0/8; see README, Requirements.",
                ) from error
    return "ports and addresses of 127.0.0.0/8 can be had"


def _program(argv: Sequence[str]) -> str:
    program = sys.executable if argv[:1] == ("{python}",) else argv[0] if argv else ""
    found = shutil.which(program)
    if found is None:
        raise ReadinessError(f"{program!r} is no program here.", hint="Mend embedded.images of the plan, or build it.")
    return found


# --- the account -----------------------------------------------------------------------------------------------------


def cheap(connection: Connection, plan: Plan) -> Iterator[Check]:
    """Check what would end a deployment half-way: in two calls, so that every run on AWS does it first."""
    yield ask("CDK bootstrap", lambda: _bootstrap(connection))
    yield ask("fleet image", lambda: _fleet_image(plan))


def for_aws(connection: Connection, plan: Plan) -> Iterator[Check]:
    """Check the account and what it lets us do. Reads only."""
    yield Check(name="credentials", standing="ok", said=f"account {connection.account}, {connection.region}")
    yield ask("production", lambda: _production(connection, plan))
    yield from cheap(connection, plan)
    yield ask("quota: Fargate vCPUs", lambda: _fargate_quota(connection, plan))
    if plan.network is None:
        yield ask("quota: VPCs", lambda: _count_quota(connection, _VPCS, "describe_vpcs", "Vpcs"))
        yield ask("quota: Elastic IPs", lambda: _count_quota(connection, _ADDRESSES, "describe_addresses", "Addresses"))
    yield ask("permissions", lambda: _permissions(connection))


def demand(checks: Iterable[Check]) -> None:
    """Refuse to go on with a fault; what could not be looked at stops nobody here: the deployment will show it.

    Raises:
        ReadinessError: names each fault.
    """
    faults = [each for each in checks if each.standing == "fault"]
    if faults:
        raise ReadinessError(
            "; ".join(f"{each.name}: {each.said}" for each in faults),
            hint="\n  ".join(
                [each.then for each in faults if each.then] + ["`readiness doctor --target aws` says all."]
            ),
        )


def _production(connection: Connection, plan: Plan) -> str:
    production.refuse(connection, plan, _SAMPLE)
    accounts, stacks = len(plan.aws.production_accounts), len(plan.aws.production_stacks)
    if not accounts and not stacks:
        raise CannotTellError(
            "the plan names no production account and no production stack",
            "Name them: aws.production_accounts, aws.production_stacks.",
        )
    return f"not one of {accounts} production accounts; no stack is called like one of {stacks} patterns"


def _bootstrap(connection: Connection) -> str:
    place = f"aws://{connection.account}/{connection.region}"
    try:
        answer = connection.client("ssm").get_parameter(Name=staging.BOOTSTRAP_PARAMETER)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        raise ReadinessError(
            f"The CDK is not bootstrapped in {place}.", hint=f"Run `cdk bootstrap {place}` once."
        ) from error
    version = str(answer["Parameter"]["Value"])
    if not version.isdigit() or int(version) < LEAST_BOOTSTRAP:
        raise ReadinessError(
            f"The CDK bootstrap of {place} has version {version}; {LEAST_BOOTSTRAP} is needed.",
            hint=f"Run `cdk bootstrap {place}` again: it upgrades.",
        )
    return f"version {version}"


def _fleet_image(plan: Plan) -> str:
    """Look whether the fleet's image is named, or can be built."""
    named = os.environ.get(contract.FLEET_IMAGE_VARIABLE) or plan.fleet.image
    if named:
        return named
    if shutil.which("docker") is None:
        raise ReadinessError(
            "fleet.image is not set, and there is no docker to build the fleet's image with.",
            hint="Install Docker, or push the image of fleet/Dockerfile and name it: fleet.image.",
        )
    run_program(["docker", "version", "--format", "{{.Server.Version}}"], deadline_s=_PROGRAM_DEADLINE_S)
    return "docker builds it"


def _fargate_quota(connection: Connection, plan: Plan) -> str:
    """Hold the quota against what a run uses at most: a release beside the largest service, and the fleet."""
    service = 2 * max(plan.service.max_count, plan.service.desired_count) * plan.service.cpu / 1024
    needed = service + (plan.fleet.workers + 1) * plan.fleet.cpu / 1024
    quota = _quota(connection, _VCPUS)
    if quota < needed:
        raise ReadinessError(
            f"The account may run {quota:g} vCPUs on Fargate; a run uses up to {needed:g}.",
            hint="Ask AWS for more: Service Quotas, Fargate On-Demand vCPU resource count.",
        )
    return f"{needed:g} of {quota:g} are needed; what others use of them is not seen"


def _count_quota(connection: Connection, quota: tuple[str, str], operation: str, key: str) -> str:
    """Look whether one more fits."""
    used = len(getattr(connection.client("ec2"), operation)()[key])
    most = _quota(connection, quota)
    if used + 1 > most:
        raise ReadinessError(
            f"{used} of {most:g} {key} of {connection.region} are in use, and a clone needs one.",
            hint=f"Free one, or ask AWS for more: Service Quotas, {quota[1]}.",
        )
    return f"{used} of {most:g} are in use"


def _quota(connection: Connection, quota: tuple[str, str]) -> float:
    """Return the value of a quota: the account's, else AWS's default."""
    service, code = quota
    quotas = connection.client("service-quotas")
    try:
        found = quotas.get_service_quota(ServiceCode=service, QuotaCode=code)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchResourceException":
            raise
        found = quotas.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)
    return float(found["Quota"]["Value"])


# --- permissions -----------------------------------------------------------------------------------------------------


def _permissions(connection: Connection) -> str:
    """Simulate every action of the policy that ships, each on something that the policy would allow it on."""
    caller = connection.client("sts").get_caller_identity()["Arn"]
    principal = _principal(connection, caller)
    denied: list[str] = []
    asked = 0
    for statement in permissions.shipped()["Statement"]:
        answer = connection.client("iam").simulate_principal_policy(
            PolicySourceArn=principal,
            ActionNames=statement["Action"],
            ResourceArns=sample_resources(statement["Resource"], connection),
            ContextEntries=sample_context(statement.get("Condition", {}), connection.account),
        )
        results = answer["EvaluationResults"]
        asked += len({each["EvalActionName"] for each in results})
        denied += [each["EvalActionName"] for each in results if each["EvalDecision"] != "allowed"]
    if denied:
        raise ReadinessError(
            f"{principal} may not: {', '.join(sorted(set(denied)))}.", hint="Allow it: docs/iam/harness-policy.json."
        )
    if not asked:
        raise CannotTellError("the simulation answered for no action")
    return f"{principal} may do all {asked} things"


def _principal(connection: Connection, caller: str) -> str:
    """Return the user or role behind a caller; a session stands for its role."""
    kind, _, rest = caller.rpartition(":")[2].partition("/")
    if kind == "assumed-role":
        name = rest.split("/")[0]
        return str(connection.client("iam").get_role(RoleName=name)["Role"]["Arn"])  # which knows its path
    if kind == "user":
        return caller
    raise CannotTellError(f"{caller} is no user and no role, and only theirs can be simulated", "Use a role.")


def sample_resources(resource: str | list[str], connection: Connection) -> list[str]:
    """Return resources that the patterns of a statement match, as a run would name them."""
    patterns = [resource] if isinstance(resource, str) else resource
    return [_sample(each, connection) for each in patterns]


def _sample(pattern: str, connection: Connection) -> str:
    if pattern == "*":
        return pattern
    arn, partition, service, region, account, name = pattern.split(":", 5)
    region = connection.region if region == "*" else region
    account = connection.account if account == "*" else account
    return ":".join([arn, partition, service, region, account, name.replace("readiness-*", _SAMPLE).replace("*", "x")])


def sample_context(condition: Mapping[str, Mapping[str, Any]], account: str) -> list[dict[str, Any]]:
    """Return what a request would have to carry to meet a statement's condition."""
    entries = []
    for operator, keys in condition.items():
        for key, wanted in keys.items():
            value = wanted[0] if isinstance(wanted, list) else wanted
            value = "x" if operator == "Null" else str(value).replace("${aws:PrincipalAccount}", account)
            entries.append({"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"})
    return entries
