"""The clone: synthesized and deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness import contract, toolchain
from readiness.cloud import Connection, translated
from readiness.errors import CloudError, DeployError, ReadinessError, ToolError
from readiness.ledger import Ledger
from readiness.model import Clone
from readiness.shell import run as run_program

BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
_SYNTH_DEADLINE_S = 300.0
_DEPLOY_DEADLINE_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """A synthesized cloud assembly.

    Attributes:
        folder: The ``cdk.out`` folder.
        templates: Its templates.
    """

    folder: Path
    templates: tuple[Path, ...]


def stack_name(run_id: str) -> str:
    """Return the name of a run's stack."""
    return contract.STACK_NAME_PREFIX + run_id


def synthesize(
    repository: Path,
    folder: Path,
    *,
    plan_file: Path,
    variables: Mapping[str, str],
    run_id: str | None = None,
    expires_at: datetime | None = None,
) -> Assembly:
    """Synthesize the stack into *folder*.

    Raises:
        ToolError: the CDK app failed.
        ReadinessError: it made no template.
    """
    context = [f"{contract.CONTEXT_PLAN}={plan_file.resolve()}"]
    if run_id is not None:
        context.append(f"{contract.CONTEXT_RUN_ID}={run_id}")
    if expires_at is not None:
        context.append(f"{contract.CONTEXT_EXPIRES_AT}={expires_at.isoformat()}")
    argv = [str(toolchain.cdk_program(repository)), "synth", "--quiet", "--no-notices", "--output", str(folder)]
    for pair in context:
        argv += ["--context", pair]
    run_program(
        argv,
        deadline_s=_SYNTH_DEADLINE_S,
        cwd=repository,
        env=toolchain.cdk_environment(repository, {**variables, **_marked(run_id)}),
    )
    templates = tuple(sorted(folder.glob("*.template.json")))
    if not templates:
        raise ReadinessError(f"The CDK app made no template in {folder}.", hint="Does `cdk synth` work?")
    return Assembly(folder=folder, templates=templates)


def ensure_bootstrapped(connection: Connection, repository: Path) -> None:
    """Make sure that the CDK's bootstrap stack is there.

    Raises:
        ReadinessError: it is not, and the account is not ours to bootstrap.
    """
    with translated("Reading the CDK's bootstrap version"):
        try:
            connection.client("ssm").get_parameter(Name=BOOTSTRAP_PARAMETER)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterNotFound":
                raise
        else:
            return
    place = f"aws://{connection.account}/{connection.region}"
    if not connection.bootstraps_itself:
        raise ReadinessError(f"The CDK is not bootstrapped in {place}.", hint=f"Run `cdk bootstrap {place}` once.")
    run_program(
        [str(toolchain.cdk_program(repository)), "bootstrap", place, "--no-notices"],
        deadline_s=_SYNTH_DEADLINE_S,
        cwd=repository / "node_modules",  # away from cdk.json: a bootstrap needs no app, and must not synthesize one
        env=toolchain.cdk_environment(repository, connection.variables),
    )


def deploy(
    connection: Connection,
    assembly: Assembly,
    *,
    repository: Path,
    run_id: str,
    expires_at: datetime,
    ledger: Ledger,
) -> Clone:
    """Deploy the clone and write down each resource of it. The caller destroys it, even when this raises.

    Raises:
        DeployError: names the first resource that failed.
    """
    name = stack_name(run_id)
    cloudformation = connection.client("cloudformation")
    ensure_bootstrapped(connection, repository)
    ledger.about_to_create("stack", name, region=connection.region, account=connection.account)
    _deploy(connection, assembly, name, repository, run_id)
    made = describe(cloudformation, name, run_id, expires_at)
    ledger.note("stack-deployed", kind="stack", name=made.stack_id)
    record_resources(cloudformation, made.stack_id, ledger)
    return made


def _marked(run_id: str | None) -> dict[str, str]:
    """Return what a program of a run carries, so that it is found although whoever started it was killed."""
    return {contract.RUN_VARIABLE: run_id} if run_id else {}


def _deploy(connection: Connection, assembly: Assembly, name: str, repository: Path, run_id: str) -> None:
    """Run ``cdk deploy`` on a synthesized assembly; translate its failure into the first failed resource."""
    argv = [str(toolchain.cdk_program(repository)), "deploy", contract.STACK_ID, "--app", str(assembly.folder)]
    argv += ["--require-approval", "never", "--progress", "events", "--no-notices", "--no-version-reporting"]
    try:
        run_program(
            argv,
            deadline_s=_DEPLOY_DEADLINE_S,
            cwd=repository,
            env=toolchain.cdk_environment(repository, {**connection.variables, **_marked(run_id)}),
        )
    except ToolError as error:
        first = first_failure(connection.client("cloudformation"), name)
        if first is None:
            raise
        raise DeployError(name, *first, hint="The stack's events say more; the clone is torn down.") from error


def first_failure(cloudformation: Any, stack: str) -> tuple[str, str] | None:
    """Return logical id and reason of the first resource that failed, or None when no event says so."""
    try:
        pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
        events = [event for page in pages for event in page["StackEvents"]]
    except (BotoCoreError, ClientError):
        return None
    failed = [
        event
        for event in events
        if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in event.get("ResourceStatusReason", "")
    ]
    if not failed:
        return None
    first = min(failed, key=lambda event: event["Timestamp"])
    subject = f"{first['LogicalResourceId']} ({first['ResourceType']})"
    return subject, first.get("ResourceStatusReason", "no reason given")


def describe(cloudformation: Any, stack: str, run_id: str, expires_at: datetime) -> Clone:
    """Return a deployed stack as a clone."""
    with translated(f"Describing stack {stack}"):
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    missing = [key for key in (contract.Output.SERVICE_URL, contract.Output.CLUSTER) if key not in outputs]
    if missing:
        raise CloudError(f"Stack {stack} has no output {missing[0]}.", hint="Was it made by this version of app.py?")
    return Clone(
        run_id=run_id,
        stack_name=found["StackName"],
        stack_id=found["StackId"],
        outputs=outputs,
        expires_at=expires_at,
    )


def record_resources(cloudformation: Any, stack: str, ledger: Ledger) -> None:
    """Write every resource of the stack that the ledger lacks into it: each is asked for by name after the teardown."""
    known = {(entry.kind, entry.name) for entry in ledger.entries() if entry.event == "resource"}
    with translated(f"Listing the resources of {stack}"):
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
        for page in pages:
            for resource in page["StackResourceSummaries"]:
                kind, name = resource["ResourceType"], resource.get("PhysicalResourceId", "")
                if (kind, name) not in known:
                    ledger.note("resource", kind=kind, name=name, logical_id=resource["LogicalResourceId"])


def alarms(deployed: Clone) -> dict[str, str]:
    """Return objective id -> alarm name of a clone."""
    named: dict[str, str] = json.loads(deployed.outputs[contract.Output.ALARMS])
    return named
