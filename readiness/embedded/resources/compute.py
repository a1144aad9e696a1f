"""ECS, Lambda, autoscaling and schedules: what runs.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ECS.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Lambda.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApplicationAutoScaling.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Scheduler.html
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from readiness.embedded.resources.base import Resource, ResourceError, arn, key_values, random_suffix, words

_STABLE_DEADLINE_S = 1800.0
_DRAIN_DEADLINE_S = 120.0


class _EcsResource(Resource):
    SERVICE = "ecs"

    def update_tags(self, before: Resource) -> None:
        resource = self.id
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", resourceArn=resource, tags=key_values(tags)),
            remove=lambda keys: self.call("UntagResource", resourceArn=resource, tagKeys=keys),
        )


class Cluster(_EcsResource):
    """An ECS cluster."""

    TYPE = "AWS::ECS::Cluster"
    PROPERTIES = words(
        "CapacityProviders ClusterName ClusterSettings Configuration DefaultCapacityProviderStrategy "
        "ServiceConnectDefaults Tags"
    )
    IN_PLACE = words("ClusterSettings Configuration ServiceConnectDefaults Tags")
    NAME = "ClusterName"
    TAGGED = True

    def create(self) -> None:
        """Make the cluster."""
        cluster = self.call(
            "CreateCluster",
            clusterName=self.name(longest=255),
            settings=self.get("ClusterSettings"),
            tags=self.tag_list(),
            **self.some(
                "CapacityProviders", "Configuration", "DefaultCapacityProviderStrategy", "ServiceConnectDefaults"
            ),
        )["cluster"]
        self.physical_id = cluster["clusterName"]
        self.attributes = {"Arn": cluster["clusterArn"]}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change settings and tags."""
        if changed - {"Tags"}:
            self.call(
                "UpdateCluster",
                cluster=self.id,
                settings=self.get("ClusterSettings"),
                **self.some("Configuration", "ServiceConnectDefaults"),
            )
        resource = self.attributes["Arn"]
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", resourceArn=resource, tags=key_values(tags)),
            remove=lambda keys: self.call("UntagResource", resourceArn=resource, tagKeys=keys),
        )

    def delete(self) -> None:
        """Delete the cluster."""
        self.call("DeleteCluster", cluster=self.id)


class ClusterCapacityProviderAssociations(_EcsResource):
    """The capacity providers of a cluster."""

    TYPE = "AWS::ECS::ClusterCapacityProviderAssociations"
    PROPERTIES = words("CapacityProviders Cluster DefaultCapacityProviderStrategy")
    IN_PLACE = words("CapacityProviders DefaultCapacityProviderStrategy")

    def create(self) -> None:
        """Associate the providers."""
        self._put(self.need("CapacityProviders"), self.need("DefaultCapacityProviderStrategy"))
        self.physical_id = self.need("Cluster")

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Associate others."""
        self._put(self.need("CapacityProviders"), self.need("DefaultCapacityProviderStrategy"))

    def delete(self) -> None:
        """Take all providers from the cluster."""
        self._put([], [])

    def _put(self, providers: list[str], strategy: list[Mapping[str, Any]]) -> None:
        self.call(
            "PutClusterCapacityProviders",
            cluster=self.need("Cluster"),
            capacityProviders=providers,
            defaultCapacityProviderStrategy=strategy,
        )


class TaskDefinition(_EcsResource):
    """A revision of a task definition; every change makes a new one."""

    TYPE = "AWS::ECS::TaskDefinition"
    _REGISTERED_WITH: ClassVar = words(
        "ContainerDefinitions Cpu EphemeralStorage ExecutionRoleArn IpcMode Memory NetworkMode PidMode "
        "PlacementConstraints ProxyConfiguration RequiresCompatibilities RuntimePlatform TaskRoleArn Volumes"
    )
    PROPERTIES = _REGISTERED_WITH | words("Family Tags")
    IN_PLACE = words("Tags")
    TAGGED = True

    def create(self) -> None:
        """Register the revision."""
        definition = self.call(
            "RegisterTaskDefinition",
            family=self.get("Family")
            or f"{self.context.stack_name}{self.context.logical_id}-{random_suffix(12)}"[-255:],
            tags=self.tag_list(),
            **self.some(*sorted(self._REGISTERED_WITH)),
        )["taskDefinition"]
        self.physical_id = definition["taskDefinitionArn"]
        self.attributes = {"TaskDefinitionArn": self.id}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change tags."""
        self.update_tags(before)

    def delete(self) -> None:
        """Deregister the revision: ECS shows it as INACTIVE, as on AWS."""
        self.call("DeregisterTaskDefinition", taskDefinition=self.id)


class Service(_EcsResource):
    """An ECS service; made and changed when its deployment is done."""

    TYPE = "AWS::ECS::Service"
    _UPDATED_WITH: ClassVar = words(
        "AvailabilityZoneRebalancing CapacityProviderStrategy DeploymentConfiguration DesiredCount "
        "EnableECSManagedTags EnableExecuteCommand HealthCheckGracePeriodSeconds LoadBalancers NetworkConfiguration "
        "PlacementConstraints PlacementStrategies PlatformVersion PropagateTags ServiceConnectConfiguration "
        "ServiceRegistries TaskDefinition"
    )
    PROPERTIES = _UPDATED_WITH | words("Cluster DeploymentController LaunchType SchedulingStrategy ServiceName Tags")
    IN_PLACE = _UPDATED_WITH | words("Tags")
    NAME = "ServiceName"
    TAGGED = True

    def create(self) -> None:
        """Make the service and wait until its first deployment is done."""
        service = self.call(
            "CreateService",
            serviceName=self.name(longest=255),
            tags=self.tag_list(),
            **self._spelled(self.PROPERTIES - {"ServiceName", "Tags"}),
        )["service"]
        self.physical_id = service["serviceArn"]
        self.attributes = {"ServiceArn": self.id, "Name": service["serviceName"]}
        self._wait_for_deployment(str(service["deployments"][0]["id"]) if service.get("deployments") else None)

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the service; a new deployment is waited for, and its rollback fails the update."""
        self.update_tags(before)
        names = changed - {"Tags"}
        if not names:
            return
        params = self._spelled(names)
        if "DesiredCount" in names and "DesiredCount" not in self.properties:
            # A service without a count keeps the one that it runs with.
            params.pop("DesiredCount", None)
        cluster = self.get("Cluster", "default")
        service = self.call("UpdateService", cluster=cluster, service=self.id, **params)["service"]
        primary = [one for one in service.get("deployments", []) if one["status"] == "PRIMARY"]
        self._wait_for_deployment(str(primary[0]["id"]) if primary else None)

    def delete(self) -> None:
        """Delete the service with its tasks, and wait until none is left."""
        cluster = self.get("Cluster", "default")
        self.call("DeleteService", cluster=cluster, service=self.id, force=True)
        self.wait(f"the tasks of {self.id} to stop", self._is_gone, deadline_s=_DRAIN_DEADLINE_S)

    def _spelled(self, names: frozenset[str]) -> dict[str, Any]:
        """Return properties under the names that the API has for them."""
        given = self.some(*sorted(names))
        if "PlacementStrategies" in given:
            given["PlacementStrategy"] = given.pop("PlacementStrategies")
        return given

    def _found(self) -> dict[str, Any] | None:
        answer = self.call("DescribeServices", cluster=self.get("Cluster", "default"), services=[self.id])
        return answer["services"][0] if answer["services"] else None

    def _is_gone(self) -> bool:
        service = self._found()
        return service is None or service["status"] == "INACTIVE"

    def _wait_for_deployment(self, deployment_id: str | None) -> None:
        def done() -> bool:
            service = self._found()
            if service is None or service["status"] == "INACTIVE":
                raise ResourceError(f"the service {self.id} is gone while it is deployed")
            return self._deployment_is_done(service, deployment_id)

        self.wait(f"the deployment of {self.id}", done, deadline_s=_STABLE_DEADLINE_S, interval_s=0.25)

    def _deployment_is_done(self, service: Mapping[str, Any], deployment_id: str | None) -> bool:
        """Return whether the deployment is done.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html

        Raises:
            ResourceError: It failed, or another took its place, which is what a rollback does.
        """
        deployments = {str(one["id"]): one for one in service.get("deployments", [])}
        primary = [one for one in deployments.values() if one["status"] == "PRIMARY"]
        mine = deployments.get(deployment_id) if deployment_id else (primary[0] if primary else None)
        if mine is not None and mine.get("rolloutState") == "FAILED":
            raise ResourceError(_failure(mine))
        if mine is None or mine["status"] != "PRIMARY":
            now = _failure(primary[0]) if primary else "no deployment is left"
            raise ResourceError(f"the deployment {deployment_id} of {self.id} was replaced: {now}")
        return bool(mine.get("rolloutState") == "COMPLETED")


def _failure(deployment: Mapping[str, Any]) -> str:
    reason = deployment.get("rolloutStateReason") or "it gives no reason"
    return f"Error occurred during operation 'ECS Deployment Circuit Breaker or alarm was triggered': {reason}"


class Function(Resource):
    """A Lambda function of inline code or of a zip in S3."""

    TYPE = "AWS::Lambda::Function"
    SERVICE = "lambda"
    _CONFIGURED_WITH: ClassVar = words(
        "Description Environment EphemeralStorage Handler KmsKeyArn LoggingConfig MemorySize Role Runtime Timeout "
        "TracingConfig VpcConfig"
    )
    PROPERTIES = _CONFIGURED_WITH | words(
        "Architectures Code FunctionName PackageType ReservedConcurrentExecutions Tags"
    )
    IN_PLACE = _CONFIGURED_WITH | words("Code ReservedConcurrentExecutions Tags")
    NAME = "FunctionName"
    TAGGED = True

    def create(self) -> None:
        """Make the function."""
        function = self.call(
            "CreateFunction",
            FunctionName=self.name(longest=64),
            Code=self._code(),
            Tags=self.tags(),
            **self.some("Architectures", "PackageType", *sorted(self._CONFIGURED_WITH)),
        )
        self.physical_id = function["FunctionName"]
        self.attributes = {"Arn": function["FunctionArn"]}
        self._set_concurrency()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change code, configuration and tags."""
        if "Code" in changed:
            self.call("UpdateFunctionCode", FunctionName=self.id, **self._code())
        if names := changed & self._CONFIGURED_WITH:
            self.call("UpdateFunctionConfiguration", FunctionName=self.id, **self.some(*sorted(names)))
        if "ReservedConcurrentExecutions" in changed:
            self._set_concurrency()
        resource = self.attributes["Arn"]
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", Resource=resource, Tags=tags),
            remove=lambda keys: self.call("UntagResource", Resource=resource, TagKeys=keys),
        )

    def delete(self) -> None:
        """Delete the function."""
        self.call("DeleteFunction", FunctionName=self.id)

    def _set_concurrency(self) -> None:
        if "ReservedConcurrentExecutions" in self.properties:
            limit = self.properties["ReservedConcurrentExecutions"]
            self.call("PutFunctionConcurrency", FunctionName=self.id, ReservedConcurrentExecutions=limit)

    def _code(self) -> dict[str, Any]:
        """Return the code as the API takes it: inline source becomes a zip with ``index.py`` or ``index.js``."""
        code = dict(self.need("Code"))
        if "ZipFile" in code:
            suffix = "py" if str(self.get("Runtime", "")).startswith("python") else "js"
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                # Without a date of its own the archive, and with it the code's hash, would differ each time.
                archive.writestr(zipfile.ZipInfo(f"index.{suffix}", (1980, 1, 1, 0, 0, 0)), code["ZipFile"])
            code["ZipFile"] = packed.getvalue()
        return code


class Permission(Resource):
    """What lets another service invoke a function."""

    TYPE = "AWS::Lambda::Permission"
    SERVICE = "lambda"
    PROPERTIES = words(
        "Action EventSourceToken FunctionName FunctionUrlAuthType Principal PrincipalOrgID SourceAccount SourceArn"
    )

    def create(self) -> None:
        """Add the statement to the function's policy."""
        statement = f"{self.context.stack_name}-{self.context.logical_id}-{random_suffix(12)}"[-100:]
        self.call("AddPermission", StatementId=statement, **self.properties)
        self.physical_id = statement
        self.attributes = {"Id": statement}

    def delete(self) -> None:
        """Take the statement from the function's policy."""
        self.call("RemovePermission", FunctionName=self.need("FunctionName"), StatementId=self.id)


class ScalableTarget(Resource):
    """What may be scaled, and within which bounds."""

    TYPE = "AWS::ApplicationAutoScaling::ScalableTarget"
    SERVICE = "application-autoscaling"
    PROPERTIES = words(
        "MaxCapacity MinCapacity ResourceId RoleARN ScalableDimension ServiceNamespace SuspendedState Tags"
    )
    IN_PLACE = words("MaxCapacity MinCapacity RoleARN SuspendedState Tags")
    TAGGED = True

    def create(self) -> None:
        """Register the target."""
        self._register(self.tags())
        self.physical_id = "|".join(self.need(key) for key in ("ResourceId", "ScalableDimension", "ServiceNamespace"))
        self.attributes = {"Id": self.id}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change bounds and tags."""
        self._register(self.tags())

    def delete(self) -> None:
        """Deregister the target with its policies."""
        self.call("DeregisterScalableTarget", **self.some("ResourceId", "ScalableDimension", "ServiceNamespace"))

    def _register(self, tags: Mapping[str, str]) -> None:
        given = {key: value for key, value in self.properties.items() if key != "Tags"}
        self.call("RegisterScalableTarget", Tags=tags, **given)


class ScalingPolicy(Resource):
    """How a target is scaled."""

    TYPE = "AWS::ApplicationAutoScaling::ScalingPolicy"
    SERVICE = "application-autoscaling"
    PROPERTIES = words(
        "PolicyName PolicyType ResourceId ScalableDimension ScalingTargetId ServiceNamespace "
        "StepScalingPolicyConfiguration TargetTrackingScalingPolicyConfiguration"
    )
    IN_PLACE = words("PolicyType StepScalingPolicyConfiguration TargetTrackingScalingPolicyConfiguration")

    def create(self) -> None:
        """Put the policy."""
        self._put()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the policy."""
        self._put()

    def delete(self) -> None:
        """Delete the policy. Deregistering its target has deleted it already, if that came first."""
        self.call("DeleteScalingPolicy", PolicyName=self.need("PolicyName"), **self._target())

    def _put(self) -> None:
        configurations = self.some("StepScalingPolicyConfiguration", "TargetTrackingScalingPolicyConfiguration")
        named = self.some("PolicyName", "PolicyType")
        self.physical_id = self.call("PutScalingPolicy", **named, **configurations, **self._target())["PolicyARN"]
        self.attributes = {"Arn": self.id}

    def _target(self) -> dict[str, str]:
        names = ("ResourceId", "ScalableDimension", "ServiceNamespace")
        if "ScalingTargetId" in self.properties:
            return dict(zip(names, str(self.properties["ScalingTargetId"]).split("|"), strict=True))
        return {name: self.need(name) for name in names}


class Schedule(Resource):
    """A schedule."""

    TYPE = "AWS::Scheduler::Schedule"
    SERVICE = "scheduler"
    PROPERTIES = words(
        "Description EndDate FlexibleTimeWindow GroupName KmsKeyArn Name ScheduleExpression "
        "ScheduleExpressionTimezone StartDate State Target"
    )
    IN_PLACE = PROPERTIES - {"GroupName", "Name"}
    NAME = "Name"

    def create(self) -> None:
        """Make the schedule."""
        name = self.name(longest=64)
        answer = self.call("CreateSchedule", **{**self.properties, "Name": name})
        self.physical_id = name
        self.attributes = {"Arn": answer["ScheduleArn"]}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the schedule."""
        self.call("UpdateSchedule", **{**self.properties, "Name": self.id})

    def delete(self) -> None:
        """Delete the schedule, which may have deleted itself after it ran."""
        self.call("DeleteSchedule", Name=self.id, **self.some("GroupName"))


class ScheduleGroup(Resource):
    """A group of schedules."""

    TYPE = "AWS::Scheduler::ScheduleGroup"
    SERVICE = "scheduler"
    PROPERTIES = words("Name Tags")
    IN_PLACE = words("Tags")
    NAME = "Name"
    TAGGED = True

    def create(self) -> None:
        """Make the group."""
        name = self.name(longest=64)
        answer = self.call("CreateScheduleGroup", Name=name, Tags=self.tag_list())
        self.physical_id = name
        self.attributes = {"Arn": answer["ScheduleGroupArn"]}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change tags."""
        resource = arn("scheduler", self.context.region, f"schedule-group/{self.id}")
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", ResourceArn=resource, Tags=key_values(tags)),
            remove=lambda keys: self.call("UntagResource", ResourceArn=resource, TagKeys=keys),
        )

    def delete(self) -> None:
        """Delete the group with its schedules, and wait until it is gone."""
        self.call("DeleteScheduleGroup", Name=self.id)
        self.wait(f"{self.id} to be deleted", self._is_gone, deadline_s=60)

    def _is_gone(self) -> bool:
        try:
            self.call("GetScheduleGroup", Name=self.id)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return True
            raise
        return False


ENTRIES: tuple[type[Resource], ...] = (
    Cluster,
    ClusterCapacityProviderAssociations,
    Function,
    Permission,
    ScalableTarget,
    ScalingPolicy,
    Schedule,
    ScheduleGroup,
    Service,
    TaskDefinition,
)
"""The types of this file."""
