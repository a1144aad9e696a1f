"""ECS: clusters and task definitions are moto's; services, deployments and tasks are ours, and run.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/Welcome.html

moto keeps an empty twin of each service, so that Application Auto Scaling and the tag index know it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from readiness.embedded.container import image_digest
from readiness.embedded.deployments import Rules
from readiness.embedded.ecs_metrics import EcsMetrics
from readiness.embedded.metrics import Datum
from readiness.embedded.moto_adapter import Action, AwsError, backend, call_moto
from readiness.embedded.processes import Spawner
from readiness.embedded.service import (
    REVISION_SETTINGS,
    Revision,
    Service,
    describe_deployment,
    describe_revision,
    describe_service,
    new_deployment,
    new_revision,
)
from readiness.embedded.service_scheduler import ServiceScheduler, TargetRegistry
from readiness.embedded.service_settings import check_against_definition, check_deployment, check_service, invalid
from readiness.embedded.settings import ACCOUNT_ID, EmbeddedSettings
from readiness.embedded.task_actions import Tasks, cluster_of, definition_of, page
from readiness.embedded.traffic_shift import shifter

_SETTINGS = (
    *REVISION_SETTINGS,
    "deploymentConfiguration",
    "healthCheckGracePeriodSeconds",
    "propagateTags",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
)

_log = logging.getLogger(__name__)


class Ecs:
    """The ECS of the embedded AWS.

    Args:
        settings: Image commands, the time scale (grace periods, bake times and stop time-outs are divided by it) and
            the region.
        spawner: Starts the processes of tasks.
        clients: boto3 clients, for secrets, parameters, logs and listener rules.
        balancers: Where tasks of services are registered.
        put_metrics: Takes CPUUtilization and MemoryUtilization, once a scaled minute.
        alarm_state: State of an alarm by name.
    """

    def __init__(
        self,
        settings: EmbeddedSettings,
        spawner: Spawner,
        clients: Callable[[str], Any],
        balancers: TargetRegistry,
        put_metrics: Callable[[Iterable[Datum]], None],
        alarm_state: Callable[[str], str],
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._put_metrics = put_metrics
        self._alarm_state = alarm_state
        self._balancers = balancers
        self.tasks = Tasks(settings, spawner, clients, lambda: self.scheduler.wake())
        self.scheduler = ServiceScheduler(self.tasks.run, balancers, shifter(clients), alarm_state, settings.time_scale)
        self._metrics = EcsMetrics()
        self._stopping = threading.Event()
        self._metrics_thread = threading.Thread(target=self._measure, name="ecs-metrics", daemon=True)
        self.actions: Mapping[str, Mapping[str, Action]] = {
            "ecs": {
                **self.tasks.actions,
                "CreateService": self._create_service,
                "UpdateService": self._update_service,
                "DeleteService": self._delete_service,
                "DescribeServices": self._describe_services,
                "ListServices": self._list_services,
                "ListServiceDeployments": self._list_service_deployments,
                "DescribeServiceDeployments": self._describe_service_deployments,
                "DescribeServiceRevisions": self._describe_service_revisions,
                "StopServiceDeployment": self._stop_service_deployment,
                "DescribeClusters": self._describe_clusters,
                "DeleteCluster": self._delete_cluster,
                "TagResource": self._tag_resource,
                "UntagResource": self._untag_resource,
                "ListTagsForResource": self._list_tags,
            }
        }

    def start(self) -> None:
        """Start the service scheduler and the metrics."""
        self.scheduler.start()
        self._metrics_thread.start()

    def stop(self) -> None:
        """Stop the scheduler first, so that nothing is replaced, and then every task."""
        self._stopping.set()
        self.scheduler.stop()
        if self._metrics_thread.is_alive():
            self._metrics_thread.join()
        self.tasks.stop()

    def _measure(self) -> None:
        period_s = 60.0 / self._settings.time_scale
        while not self._stopping.wait(period_s - time.time() % period_s):
            try:
                if data := self._metrics.measure(self._active_services(), time.time()):
                    self._put_metrics(data)
            except Exception:  # noqa: BLE001 - the next minute is measured all the same
                _log.exception("metrics of ECS")

    def _active_services(self) -> list[Service]:
        return [service for service in list(self.scheduler.services.values()) if service.status == "ACTIVE"]

    # --- services

    def _create_service(self, params: dict[str, Any]) -> Mapping[str, Any]:
        check_service(params)
        if "taskDefinition" not in params:
            raise invalid("TaskDefinition can not be blank.")
        cluster = cluster_of(params.get("cluster"))
        definition = definition_of(params["taskDefinition"])
        check_against_definition(params, definition)
        for balancer in params.get("loadBalancers") or ():
            if not self._balancers.in_use(balancer["targetGroupArn"]):
                raise invalid(
                    f"The target group with targetGroupArn {balancer['targetGroupArn']} does not have an associated "
                    "load balancer."
                )
        arn = self._service_arn(cluster["clusterName"], params["serviceName"])
        with self.scheduler.lock:
            known = self.scheduler.services.get(arn)
            if known is not None and known.status != "INACTIVE":
                draining = "Unable to Start a service that is still Draining."
                raise invalid(draining if known.status == "DRAINING" else "Creation of service was not idempotent.")
            service = Service(
                arn=arn,
                name=params["serviceName"],
                cluster_arn=cluster["clusterArn"],
                settings={name: params[name] for name in _SETTINGS if params.get(name) is not None},
                desired=int(params.get("desiredCount", 1)),
                created_at=datetime.now(UTC),
                tags=list(params.get("tags", ())),
            )
            self._fill_in_defaults(service, cluster)
            self._make_twin(service)
            self._deploy(service, definition)
            self.scheduler.services[arn] = service
            self._shift_initially(service)
            self.scheduler.wake()
            return {"service": describe_service(service)}

    def _service_arn(self, cluster_name: str, name: str) -> str:
        return f"arn:aws:ecs:{self._settings.region}:{ACCOUNT_ID}:service/{cluster_name}/{name}"

    def _fill_in_defaults(self, service: Service, cluster: Mapping[str, Any]) -> None:
        settings = service.settings
        configuration = dict(settings.get("deploymentConfiguration") or {})
        configuration.setdefault("maximumPercent", 200)
        configuration.setdefault("minimumHealthyPercent", 100)
        configuration.setdefault("strategy", "ROLLING")
        configuration.setdefault("deploymentCircuitBreaker", {"enable": False, "rollback": False})
        settings["deploymentConfiguration"] = configuration
        if "capacityProviderStrategy" not in settings and "launchType" not in settings:
            settings["launchType"] = "FARGATE"
        settings.setdefault("platformVersion", "LATEST")
        if settings.get("loadBalancers"):
            settings.setdefault("healthCheckGracePeriodSeconds", 0)

    def _make_twin(self, service: Service) -> None:
        call_moto(
            "ecs",
            "CreateService",
            {
                "cluster": service.cluster_arn,
                "serviceName": service.name,
                "taskDefinition": service.settings["taskDefinition"],
                "desiredCount": service.desired,
                "launchType": "FARGATE",
                "tags": service.tags,
            },
        )

    def _forget_twin(self, service: Service) -> None:
        cluster = service.cluster_arn.rsplit("/", 1)[1]
        backend("ecs").services.pop(f"{cluster}:{service.name}", None)

    def _deploy(self, service: Service, definition: Mapping[str, Any]) -> None:
        """Begin a deployment of the service's present settings."""
        if service.deployments and not service.current.machine.over:
            service.current.machine.abort("Service deployment was superseded by a newer one.")
            service.current.finished_at = datetime.now(UTC)
        source = service.last_good()
        before = service.revisions[source].target_groups if source else None
        revision = new_revision(
            service, self._settings.region, definition, self._groups(service, before), self._images(definition)
        )
        rules = self._rules(service)
        deployment = new_deployment(service, self._settings.region, revision, rules, time.monotonic())
        # "If an alarm is in ALARM when the deployment starts, ECS doesn't watch the alarms for its duration."
        deployment.machine.watches_alarms = not any(self._alarm_state(name) == "ALARM" for name in rules.alarm_names)
        if not deployment.machine.watches_alarms:
            service.tell(f"(deployment {deployment.id}) does not watch its alarms: one is in ALARM already.")
        service.tell(f"(deployment {deployment.id}) deployment in progress.")

    def _groups(self, service: Service, before: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the target group of each load balancer entry: with canary, the one that the source doesn't use."""
        canary = service.settings["deploymentConfiguration"].get("strategy") == "CANARY"
        groups = []
        for index, balancer in enumerate(service.settings.get("loadBalancers") or ()):
            first = balancer["targetGroupArn"]
            second = (balancer.get("advancedConfiguration") or {}).get("alternateTargetGroupArn")
            uses_first = before is not None and index < len(before) and before[index] == first
            groups.append(second if canary and second and uses_first else first)
        return tuple(groups)

    def _images(self, definition: Mapping[str, Any]) -> list[dict[str, str]]:
        return [
            {
                "containerName": container["name"],
                "image": container["image"],
                "imageDigest": image_digest(container["image"], self._settings.images.get(container["image"], ())),
            }
            for container in definition["containerDefinitions"]
        ]

    def _rules(self, service: Service) -> Rules:
        configuration = service.settings["deploymentConfiguration"]
        return Rules.parse(configuration, self._settings.time_scale, self._computed_bake_s(configuration))

    def _computed_bake_s(self, configuration: Mapping[str, Any]) -> float:
        """Return the bake time of a rolling update with alarms: long enough for each of them to see a full window.

        AWS computes it from the alarms too and doesn't say how.
        """
        alarms = configuration.get("alarms") or {}
        if not alarms.get("enable"):
            return 0.0
        described = self._clients("cloudwatch").describe_alarms(AlarmNames=alarms["alarmNames"])
        windows = [
            float(_period(alarm)) * int(alarm.get("EvaluationPeriods", 1))
            for alarm in described.get("MetricAlarms", ())
        ]
        return max(windows, default=60.0)

    def _shift_initially(self, service: Service) -> None:
        """Give all production traffic to a new service's first target group."""
        revision = service.revisions[service.primary()]
        for index, balancer in enumerate(service.settings.get("loadBalancers") or ()):
            advanced = balancer.get("advancedConfiguration") or {}
            alternate, rule = advanced.get("alternateTargetGroupArn"), advanced.get("productionListenerRule")
            if alternate and rule:
                twin = _with_groups(revision, index, alternate)
                shifter(self._clients)(service, revision, twin, 0.0)

    def _update_service(self, params: dict[str, Any]) -> Mapping[str, Any]:
        check_service(params)
        with self.scheduler.lock:
            service = self._service(params)
            if service.status != "ACTIVE":
                raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
            settings = {
                **service.settings,
                **{name: params[name] for name in _SETTINGS if params.get(name) is not None},
            }
            if "deploymentConfiguration" in params:
                settings["deploymentConfiguration"] = {
                    **service.settings["deploymentConfiguration"],
                    **params["deploymentConfiguration"],
                }
            check_deployment(settings["deploymentConfiguration"], settings.get("loadBalancers") or ())
            definition = definition_of(settings["taskDefinition"])
            check_against_definition(settings, definition)
            changed = self._changes_revision(service, settings, definition)
            service.settings = settings
            if "desiredCount" in params:
                service.desired = int(params["desiredCount"])
            if changed or params.get("forceNewDeployment"):
                self._deploy(service, definition)
            self._update_twin(service)
            self.scheduler.wake()
            return {"service": describe_service(service)}

    def _changes_revision(self, service: Service, settings: Mapping[str, Any], definition: Mapping[str, Any]) -> bool:
        """Tell whether new settings are another revision; the desired count and deployment configuration are not."""
        primary = service.revisions[service.primary()]
        if definition["taskDefinitionArn"] != primary.definition["taskDefinitionArn"]:
            return True
        return any(
            settings.get(name) != primary.settings.get(name) for name in REVISION_SETTINGS if name != "taskDefinition"
        )

    def _update_twin(self, service: Service) -> None:
        cluster = service.cluster_arn.rsplit("/", 1)[1]
        if twin := backend("ecs").services.get(f"{cluster}:{service.name}"):
            twin.desired_count = service.desired
            twin.tags = list(service.tags)

    def _delete_service(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self.scheduler.lock:
            service = self._service(params)
            if service.status == "INACTIVE":
                raise AwsError("ServiceNotFoundException", "Service not found.")
            if service.desired > 0 and not params.get("force"):
                raise invalid("The service cannot be stopped while it is scaled above 0.")
            service.desired = 0
            if not service.current.machine.over:
                service.current.machine.abort("The service is deleted.")
            service.status = "DRAINING" if service.tasks else "INACTIVE"
            self._forget_twin(service)
            self.scheduler.wake()
            return {"service": describe_service(service)}

    def _service(self, params: Mapping[str, Any]) -> Service:
        cluster = cluster_of(params.get("cluster"))
        found = self._find_service(params["service"], cluster["clusterName"])
        if found is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        return found

    def _find_service(self, reference: str, cluster_name: str) -> Service | None:
        name = reference.rsplit("/", 1)[-1]
        return self.scheduler.services.get(self._service_arn(cluster_name, name))

    def _describe_services(self, params: dict[str, Any]) -> Mapping[str, Any]:
        cluster = cluster_of(params.get("cluster"))
        described, failures = [], []
        with self.scheduler.lock:
            for reference in params["services"]:
                service = self._find_service(reference, cluster["clusterName"])
                if service is None:
                    arn = self._service_arn(cluster["clusterName"], reference.rsplit("/", 1)[-1])
                    failures.append({"arn": arn, "reason": "MISSING"})
                    continue
                description = describe_service(service)
                if "TAGS" in params.get("include", ()):
                    description["tags"] = list(service.tags)
                described.append(description)
        return {"services": described, "failures": failures}

    def _list_services(self, params: dict[str, Any]) -> Mapping[str, Any]:
        cluster = cluster_of(params.get("cluster"))
        arns = [
            service.arn
            for service in list(self.scheduler.services.values())
            if service.cluster_arn == cluster["clusterArn"] and service.status != "INACTIVE"
        ]
        return page(arns, params, "serviceArns")

    # --- deployments and revisions

    def _list_service_deployments(self, params: dict[str, Any]) -> Mapping[str, Any]:
        wanted, created = params.get("status"), params.get("createdAt") or {}
        with self.scheduler.lock:
            service = self._service(params)
            found = []
            for deployment in reversed(service.deployments):
                description = describe_deployment(service, deployment)
                if wanted and description["status"] not in wanted:
                    continue
                if not _within(deployment.created_at, created):
                    continue
                brief: dict[str, Any] = {
                    name: description[name]
                    for name in (
                        "serviceDeploymentArn",
                        "serviceArn",
                        "clusterArn",
                        "startedAt",
                        "createdAt",
                        "finishedAt",
                        "status",
                        "statusReason",
                    )
                    if name in description
                }
                found.append({**brief, "targetServiceRevisionArn": deployment.machine.target})
        return page(found, params, "serviceDeployments")

    def _describe_service_deployments(self, params: dict[str, Any]) -> Mapping[str, Any]:
        return self._describe_each(
            params["serviceDeploymentArns"],
            "serviceDeployments",
            lambda service: {one.arn: describe_deployment(service, one) for one in service.deployments},
        )

    def _describe_service_revisions(self, params: dict[str, Any]) -> Mapping[str, Any]:
        return self._describe_each(
            params["serviceRevisionArns"],
            "serviceRevisions",
            lambda service: {one.arn: describe_revision(service, one) for one in service.revisions.values()},
        )

    def _describe_each(
        self, arns: Iterable[str], key: str, describe: Callable[[Service], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        with self.scheduler.lock:
            known: dict[str, Any] = {}
            for service in self.scheduler.services.values():
                known |= describe(service)
        return {
            key: [known[arn] for arn in arns if arn in known],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known],
        }

    def _stop_service_deployment(self, params: dict[str, Any]) -> Mapping[str, Any]:
        arn = params["serviceDeploymentArn"]
        with self.scheduler.lock:
            for service in self.scheduler.services.values():
                for deployment in service.deployments:
                    if deployment.arn != arn:
                        continue
                    if deployment.machine.over or deployment.machine.rolling_back:
                        raise AwsError(
                            "ConflictException", f"Service deployment {arn} is {deployment.machine.status}: too late."
                        )
                    if params.get("stopType", "ROLLBACK") == "ABORT":
                        deployment.machine.abort("Service deployment was stopped by the user.")
                    else:
                        deployment.machine.fail("Service deployment rolled back on the user's request.", "request")
                    self.scheduler.wake()
                    return {"serviceDeploymentArn": arn}
        raise AwsError("ServiceDeploymentNotFoundException", f"Service deployment not found: {arn}")

    # --- clusters and tags

    def _describe_clusters(self, params: dict[str, Any]) -> Mapping[str, Any]:
        answer = call_moto("ecs", "DescribeClusters", params)
        tasks = self.tasks.all()
        for cluster in answer["clusters"]:
            arn = cluster["clusterArn"]
            mine = [task for task in tasks if task.request.cluster_arn == arn and not task.stopped]
            running = sum(task.status == "RUNNING" for task in mine)
            cluster["runningTasksCount"] = running
            cluster["pendingTasksCount"] = len(mine) - running
            cluster["activeServicesCount"] = sum(service.cluster_arn == arn for service in self._active_services())
        return answer

    def _delete_cluster(self, params: dict[str, Any]) -> Mapping[str, Any]:
        cluster = cluster_of(params.get("cluster"))
        arn = cluster["clusterArn"]
        if any(service.cluster_arn == arn for service in self._active_services()):
            raise AwsError(
                "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active."
            )
        if any(task.request.cluster_arn == arn and not task.stopped for task in self.tasks.all()):
            raise AwsError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
        return call_moto("ecs", "DeleteCluster", params)

    def _tags_of(self, arn: str) -> list[dict[str, str]] | None:
        """Return the tags of a service or task of ours, to be changed in place; None for what is moto's."""
        kind = arn.split(":", 5)[-1].split("/")[0]
        if kind == "service":
            service = self.scheduler.services.get(arn)
            if service is None or service.status == "INACTIVE":
                raise AwsError("ServiceNotFoundException", f"Service not found: {arn}")
            return service.tags
        if kind == "task":
            task = self.tasks.find(arn)
            if task is None:
                raise invalid(f"The task was not found: {arn}")
            return task.tags
        return None

    def _tag_resource(self, params: dict[str, Any]) -> Mapping[str, Any]:
        tags = self._tags_of(params["resourceArn"])
        if tags is None:
            return call_moto("ecs", "TagResource", params)
        keys = {tag["key"] for tag in params["tags"]}
        tags[:] = [tag for tag in tags if tag["key"] not in keys] + list(params["tags"])
        self._sync_twin_tags(params["resourceArn"])
        return {}

    def _untag_resource(self, params: dict[str, Any]) -> Mapping[str, Any]:
        tags = self._tags_of(params["resourceArn"])
        if tags is None:
            return call_moto("ecs", "UntagResource", params)
        tags[:] = [tag for tag in tags if tag["key"] not in params["tagKeys"]]
        self._sync_twin_tags(params["resourceArn"])
        return {}

    def _sync_twin_tags(self, arn: str) -> None:
        with contextlib.suppress(KeyError):
            self._update_twin(self.scheduler.services[arn])

    def _list_tags(self, params: dict[str, Any]) -> Mapping[str, Any]:
        tags = self._tags_of(params["resourceArn"])
        return call_moto("ecs", "ListTagsForResource", params) if tags is None else {"tags": list(tags)}


def _within(instant: datetime, limits: Mapping[str, Any]) -> bool:
    return not (
        (limits.get("before") and instant >= limits["before"]) or (limits.get("after") and instant <= limits["after"])
    )


def _period(alarm: Mapping[str, Any]) -> float:
    """Return an alarm's period, which with metric math is in its queries."""
    if "Period" in alarm:
        return float(alarm["Period"])
    periods = [
        query.get("MetricStat", {}).get("Period") or query.get("Period") or 0 for query in alarm.get("Metrics", ())
    ]
    return float(max(periods, default=60) or 60)


def _with_groups(revision: Revision, index: int, group: str) -> Revision:
    groups = [*revision.target_groups]
    groups[index] = group
    return Revision(
        revision.arn, revision.settings, revision.definition, tuple(groups), revision.images, revision.created_at
    )
