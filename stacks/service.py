"""The service as production runs it: cluster, task definition, load balancer, canary deployment, autoscaling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from readiness import contract
from readiness.model import Plan
from readiness.model import Service as ServicePlan
from stacks.network import Network

FAULT_PRIORITY = 10
PRODUCTION_PRIORITY = 100
_CPU_TARGET_PERCENT = 60
_REQUESTS_PER_TARGET_PER_MINUTE = 6000
_SECRET_LENGTH = 48


class Balancer(Construct):
    """An internal load balancer with the two target groups that a canary deployment shifts between.

    Attributes:
        load_balancer: The load balancer.
        listener: Its listener; what no rule matches is answered 404.
        primary: Target group that the first deployment fills.
        alternate: Target group that the next deployment fills. They change places with each deployment.
        production_rule: The rule whose weights ECS shifts.
        url: Address of the listener.
    """

    def __init__(self, scope: Construct, construct_id: str, *, plan: ServicePlan, network: Network) -> None:
        super().__init__(scope, construct_id)
        self.load_balancer = elb.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            vpc=network.vpc,
            vpc_subnets=network.private,
            internet_facing=False,
            security_group=network.balancer,
            drop_invalid_header_fields=True,
            deletion_protection=False,
        )
        secure = plan.certificate_arn is not None
        self.listener = self.load_balancer.add_listener(
            "Listener",
            port=plan.listener_port,
            protocol=elb.ApplicationProtocol.HTTPS if secure else elb.ApplicationProtocol.HTTP,
            certificates=[elb.ListenerCertificate.from_arn(plan.certificate_arn)] if plan.certificate_arn else None,
            open=False,
            default_action=elb.ListenerAction.fixed_response(
                404, content_type="text/plain", message_body="No rule of this listener matches."
            ),
        )
        self.primary = self._target_group("Primary", plan, network)
        self.alternate = self._target_group("Alternate", plan, network)
        self.production_rule = elb.ApplicationListenerRule(
            self,
            "ProductionRule",
            listener=self.listener,
            priority=PRODUCTION_PRIORITY,
            conditions=[elb.ListenerCondition.path_patterns(["/*"])],
            action=elb.ListenerAction.weighted_forward(
                [
                    elb.WeightedTargetGroup(target_group=self.primary, weight=100),
                    elb.WeightedTargetGroup(target_group=self.alternate, weight=0),
                ]
            ),
        )
        scheme = "https" if secure else "http"
        self.url = f"{scheme}://{self.load_balancer.load_balancer_dns_name}:{plan.listener_port}"

    def _target_group(self, construct_id: str, plan: ServicePlan, network: Network) -> elb.ApplicationTargetGroup:
        interval_s = max(5, math.ceil(plan.health_check_interval.total_seconds()))
        return elb.ApplicationTargetGroup(
            self,
            construct_id,
            vpc=network.vpc,
            port=plan.port,
            protocol=elb.ApplicationProtocol.HTTP,
            target_type=elb.TargetType.IP,
            deregistration_delay=Duration.seconds(30),
            health_check=elb.HealthCheck(
                path=plan.health_path,
                healthy_http_codes="200",
                interval=Duration.seconds(interval_s),
                timeout=Duration.seconds(min(5, interval_s - 1)),
                healthy_threshold_count=2,
                unhealthy_threshold_count=2,
            ),
        )


class Service(Construct):
    """The service on ECS Fargate, on a cluster of its own, released by ECS-native canary deployments.

    Attributes:
        cluster: Also the fleet's.
        service: The ECS service.
        secrets: Variable of the plan -> the secret behind it.
        log_group: Where its tasks write.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        plan: Plan,
        network: Network,
        balancer: Balancer,
        wired_environment: Mapping[str, str],
        stores: Mapping[str, ecs.Secret],
        deployment_alarms: Sequence[cloudwatch.IAlarm],
        wait_for: Sequence[IDependable],
    ) -> None:
        """Build it.

        Args:
            scope: The stack.
            construct_id: Its name in the stack.
            plan: The plan.
            network: Where it stands.
            balancer: What stands in front of it.
            wired_environment: Addresses of its stores; a variable that the plan gives outranks them.
            stores: ``database-password`` and ``cache-token`` -> the secret that they mean.
            deployment_alarms: Each of them takes a deployment back when it fires.
            wait_for: What has to stand before the first task starts.
        """
        super().__init__(scope, construct_id)
        # Container Insights stays off: it writes to a log group that ECS makes by itself and that outlives the stack.
        self.cluster = ecs.Cluster(
            self, "Cluster", vpc=network.vpc, container_insights_v2=ecs.ContainerInsights.DISABLED
        )
        self.log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.ONE_WEEK, removal_policy=RemovalPolicy.DESTROY
        )
        self.secrets = {
            variable: self._secret(variable, source, stores) for variable, source in plan.service.secrets.items()
        }
        task_definition = self._task_definition(plan.service, {**wired_environment, **plan.service.environment})
        self.service = self._service(plan.service, network, task_definition, deployment_alarms)
        target = self.service.load_balancer_target(
            container_name=contract.SERVICE_CONTAINER,
            container_port=plan.service.port,
            alternate_target=ecs.AlternateTarget(
                "DeploymentRole",
                alternate_target_group=balancer.alternate,
                production_listener=ecs.ListenerRuleConfiguration.application_listener_rule(balancer.production_rule),
            ),
        )
        target.attach_to_application_target_group(balancer.primary)
        # Without its permissions, its stores or a way to its image, a task fails, and the circuit breaker counts it.
        role = task_definition.obtain_execution_role()
        ways_out = [subnet.internet_connectivity_established for subnet in network.private_subnets]
        self.service.node.add_dependency(balancer.production_rule, role, *ways_out, *wait_for)
        self._scale(plan.service, balancer)

    def _secret(self, variable: str, source: str, stores: Mapping[str, ecs.Secret]) -> ecs.Secret:
        """Return the secret that *source* means: a new one, a store's, or the one with that ARN."""
        if source in stores:
            return stores[source]
        construct_id = f"Secret{variable.title().replace('_', '')}"
        if source == "generate":
            made = secretsmanager.Secret(
                self,
                construct_id,
                description=f"{variable} of the clone",
                generate_secret_string=secretsmanager.SecretStringGenerator(
                    password_length=_SECRET_LENGTH, exclude_punctuation=True
                ),
                removal_policy=RemovalPolicy.DESTROY,
            )
            return ecs.Secret.from_secrets_manager(made)
        if not source.startswith("arn:"):
            raise ValueError(
                f"service.secrets.{variable}: {source!r} is neither 'generate', 'database-password', 'cache-token' "
                "nor the ARN of a secret."
            )
        existing = secretsmanager.Secret.from_secret_complete_arn(self, construct_id, source)
        return ecs.Secret.from_secrets_manager(existing)

    def _task_definition(self, plan: ServicePlan, environment: Mapping[str, str]) -> ecs.FargateTaskDefinition:
        definition = ecs.FargateTaskDefinition(
            self,
            "TaskDefinition",
            # CDK's own name for the family would be the same in every clone.
            family=f"{Aws.STACK_NAME}-service",
            cpu=plan.cpu,
            memory_limit_mib=plan.memory_mib,
        )
        # The root filesystem stays as the image has it: whether a service writes to it, only its owner knows.
        definition.add_container(
            contract.SERVICE_CONTAINER,
            image=ecs.ContainerImage.from_registry(plan.image),
            command=list(plan.command) or None,
            environment=dict(environment),
            secrets=self.secrets,
            port_mappings=[ecs.PortMapping(container_port=plan.port)],
            logging=ecs.LogDrivers.aws_logs(stream_prefix=contract.SERVICE_CONTAINER, log_group=self.log_group),
        )
        return definition

    def _service(
        self,
        plan: ServicePlan,
        network: Network,
        task_definition: ecs.FargateTaskDefinition,
        deployment_alarms: Sequence[cloudwatch.IAlarm],
    ) -> ecs.FargateService:
        return ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=task_definition,
            desired_count=plan.desired_count,
            min_healthy_percent=100,
            max_healthy_percent=200,
            assign_public_ip=False,
            vpc_subnets=network.private,
            security_groups=[network.service],
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
            enable_ecs_managed_tags=True,
            health_check_grace_period=Duration.seconds(60),
            deployment_strategy=ecs.DeploymentStrategy.CANARY,
            canary_configuration=ecs.TrafficShiftConfig(
                step_percent=plan.canary.percent, step_bake_time=_minutes(plan.canary.canary_bake)
            ),
            bake_time=_minutes(plan.canary.bake),
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            deployment_alarms=ecs.DeploymentAlarmConfig(
                alarm_names=[alarm.alarm_name for alarm in deployment_alarms],
                behavior=ecs.AlarmBehavior.ROLLBACK_ON_ALARM,
            )
            if deployment_alarms
            else None,
        )

    def _scale(self, plan: ServicePlan, balancer: Balancer) -> None:
        """Scale on CPU and on requests per target, between the desired and the greatest count.

        ``ALBRequestCountPerTarget``, the predefined metric, watches one target group. A canary deployment moves the
        service to the other one, and that policy would see nothing from then on. So the requests of both target groups
        are divided by the healthy hosts of both.
        """
        target = self.service.auto_scale_task_count(
            min_capacity=min(plan.desired_count, plan.max_count), max_capacity=max(plan.desired_count, plan.max_count)
        )
        target.scale_on_cpu_utilization("Cpu", target_utilization_percent=_CPU_TARGET_PERCENT)
        queries = [
            _query("requestsPrimary", "RequestCount", "Sum", balancer, balancer.primary),
            _query("requestsAlternate", "RequestCount", "Sum", balancer, balancer.alternate),
            _query("hostsPrimary", "HealthyHostCount", "Average", balancer, balancer.primary),
            _query("hostsAlternate", "HealthyHostCount", "Average", balancer, balancer.alternate),
            scaling.CfnScalingPolicy.TargetTrackingMetricDataQueryProperty(
                id="requestsPerTarget",
                expression=(
                    "(FILL(requestsPrimary, 0) + FILL(requestsAlternate, 0))"
                    " / (FILL(hostsPrimary, 0) + FILL(hostsAlternate, 0))"
                ),
                label="Requests per healthy target and minute",
                return_data=True,
            ),
        ]
        scaling.CfnScalingPolicy(
            self,
            "RequestsPerTarget",
            policy_name="RequestsPerTarget",
            policy_type="TargetTrackingScaling",
            scaling_target_id=cast(scaling.ScalableTarget, target.node.find_child("Target")).scalable_target_id,
            target_tracking_scaling_policy_configuration=scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=_REQUESTS_PER_TARGET_PER_MINUTE,
                customized_metric_specification=scaling.CfnScalingPolicy.CustomizedMetricSpecificationProperty(
                    metrics=queries
                ),
            ),
        )


def _query(
    query_id: str, metric: str, statistic: str, balancer: Balancer, group: elb.ApplicationTargetGroup
) -> scaling.CfnScalingPolicy.TargetTrackingMetricDataQueryProperty:
    """Return a query for a metric of one target group, for the scaling policy's expression."""
    dimension = scaling.CfnScalingPolicy.TargetTrackingMetricDimensionProperty
    return scaling.CfnScalingPolicy.TargetTrackingMetricDataQueryProperty(
        id=query_id,
        return_data=False,
        metric_stat=scaling.CfnScalingPolicy.TargetTrackingMetricStatProperty(
            stat=statistic,
            metric=scaling.CfnScalingPolicy.TargetTrackingMetricProperty(
                namespace="AWS/ApplicationELB",
                metric_name=metric,
                dimensions=[
                    dimension(name="LoadBalancer", value=balancer.load_balancer.load_balancer_full_name),
                    dimension(name="TargetGroup", value=group.target_group_full_name),
                ],
            ),
        ),
    )


def _minutes(length: timedelta) -> Duration:
    """Return *length* in whole minutes, as ECS takes bake times; never shorter than was asked."""
    return Duration.minutes(math.ceil(length.total_seconds() / 60))
