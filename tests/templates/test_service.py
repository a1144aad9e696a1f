"""The service as production runs it, by plan alone."""

from __future__ import annotations

from typing import Any

import pytest

from readiness import contract
from readiness.model import Plan
from tests.templates.conftest import Synthesized


def _container(stack: Synthesized, path: str = "Service/TaskDefinition") -> dict[str, Any]:
    (definition,) = (
        definition
        for name, definition in stack.of_type("AWS::ECS::TaskDefinition").items()
        if stack.path_of(name) == path
    )
    (container,) = definition["ContainerDefinitions"]
    return {**container, "Cpu": definition["Cpu"], "Memory": definition["Memory"]}


def _environment(container: dict[str, Any]) -> dict[str, Any]:
    return {variable["Name"]: variable["Value"] for variable in container["Environment"]}


def test_the_task_is_what_the_plan_says(other_service: Synthesized) -> None:
    container = _container(other_service)
    assert container["Image"] == "registry.example/greeter:2.3.4"
    assert container["Name"] == contract.SERVICE_CONTAINER
    assert container["PortMappings"] == [{"ContainerPort": 3000, "Protocol": "tcp"}]
    assert container["Command"] == ["serve", "--quiet"]
    assert (container["Cpu"], container["Memory"]) == ("256", "512")
    assert _environment(container) == {"LOG_LEVEL": "info"}
    assert "Secrets" not in container


def test_another_service_has_neither_database_nor_cache_nor_secret(other_service: Synthesized) -> None:
    kinds = {resource["Type"].split("::")[1] for resource in other_service.document["Resources"].values()}
    assert not kinds & {"RDS", "ElastiCache", "SecretsManager", "S3", "Synthetics"}


def test_the_service_is_told_of_its_stores_but_not_of_their_passwords(default: Synthesized) -> None:
    container = _container(default)
    environment = _environment(container)
    assert environment["DATABASE_PORT"] == "5432"
    assert environment["DATABASE_NAME"] == environment["DATABASE_USER"] == "service"
    assert environment["DATABASE_HOST"]["Fn::GetAtt"][1] == "Endpoint.Address"
    assert environment["REDIS_HOST"]["Fn::GetAtt"][1] == "PrimaryEndPoint.Address"
    assert (environment["REDIS_PORT"], environment["REDIS_TLS"]) == ("6379", "true")
    assert set(default.plan.service.environment) <= set(environment)
    secrets = {secret["Name"]: secret["ValueFrom"] for secret in container["Secrets"]}
    assert set(secrets) == set(default.plan.service.secrets)
    assert secrets["DATABASE_PASSWORD"]["Fn::Join"][1][1] == ":password::"
    assert not set(secrets) & set(environment)


def test_secrets_are_generated_and_never_written_down(default: Synthesized) -> None:
    made = default.of_type("AWS::SecretsManager::Secret")
    assert len(made) == 2
    assert all("SecretString" not in secret and "GenerateSecretString" in secret for secret in made.values())
    (cluster,) = default.of_type("AWS::RDS::DBCluster").values()
    assert cluster["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in cluster


def test_the_stores_are_encrypted_and_refuse_plaintext(default: Synthesized) -> None:
    (cluster,) = default.of_type("AWS::RDS::DBCluster").values()
    assert cluster["StorageEncrypted"] is True
    (parameters,) = default.of_type("AWS::RDS::DBClusterParameterGroup").values()
    assert parameters["Parameters"]["rds.force_ssl"] == "1"
    (cache,) = default.of_type("AWS::ElastiCache::ReplicationGroup").values()
    assert cache["AtRestEncryptionEnabled"] is True
    assert cache["TransitEncryptionEnabled"] is True
    assert cache["AuthToken"]["Fn::Join"][1][0] == "{{resolve:secretsmanager:"


def test_capacity_comes_from_the_plan(default: Synthesized) -> None:
    (cluster,) = default.of_type("AWS::RDS::DBCluster").values()
    assert cluster["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 4}
    (cache,) = default.of_type("AWS::ElastiCache::ReplicationGroup").values()
    assert (cache["NumCacheClusters"], cache["MultiAZEnabled"], cache["AutomaticFailoverEnabled"]) == (2, True, True)


def test_a_cache_without_replicas_stands_in_one_zone(imported_network: Synthesized) -> None:
    (cache,) = imported_network.of_type("AWS::ElastiCache::ReplicationGroup").values()
    assert (cache["NumCacheClusters"], cache["MultiAZEnabled"], cache["AutomaticFailoverEnabled"]) == (1, False, False)


def test_releases_are_canaries_with_the_plans_share_and_bake_times(other_service: Synthesized) -> None:
    (service,) = other_service.of_type("AWS::ECS::Service").values()
    configuration = service["DeploymentConfiguration"]
    assert configuration["Strategy"] == "CANARY"
    assert configuration["CanaryConfiguration"] == {"CanaryPercent": 10, "CanaryBakeTimeInMinutes": 2}, "90 s round up"
    assert configuration["BakeTimeInMinutes"] == 5
    assert configuration["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert configuration["MinimumHealthyPercent"] == 100
    assert service["DesiredCount"] == 3
    (balanced,) = service["LoadBalancers"]
    advanced = balanced["AdvancedConfiguration"]
    assert other_service.path_of(balanced["TargetGroupArn"]["Ref"]) == "Balancer/Primary"
    assert other_service.path_of(advanced["AlternateTargetGroupArn"]["Ref"]) == "Balancer/Alternate"
    assert other_service.path_of(advanced["ProductionListenerRule"]["Ref"]) == "Balancer/ProductionRule"


def test_no_task_starts_before_its_permissions_its_stores_and_its_way_out(default: Synthesized) -> None:
    (resource,) = (each for each in default.document["Resources"].values() if each["Type"] == "AWS::ECS::Service")
    before = {default.path_of(name) for name in resource["DependsOn"]}
    assert before >= {
        "Balancer/ProductionRule",
        "Service/TaskDefinition/ExecutionRole/DefaultPolicy",
        "Database/Writer",
        "Cache/Group",
        "Network/Vpc/PrivateSubnet1/DefaultRoute",
    }


def test_the_service_scales_between_the_plans_bounds_on_cpu_and_on_both_target_groups(default: Synthesized) -> None:
    (target,) = default.of_type("AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 6)
    policies = [
        policy["TargetTrackingScalingPolicyConfiguration"]
        for policy in default.of_type("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    ]
    (cpu,) = (policy for policy in policies if "PredefinedMetricSpecification" in policy)
    assert cpu["PredefinedMetricSpecification"] == {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    (requests,) = (policy for policy in policies if "CustomizedMetricSpecification" in policy)
    groups = {
        default.path_of(dimension["Value"]["Fn::GetAtt"][0])
        for query in requests["CustomizedMetricSpecification"]["Metrics"]
        if "MetricStat" in query
        for dimension in query["MetricStat"]["Metric"]["Dimensions"]
        if dimension["Name"] == "TargetGroup"
    }
    assert groups == {"Balancer/Primary", "Balancer/Alternate"}


def test_a_certificate_makes_the_listener_https(other_service: Synthesized) -> None:
    (listener,) = other_service.of_type("AWS::ElasticLoadBalancingV2::Listener").values()
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 8443)
    assert listener["Certificates"] == [{"CertificateArn": other_service.plan.service.certificate_arn}]
    assert "TLS13" in listener["SslPolicy"]
    assert other_service.document["Outputs"]["ServiceUrl"]["Value"]["Fn::Join"][1][0] == "https://"


def test_what_no_rule_matches_is_answered_404(default: Synthesized) -> None:
    (listener,) = default.of_type("AWS::ElasticLoadBalancingV2::Listener").values()
    (action,) = listener["DefaultActions"]
    assert action["FixedResponseConfig"]["StatusCode"] == "404"


def test_production_begins_on_the_primary_target_group(default: Synthesized) -> None:
    (rule,) = (
        rule
        for name, rule in default.of_type("AWS::ElasticLoadBalancingV2::ListenerRule").items()
        if default.path_of(name) == "Balancer/ProductionRule"
    )
    (action,) = rule["Actions"]
    weights = {
        default.path_of(group["TargetGroupArn"]["Ref"]): group["Weight"]
        for group in action["ForwardConfig"]["TargetGroups"]
    }
    assert weights == {"Balancer/Primary": 100, "Balancer/Alternate": 0}


def test_health_is_asked_on_the_plans_path(other_service: Synthesized) -> None:
    groups = [
        group for group in other_service.of_type("AWS::ElasticLoadBalancingV2::TargetGroup").values() if "Port" in group
    ]
    assert len(groups) == 2
    for group in groups:
        assert (group["HealthCheckPath"], group["Port"]) == ("/ready", 3000)
        assert group["HealthCheckTimeoutSeconds"] < group["HealthCheckIntervalSeconds"]


def test_a_probe_comes_only_when_the_plan_asks(default: Synthesized, imported_network: Synthesized) -> None:
    assert not default.of_type("AWS::Synthetics::Canary")
    (probe,) = imported_network.of_type("AWS::Synthetics::Canary").values()
    assert probe["Schedule"]["Expression"] == "rate(1 minute)"
    assert probe["RunConfig"]["EnvironmentVariables"]["PROBE_URL"]["Fn::Join"][1][-1].endswith("/health")
    assert f"headers: {{ '{contract.PROBE_HEADER}': '1' }}" in probe["Code"]["Script"]


@pytest.mark.parametrize("member", ["Master", "Worker"])
def test_the_fleet_is_told_the_secrets_that_it_shares_and_can_change_nothing(default: Synthesized, member: str) -> None:
    container = _container(default, f"Fleet/{member}")
    service = {secret["Name"]: secret["ValueFrom"] for secret in _container(default)["Secrets"]}
    assert container["Name"] == contract.FLEET_CONTAINER
    assert container["Secrets"] == [{"Name": "MANAGEMENT_TOKEN", "ValueFrom": service["MANAGEMENT_TOKEN"]}]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"].split(":")[0] not in ("0", "root")
    assert container["LogConfiguration"]["Options"]["awslogs-stream-prefix"] == contract.FLEET_LOG_STREAM_PREFIX


def test_nothing_of_the_fleet_idles(any_plan: Synthesized) -> None:
    assert len(any_plan.of_type("AWS::ECS::Service")) == 1


def test_the_fleets_image_is_the_plans_or_else_built_here(default: Synthesized, other_service: Synthesized) -> None:
    plan: Plan = default.plan
    assert plan.fleet.image is None
    assert "cdk-hnb659fds-container-assets" in str(_container(default, "Fleet/Master")["Image"])
    assert _container(other_service, "Fleet/Master")["Image"] == "registry.example/readiness-fleet:1.0.0"
