"""What CreateService and UpdateService may ask for: checked, and refused by name where it isn't done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from readiness.embedded.moto_adapter import AwsError

_KNOWN = frozenset(
    {
        "cluster",
        "service",
        "serviceName",
        "taskDefinition",
        "loadBalancers",
        "desiredCount",
        "clientToken",
        "launchType",
        "capacityProviderStrategy",
        "platformVersion",
        "deploymentConfiguration",
        "networkConfiguration",
        "healthCheckGracePeriodSeconds",
        "schedulingStrategy",
        "deploymentController",
        "tags",
        "enableECSManagedTags",
        "propagateTags",
        "enableExecuteCommand",
        "availabilityZoneRebalancing",
        "forceNewDeployment",
        "role",
    }
)
_REFUSED_IN_DEPLOYMENT = ("lifecycleHooks", "linearConfiguration", "earlySuccessCriteria")


def refused(what: str) -> AwsError:
    """Return the error for what is not done by the embedded AWS."""
    return AwsError("NotImplemented", f"this is not done by the embedded AWS: {what}")


def invalid(message: str) -> AwsError:
    """Return the API's error for parameters that make no sense."""
    return AwsError("InvalidParameterException", message)


def check_service(params: Mapping[str, Any]) -> None:
    """Check the parameters of CreateService or UpdateService.

    Raises:
        AwsError: One of them is refused or invalid.
    """
    for name, value in params.items():
        if name == "serviceConnectConfiguration" and not value.get("enabled"):
            continue
        if name not in _KNOWN and value not in (None, [], {}):
            raise refused(f"service with {name}")
    if params.get("schedulingStrategy", "REPLICA") != "REPLICA":
        raise refused(f"service with schedulingStrategy {params['schedulingStrategy']}")
    if (params.get("deploymentController") or {}).get("type", "ECS") != "ECS":
        raise refused(f"service with deploymentController {params['deploymentController']['type']}")
    check_launch(params)
    for balancer in params.get("loadBalancers") or ():
        _check_load_balancer(balancer)
    check_deployment(params.get("deploymentConfiguration") or {}, params.get("loadBalancers"))


def check_launch(params: Mapping[str, Any]) -> None:
    """Refuse anything that doesn't run on Fargate."""
    if params.get("launchType", "FARGATE") != "FARGATE":
        raise refused(f"launchType {params['launchType']}; only FARGATE is")
    for provider in params.get("capacityProviderStrategy") or ():
        if provider["capacityProvider"] not in ("FARGATE", "FARGATE_SPOT"):
            raise refused(f"capacity provider {provider['capacityProvider']}; only FARGATE and FARGATE_SPOT are")


def _check_load_balancer(balancer: Mapping[str, Any]) -> None:
    if balancer.get("loadBalancerName"):
        raise refused("service with a Classic Load Balancer (loadBalancerName)")
    if not balancer.get("targetGroupArn"):
        raise invalid("targetGroupArn can not be blank.")
    if (balancer.get("advancedConfiguration") or {}).get("testListenerRule"):
        raise refused("testListenerRule")


def check_deployment(configuration: Mapping[str, Any], balancers: Any) -> None:
    """Check a deploymentConfiguration; ``balancers`` are the service's, or None if they are not known here."""
    strategy = configuration.get("strategy", "ROLLING")
    if strategy not in ("ROLLING", "CANARY"):
        raise refused(f"deployment strategy {strategy}; ROLLING and CANARY are")
    for name in _REFUSED_IN_DEPLOYMENT:
        if configuration.get(name):
            raise refused(f"deploymentConfiguration with {name}")
    alarms = configuration.get("alarms") or {}
    if alarms.get("enable") and not alarms.get("alarmNames"):
        raise invalid("alarmNames must not be empty when deployment alarms are enabled.")
    canary = configuration.get("canaryConfiguration") or {}
    percent = float(canary.get("canaryPercent", 5.0))
    if not 0.1 <= percent <= 100 or not math.isclose(percent * 10, round(percent * 10), abs_tol=1e-6):
        raise invalid(f"canaryPercent must be a multiple of 0.1 from 0.1 to 100.0, not {percent}.")
    for name, value in (
        ("canaryBakeTimeInMinutes", canary.get("canaryBakeTimeInMinutes", 10)),
        ("bakeTimeInMinutes", configuration.get("bakeTimeInMinutes", 0)),
    ):
        if not 0 <= int(value) <= 1440:
            raise invalid(f"{name} must be from 0 to 1440, not {value}.")
    if strategy == "CANARY" and balancers is not None:
        _check_canary(balancers)
        if configuration.get("bakeTimeInMinutes") is None:
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-ecs-service-deploymentconfiguration.html
            raise refused("CANARY strategy without bakeTimeInMinutes, for which AWS documents 36 hours; say how long")


def _check_canary(balancers: Any) -> None:
    advanced = [balancer.get("advancedConfiguration") or {} for balancer in balancers]
    if not advanced:
        raise refused("CANARY strategy without an Application Load Balancer")
    for configuration in advanced:
        for name in ("alternateTargetGroupArn", "productionListenerRule", "roleArn"):
            if not configuration.get(name):
                raise invalid(f"advancedConfiguration.{name} is required for the CANARY deployment strategy.")


def check_against_definition(settings: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    """Check that load balancers name containers and ports which the task definition has."""
    containers = {container["name"]: container for container in definition["containerDefinitions"]}
    for balancer in settings.get("loadBalancers") or ():
        name, port = balancer.get("containerName"), balancer.get("containerPort")
        if name not in containers:
            raise invalid(f"The container {name} does not exist in the task definition.")
        ports = {int(mapping.get("containerPort", 0)) for mapping in containers[name].get("portMappings", ())}
        if port is not None and int(port) not in ports:
            raise invalid(f"The container {name} did not have a container port {port} defined.")
    if definition.get("networkMode") == "awsvpc" and not (settings.get("networkConfiguration") or {}).get(
        "awsvpcConfiguration", {}
    ).get("subnets"):
        raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
