"""ReadinessStack: the clone of the service and what judges it, in one stack that leaves nothing behind."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aws_cdk import CfnOutput, RemovalPolicies, RemovalPolicy, Stack, Tags
from aws_cdk import aws_ecs as ecs
from constructs import Construct, Node

from readiness import contract
from readiness.contract import Output
from readiness.model import Plan
from stacks.canary import Alarms, Dashboard, Notifications
from stacks.data import Cache, Database
from stacks.fault import Fault
from stacks.fleet import Fleet
from stacks.network import Network
from stacks.probe import Probe
from stacks.reaper import Reaper
from stacks.service import Balancer, Service

_RUN_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whose clone this is, and until when it may stand."""

    run_id: str
    owner: str
    expires_at: datetime

    @property
    def tags(self) -> dict[str, str]:
        """The tags that every resource carries."""
        return {
            contract.TAG_RUN_ID: self.run_id,
            contract.TAG_OWNER: self.owner,
            contract.TAG_EXPIRES_AT: self.expires_at.isoformat(),
        }


def identity(node: Node, plan: Plan) -> Identity:
    """Return the identity that the CDK context gives (``-c run_id=... -c expires_at=...``).

    Without a run id it is the user's own clone, so that ``cdk deploy`` and ``cdk destroy`` mean the same stack; without
    an expiry, the clone lives as long from now as the plan allows.

    Raises:
        ValueError: a run id that can't be in a stack's name or makes it production's, or an expiry that is no instant.
    """
    run_id = node.try_get_context(contract.CONTEXT_RUN_ID) or f"manual-{_user()}"
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(
            f"run_id is {run_id!r}: it becomes part of the stack's name, so use a-z, 0-9 and hyphens, at most 60."
        )
    pattern = plan.aws.production_pattern(f"{contract.STACK_NAME_PREFIX}{run_id}")
    if pattern is not None:
        raise ValueError(f"run_id is {run_id!r}: aws.production_stacks of the plan forbids stacks called {pattern!r}.")
    given = node.try_get_context(contract.CONTEXT_EXPIRES_AT)
    expires_at = datetime.fromisoformat(given) if given else datetime.now(UTC) + plan.budget.clone_lifetime
    if expires_at.tzinfo is None:
        raise ValueError(f"expires_at is {given!r}: say the offset too, e.g. 2026-01-31T18:00:00+00:00.")
    owner = next(iter(plan.owners.values())).name
    return Identity(run_id=run_id, owner=owner, expires_at=expires_at.astimezone(UTC).replace(microsecond=0))


def _user() -> str:
    """Return the user's name as a stack's name can hold it."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # no name for this uid, as in many containers
        name = "nobody"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:30] or "nobody"


class ReadinessStack(Stack):
    """Composes the constructs, tags everything and makes everything destroyable."""

    def __init__(self, scope: Construct, construct_id: str, *, plan: Plan, identity: Identity, **options: Any) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=f"{contract.STACK_NAME_PREFIX}{identity.run_id}",
            description=f"Ephemeral clone of {plan.service.name} for a readiness run; deletes itself when it expires",
            tags=identity.tags,
            termination_protection=False,
            **options,
        )
        self.network = Network(self, "Network", plan=plan)
        environment, stores = self._stores(plan)
        self.balancer = Balancer(self, "Balancer", plan=plan.service, network=self.network)
        self.fault = Fault(self, "Fault", plan=plan, balancer=self.balancer)
        self.notifications = Notifications(self, "Notifications", notify=plan.notify)
        self.alarms = Alarms(self, "Alarms", plan=plan, balancer=self.balancer, topic=self.notifications.topic)
        Dashboard(self, "Overview", alarms=self.alarms, balancer=self.balancer)
        self.service = Service(
            self,
            "Service",
            plan=plan,
            network=self.network,
            balancer=self.balancer,
            wired_environment=environment,
            stores=stores,
            deployment_alarms=self.alarms.for_deployments,
            wait_for=[store for store in (self.database, self.cache) if store],
        )
        self.fleet = Fleet(self, "Fleet", plan=plan.fleet, service_secrets=self.service.secrets)
        self._probe(plan, identity)
        self.reaper = Reaper(self, "Reaper", expires_at=identity.expires_at)
        for key, value in identity.tags.items():
            Tags.of(self).add(key, value)
        RemovalPolicies.of(self).apply(RemovalPolicy.DESTROY)
        self._outputs(identity)

    def _stores(self, plan: Plan) -> tuple[dict[str, str], dict[str, ecs.Secret]]:
        """Build the stores that the plan has; return what the service is told of them, and their secrets."""
        environment: dict[str, str] = {}
        secrets: dict[str, ecs.Secret] = {}
        network = self.network
        self.database: Database | None = None
        self.cache: Cache | None = None
        if plan.database is not None and network.database is not None:
            self.database = Database(
                self,
                "Database",
                plan=plan.database,
                vpc=network.vpc,
                subnets=network.isolated,
                security_group=network.database,
            )
            environment |= self.database.environment
            secrets["database-password"] = ecs.Secret.from_secrets_manager(self.database.secret, "password")
        if plan.cache is not None and network.cache is not None:
            self.cache = Cache(
                self,
                "Cache",
                plan=plan.cache,
                vpc=network.vpc,
                subnets=network.isolated,
                security_group=network.cache,
            )
            environment |= self.cache.environment
            secrets["cache-token"] = ecs.Secret.from_secrets_manager(self.cache.secret)
        return environment, secrets

    def _probe(self, plan: Plan, identity: Identity) -> None:
        if plan.probe is None or self.network.probe is None:
            return
        probe = Probe(
            self,
            "Probe",
            plan=plan.probe,
            name=f"{contract.STACK_NAME_PREFIX}{identity.run_id}",
            network=self.network,
            security_group=self.network.probe,
            url=f"{self.balancer.url}{plan.service.health_path}",
            topic=self.notifications.topic,
        )
        if probe.alarm is not None:
            self.alarms.by_objective[contract.PROBE] = probe.alarm

    def _outputs(self, identity: Identity) -> None:
        """Write every key of ``contract.Output``: it is all that the harness knows of the clone."""
        balancer, fleet = self.balancer, self.fleet
        subnets = [subnet.subnet_id for subnet in self.network.private_subnets]
        outputs = {
            Output.RUN_ID: identity.run_id,
            Output.EXPIRES_AT: identity.expires_at.isoformat(),
            Output.SERVICE_URL: balancer.url,
            Output.CLUSTER: self.service.cluster.cluster_name,
            Output.SERVICE: self.service.service.service_name,
            Output.LOAD_BALANCER_ARN: balancer.load_balancer.load_balancer_arn,
            Output.LISTENER_ARN: balancer.listener.listener_arn,
            Output.PRODUCTION_RULE_ARN: balancer.production_rule.listener_rule_arn,
            Output.FAULT_RULE_ARN: self.fault.rule.ref,
            Output.PRIMARY_TARGET_GROUP_ARN: balancer.primary.target_group_arn,
            Output.ALTERNATE_TARGET_GROUP_ARN: balancer.alternate.target_group_arn,
            Output.FAULT_TARGET_GROUP_ARN: self.fault.target_group.ref,
            Output.ALARMS: self.to_json_string(
                {objective: alarm.alarm_name for objective, alarm in self.alarms.by_objective.items()}
            ),
            Output.TOPIC_ARN: self.notifications.topic.topic_arn,
            Output.INBOX_URL: self.notifications.inbox.queue_url,
            Output.FLEET_MASTER_TASK_DEFINITION: fleet.master.task_definition_arn,
            Output.FLEET_WORKER_TASK_DEFINITION: fleet.worker.task_definition_arn,
            Output.FLEET_SUBNETS: ",".join(subnets),
            Output.FLEET_SECURITY_GROUP: self.network.fleet.security_group_id,
            Output.FLEET_LOG_GROUP: fleet.log_group.log_group_name,
            Output.SERVICE_LOG_GROUP: self.service.log_group.log_group_name,
            Output.REAPER_SCHEDULE: self.reaper.schedule.ref,
        }
        scope = Construct(self, "Outputs")  # keys such as "Service" are names of constructs of the stack too
        for key, value in outputs.items():
            CfnOutput(scope, key, value=value).override_logical_id(key)
