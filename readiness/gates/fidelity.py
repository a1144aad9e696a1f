"""Gate: is the clone what the plan and the template say, down to the image of every task?

The clone's service is read back and held against the plan, the template and the registry. What was seen here is what is
approved: after the cutover the gate ``go-live`` holds production against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from readiness import contract, service_content
from readiness.deployed_service import ServiceSeen, see, unsteady
from readiness.gate import Context, Gate
from readiness.live.deployed_values import DeployedValues
from readiness.model import Finding, Gap, Judgement, Measurement, Plan, Positive, Severity, Stage, record
from readiness.scan.template import Part, read_template
from readiness.service_content import ANY, Content, Difference, PathOrGlob, as_api, compare, digest

_OWN = ("container.", "task.volumes", "task.networkMode")
"""Paths of which a template says everything: what is there beside it was added."""


@record
class Settings:
    """The table ``[gates.settings.fidelity]`` of the plan."""

    min_zones: Positive = 2
    """Over how many availability zones the tasks have to lie, if there are as many tasks."""
    may_differ: tuple[PathOrGlob, ...] = ()
    """Paths of the content, or globs of them, at which the clone may be other than plan and template say."""


@record
class Observation:
    """The clone's service, and what it was meant to be.

    Attributes:
        planned: What the plan says of it; of a secret, only that there is one.
        template: What the template says, as far as it came to values.
        planned_count: How many tasks the plan wants.
    """

    service: ServiceSeen
    planned: Content
    template: Content
    planned_count: int


# --- observing -------------------------------------------------------------------------------------------------------


def observe(ctx: Context, settings: Settings) -> Observation:
    """Read the clone's service back, and spell the plan and the template alike."""
    clone = ctx.clone
    ctx.narrate("Reading the deployed service back")
    seen = see(ctx.clients, clone.outputs[contract.Output.CLUSTER], clone.outputs[contract.Output.SERVICE])
    pages = ctx.clients("cloudformation").get_paginator("list_stack_resources").paginate(StackName=clone.stack_id)
    physical = {
        each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
        for page in pages
        for each in page["StackResourceSummaries"]
    }
    template: Content = {}
    for path in ctx.templates:
        read = read_template(path)
        values = DeployedValues(template=read, stack_id=clone.stack_id, physical=physical)
        for part in read.of_kind("AWS::ECS::Service"):
            if _name(physical.get(part.name, "")) == seen.service:
                template = of_template(part, values)
    return Observation(
        service=seen, planned=of_plan(ctx.plan), template=template, planned_count=ctx.plan.service.desired_count
    )


def of_plan(plan: Plan) -> Content:
    """Return what the plan says of the service."""
    service, ours = plan.service, f"container.{contract.SERVICE_CONTAINER}"
    told = {
        "task.cpu": str(service.cpu),
        "task.memory": str(service.memory_mib),
        f"{ours}.image": service.image,
        f"{ours}.port.{service.port}": "tcp",
        "service.deployment.strategy": "CANARY",
        "service.deployment.canaryConfiguration.canaryPercent": f"{service.canary.percent:g}",
        "target.primary.healthCheckPath": service.health_path,
        "target.alternate.healthCheckPath": service.health_path,
    }
    told |= {f"{ours}.environment.{name}": digest(name, value) for name, value in service.environment.items()}
    told |= {f"{ours}.secret.{name}": ANY for name in service.secrets}
    return told | ({f"{ours}.command": digest("command", list(service.command))} if service.command else {})


def of_template(part: Part, values: DeployedValues) -> Content:
    """Return what a template says of a service, of its task definition, and of its target groups."""
    service = as_api(values.resolve(part.properties))
    content = service_content.of_service(service)
    by_id = {values.physical.get(name, ""): each for name, each in part.template.resources.items()}

    def properties(arn: Any) -> Any:
        found = by_id.get(arn) if isinstance(arn, str) else None
        return {} if found is None else as_api(values.resolve(found.properties))

    content |= service_content.of_task_definition(properties(service.get("taskDefinition")))
    for role, arn in service_content.target_groups(service).items():
        content |= service_content.of_target_group(properties(arn), role)
    return content


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


# --- judging ---------------------------------------------------------------------------------------------------------


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find where the clone is not what it was meant to be, and tasks that are not alike."""
    service = seen.service
    planned = compare(seen.planned, service.content, may_differ=settings.may_differ, whole=False)
    template = compare(seen.template, service.content, may_differ=settings.may_differ)
    differs = [each for each in template.differences if each.wanted or each.path.startswith(_OWN)]
    beside = [each.path for each in template.differences if each not in differs]
    findings = [_finding("not-the-plan", each, "the plan has") for each in planned.differences]
    findings += [_finding("drift", each, "the template has") for each in differs]
    findings += [*_tasks(seen, settings), *_images(service)] if service.content else []
    compared = len(seen.planned) + len(seen.template) - len(template.unknown)
    notes = [f"{service.service} runs {container} as {', '.join(each)}" for container, each in service.digests.items()]
    notes += [f"not known from the template: {', '.join(template.unknown)}"] if template.unknown else []
    notes += [f"not in the template, so not compared: {', '.join(beside)}"] if beside else []
    allowed = {each.path for each in (*planned.allowed, *template.allowed)}
    notes += [f"may differ, and does: {path}" for path in sorted(allowed)]
    return Judgement(
        examined=compared if service.tasks or findings else 0,
        findings=tuple(findings),
        gaps=tuple(_gaps(seen)),
        measurements=(
            Measurement(name="fidelity.compared", value=compared, unit="values", samples=compared),
            Measurement(name="tasks.running", value=service.running, unit="tasks", samples=service.running),
        ),
        notes=tuple(notes),
    )


def _finding(rule: str, difference: Difference, whose: str) -> Finding:
    return Finding(
        rule=f"fidelity/{rule}",
        subject=difference.path,
        severity=Severity.HIGH,
        message=f"In the clone it {difference.told(whose)}",
        help="Find out who changed it, and deploy again; a value that may differ goes into "
        "gates.settings.fidelity.may_differ.",
        why="What is judged on the clone holds for what was reviewed only if both are the same.",
    )


def _tasks(seen: Observation, settings: Settings) -> Iterator[Finding]:
    service = seen.service
    subject = service.service
    if service.desired < seen.planned_count:
        yield _fault(
            "too-few-wanted", subject, f"{service.desired} tasks are wanted, the plan has {seen.planned_count}"
        )
    if why := unsteady(service):
        yield _fault("not-steady", subject, f"The service is not steady: {why}")
    for task in service.tasks:
        if task.task_definition != service.task_definition:
            yield _fault(
                "other-revision", task.task, f"runs {task.task_definition}, the service has {service.task_definition}"
            )
    zones, wanted = service.used_zones, min(settings.min_zones, len(service.tasks))
    if service.tasks and all(task.zone for task in service.tasks) and len(zones) < wanted:
        yield _fault("too-few-zones", subject, f"All tasks lie in {', '.join(zones)}; {wanted} zones are wanted")
    if service.zones and len(service.zones) < settings.min_zones:
        yield _fault("too-few-zones", "subnets", f"The subnets lie in {', '.join(service.zones)} alone")


def _images(service: ServiceSeen) -> Iterator[Finding]:
    for container, digests in service.digests.items():
        if len(digests) > 1:
            yield _fault("several-digests", container, f"Its tasks run {len(digests)} images: {', '.join(digests)}")
    stands_for = {each.image: each.digests for each in service.registry if each.digests}
    for task in service.tasks:
        for container, image in task.images.items():
            known, runs = stands_for.get(image), task.digests.get(container)
            if known and runs and runs not in known:
                yield _fault(
                    "other-digest",
                    f"{task.task} {container}",
                    f"runs {runs}, but the registry has {known[0]} as {image}",
                )


def _fault(rule: str, subject: str, message: str) -> Finding:
    return Finding(
        rule=f"fidelity/{rule}",
        subject=subject,
        severity=Severity.HIGH,
        message=message,
        help="Deploy the clone again, with an image that is named by its digest or a tag that never moves.",
        why="What was measured on one revision says nothing of another.",
    )


def _gaps(seen: Observation) -> Iterator[Gap]:
    service = seen.service
    if not service.tasks:
        yield Gap(what="tasks", why="no task of the service runs")
    elif len(service.tasks) < service.running:
        yield Gap(what="tasks", why=f"{service.running} run, and ECS described {len(service.tasks)} of them")
    for task in service.tasks:
        if not task.digests:
            yield Gap(what=f"image of {task.task}", why="ECS tells of no container")
        for container, runs in task.digests.items():
            if not runs:
                yield Gap(what=f"image of {container} in {task.task}", why="ECS does not tell its digest")
        if not task.zone:
            yield Gap(what=f"zone of {task.task}", why="ECS does not tell it")
    for each in service.registry:
        if each.error:
            yield Gap(what=f"what {each.image} stands for", why=each.error)
    if not seen.template:
        yield Gap(what="the template", why="no template of the run describes the service that runs")


GATE = Gate(
    id="fidelity",
    question="Is the clone what was approved, down to the image of every task?",
    stage=Stage.STEADY,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    terms=lambda plan: {"planned": of_plan(plan), "planned_count": plan.service.desired_count},
    order=5,
)
