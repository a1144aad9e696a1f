"""Never in production: accounts and stacks that are refused, and the proof, before any drill, that a clone is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from readiness import contract
from readiness.cloud import Connection, translated
from readiness.errors import PlanError, ReadinessError
from readiness.model import Clone, Plan


class NotOursError(ReadinessError):
    """What was about to be drilled is not shown to be the clone of this run."""


def refuse(connection: Connection, plan: Plan, stack: str) -> None:
    """Refuse to start where production is: by the name of the stack to be made, and of those that are there.

    Raises:
        PlanError: the plan forbids it.
        CloudError: the account does not say which stacks it has.
    """
    patterns = plan.aws.production_stacks
    if not patterns:
        return
    with translated(f"Listing the stacks of account {connection.account}"):
        pages = connection.client("cloudformation").get_paginator("describe_stacks").paginate()
        names = [each["StackName"] for page in pages for each in page["Stacks"]]
    for name in (stack, *names):
        pattern = plan.aws.production_pattern(name)
        if pattern is not None:
            where = f"account {connection.account} has a stack {name}" if name != stack else f"it would make {name}"
            raise PlanError(
                "readiness.toml",
                "aws.production_stacks",
                f"forbids {pattern!r}, and {where}: a run never deploys or drills in production",
                hint="Use the credentials of a staging account, or correct the pattern.",
            )


def prove_ours(clients: Callable[[str], Any], clone: Clone, run_id: str, plan: Plan) -> None:
    """Prove that a clone is the one that this very run made, before something is done to it.

    The stack must carry the run's id as its tag, must not be one that the plan calls production, and must have the
    outputs that the clone was described with: they say what is drilled.

    Raises:
        NotOursError: it is not, or the account does not say.
    """
    refused = f"Stack {clone.stack_name} is not drilled: "
    pattern = plan.aws.production_pattern(clone.stack_name)
    if pattern is not None:
        raise NotOursError(f"{refused}aws.production_stacks forbids {pattern!r}.", hint="Drill a clone of your own.")
    try:
        with translated("Reading the tags of the clone's stack"):
            found = clients("cloudformation").describe_stacks(StackName=clone.stack_id)["Stacks"][0]
    except (ReadinessError, LookupError) as error:
        raise NotOursError(f"{refused}whose it is cannot be told: {error}", hint="Nothing was done to it.") from error
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
    carried = tags.get(contract.TAG_RUN_ID)
    if carried != run_id or clone.run_id != run_id:
        told = (
            f"it carries no tag {contract.TAG_RUN_ID}" if carried is None else f"its {contract.TAG_RUN_ID} is {carried}"
        )
        raise NotOursError(f"{refused}{told}, this run is {run_id}.", hint="Only a run's own clone is ever drilled.")
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    changed = sorted(key for key, value in clone.outputs.items() if outputs.get(key) != value)
    if changed:
        raise NotOursError(
            f"{refused}its output {changed[0]} is not what this run was told.",
            hint="The stack was changed, or the run's clone.json was. Make a new clone.",
        )
