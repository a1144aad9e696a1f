"""What watches the clone: one alarm per objective, the topic and the inbox, a dashboard."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from readiness.model import (
    AlarmedObjective,
    AlarmSettings,
    ErrorObjective,
    LatencyObjective,
    Notify,
    Plan,
    UnhealthyHostsObjective,
)
from stacks.service import Balancer

_NAMESPACE = "AWS/ApplicationELB"
_MINUTE_S = 60
_MISSING_DATA = {
    "missing": cloudwatch.TreatMissingData.MISSING,
    "breaching": cloudwatch.TreatMissingData.BREACHING,
}


class Notifications(Construct):
    """Where alarms go: a topic, the harness's inbox, and the plan's subscribers.

    Both are encrypted with a key of our own. CloudWatch can't publish to a topic that is encrypted with the AWS managed
    key ``aws/sns``, whose policy nobody can change:
    https://repost.aws/knowledge-center/cloudwatch-configure-alarm-sns

    Attributes:
        topic: The topic.
        inbox: Queue that the harness reads; messages come in SNS's envelope, whose timestamp and id are evidence.
    """

    def __init__(self, scope: Construct, construct_id: str, *, notify: Notify) -> None:
        super().__init__(scope, construct_id)
        key = kms.Key(
            self,
            "Key",
            description="Alarm messages of the clone",
            enable_key_rotation=True,
            # Seven days is the least that KMS takes.
            pending_window=Duration.days(7),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.topic = sns.Topic(self, "Topic", master_key=key, enforce_ssl=True)
        self.inbox = sqs.Queue(
            self,
            "Inbox",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key,
            enforce_ssl=True,
            retention_period=Duration.days(1),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self._allow_alarms(key)
        self._allow_delivery(key)
        self._subscribe(notify)

    def _allow_alarms(self, key: kms.Key) -> None:
        """Let alarms of this account publish, and nobody else."""
        cloudwatch_service = iam.ServicePrincipal("cloudwatch.amazonaws.com")
        own_alarms = {
            "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
            "ArnLike": {
                "aws:SourceArn": f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm:*",
            },
        }
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsPublish",
                principals=[cloudwatch_service],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions=own_alarms,
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsEncrypt",
                principals=[cloudwatch_service],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],  # in a key's policy: this key
                conditions=own_alarms,
            )
        )

    def _allow_delivery(self, key: kms.Key) -> None:
        """Let the topic, and nothing else, write to the inbox."""
        sns_service = iam.ServicePrincipal("sns.amazonaws.com")
        self.inbox.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TopicDelivers",
                principals=[sns_service],
                actions=["sqs:SendMessage"],
                resources=[self.inbox.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": self.topic.topic_arn}},
            )
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="TopicDelivers",
                principals=[sns_service],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                # The topic needs the key, so the key can't name it; but topics of this stack begin with its name.
                conditions={
                    "ArnLike": {
                        "aws:SourceArn": (f"arn:{Aws.PARTITION}:sns:{Aws.REGION}:{Aws.ACCOUNT_ID}:{Aws.STACK_NAME}-*")
                    }
                },
            )
        )

    def _subscribe(self, notify: Notify) -> None:
        sns.Subscription(
            self,
            "InboxSubscription",
            topic=self.topic,
            protocol=sns.SubscriptionProtocol.SQS,
            endpoint=self.inbox.queue_arn,
        )
        for index, address in enumerate(notify.emails):
            sns.Subscription(
                self, f"Email{index}", topic=self.topic, protocol=sns.SubscriptionProtocol.EMAIL, endpoint=address
            )
        for index, address in enumerate(notify.https):
            sns.Subscription(
                self, f"Https{index}", topic=self.topic, protocol=sns.SubscriptionProtocol.HTTPS, endpoint=address
            )


@dataclass(frozen=True, kw_only=True)
class _Watch:
    """What an alarm computes, and what it holds that against."""

    metric: cloudwatch.IMetric
    threshold: float
    promise: str
    low_samples: str | None = None


class Alarms(Construct):
    """One alarm per objective that asks for one, each with the objective's own threshold.

    Attributes:
        by_objective: Objective id -> alarm.
        for_deployments: Those that take a deployment back: errors and latency. Hosts turn unhealthy for a moment in any
            deployment, and the circuit breaker already counts tasks that never become healthy; and an alarm that rings
            on silence would take the first deployment back, to which nobody has sent a request yet.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, plan: Plan, balancer: Balancer, topic: sns.ITopic
    ) -> None:
        super().__init__(scope, construct_id)
        self.by_objective: dict[str, cloudwatch.Alarm] = {}
        self.for_deployments: list[cloudwatch.Alarm] = []
        for objective in plan.objectives:
            if not isinstance(objective, AlarmedObjective) or objective.alarm is None:
                continue
            alarm = self._alarm(objective, objective.alarm, balancer, topic)
            self.by_objective[objective.id] = alarm
            if not isinstance(objective, UnhealthyHostsObjective) and objective.alarm.missing_data == "missing":
                self.for_deployments.append(alarm)

    def _alarm(
        self, objective: AlarmedObjective, settings: AlarmSettings, balancer: Balancer, topic: sns.ITopic
    ) -> cloudwatch.Alarm:
        """Return the alarm of *objective*, which tells the topic of every change of state.

        Missing data is left missing unless the plan says otherwise: silence then shows as INSUFFICIENT_DATA, which the
        harness counts as a gap. Were it NOT_BREACHING, silence would look like health.
        """
        watch = _watch(objective, _period(objective.id, settings), balancer)
        alarm = cloudwatch.Alarm(
            self,
            objective.id,
            alarm_description=f"Objective {objective.id}: {watch.promise}. Runbook: {settings.runbook}",
            metric=watch.metric,
            threshold=watch.threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=settings.evaluation_periods,
            datapoints_to_alarm=settings.datapoints_to_alarm,
            treat_missing_data=_MISSING_DATA[settings.missing_data],
            evaluate_low_sample_count_percentile=watch.low_samples,
        )
        tell_everything(alarm, topic)
        return alarm


def tell_everything(alarm: cloudwatch.Alarm, topic: sns.ITopic) -> None:
    """Have *alarm* tell the topic of every change of its state."""
    tell = actions.SnsAction(topic)
    alarm.add_alarm_action(tell)
    alarm.add_ok_action(tell)
    alarm.add_insufficient_data_action(tell)


def _period(objective: str, settings: AlarmSettings) -> Duration:
    """Return the alarm's period; the load balancer publishes its metrics by the minute."""
    seconds = settings.period.total_seconds()
    if not seconds or seconds % _MINUTE_S:
        raise ValueError(
            f"objective {objective}: alarm.period is {seconds:g} s; load balancers publish metrics once a minute, so "
            "give whole minutes."
        )
    return Duration.seconds(seconds)


def _watch(objective: AlarmedObjective, period: Duration, balancer: Balancer) -> _Watch:
    """Return what to watch for *objective*."""
    if isinstance(objective, UnhealthyHostsObjective):
        return _unhealthy_hosts(objective, period, balancer)
    if objective.scenario is not None:
        raise ValueError(
            f"objective {objective.id}: has an alarm and a scenario ({objective.scenario}); the load balancer's "
            "metrics can't tell scenarios apart. Take the alarm to an objective over all requests."
        )
    if isinstance(objective, LatencyObjective):
        return _latency(objective, period, balancer)
    return _errors(objective, period, balancer)


def _latency(objective: LatencyObjective, period: Duration, balancer: Balancer) -> _Watch:
    threshold_s = objective.threshold.total_seconds()
    return _Watch(
        metric=_metric("TargetResponseTime", f"p{objective.percentile:g}", period, balancer),
        threshold=threshold_s,
        promise=f"p{objective.percentile:g} of the response time <= {threshold_s * 1000:g} ms",
        # "ignore" would keep the last state while requests are few, so a slow service with little traffic stays green.
        low_samples="evaluate",
    )


def _errors(objective: ErrorObjective, period: Duration, balancer: Balancer) -> _Watch:
    """Watch the ratio of 5xx answers, the service's and the load balancer's own.

    A count of errors that nobody made is filled with 0, and a period without requests is 0 / 0, which is no datapoint.
    RequestCount leaves out the requests that found no target to go to, so the errors are what they are divided by when
    they are more: an outage of everything is a ratio of 1, not a division by nothing.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
    """
    errors = cloudwatch.MathExpression(
        expression="FILL(target5xx, 0) + FILL(balancer5xx, 0)",
        using_metrics={
            "target5xx": _metric("HTTPCode_Target_5XX_Count", "Sum", period, balancer),
            "balancer5xx": _metric("HTTPCode_ELB_5XX_Count", "Sum", period, balancer),
        },
        period=period,
    )
    ratio = cloudwatch.MathExpression(
        expression="errors / MAX([requests, errors])",
        using_metrics={"errors": errors, "requests": _metric("RequestCount", "Sum", period, balancer)},
        label="Error ratio",
        period=period,
    )
    return _Watch(
        metric=ratio, threshold=objective.max_ratio, promise=f"ratio of 5xx answers <= {objective.max_ratio:g}"
    )


def _unhealthy_hosts(objective: UnhealthyHostsObjective, period: Duration, balancer: Balancer) -> _Watch:
    """Watch the unhealthy hosts of both target groups; the one without targets publishes nothing."""
    both = cloudwatch.MathExpression(
        expression="SUM([primary, alternate])",
        using_metrics={
            name: cloudwatch.Metric(
                namespace=_NAMESPACE,
                metric_name="UnHealthyHostCount",
                statistic="Maximum",
                period=period,
                dimensions_map={
                    "LoadBalancer": balancer.load_balancer.load_balancer_full_name,
                    "TargetGroup": group.target_group_full_name,
                },
            )
            for name, group in (("primary", balancer.primary), ("alternate", balancer.alternate))
        },
        label="Unhealthy hosts",
        period=period,
    )
    return _Watch(metric=both, threshold=objective.max_hosts, promise=f"unhealthy hosts <= {objective.max_hosts}")


def _metric(name: str, statistic: str, period: Duration, balancer: Balancer) -> cloudwatch.Metric:
    """Return a metric of the load balancer as a whole: both revisions of a deployment, and faults of drills."""
    return cloudwatch.Metric(
        namespace=_NAMESPACE,
        metric_name=name,
        statistic=statistic,
        period=period,
        dimensions_map={"LoadBalancer": balancer.load_balancer.load_balancer_full_name},
    )


class Dashboard(Construct):
    """The alarms and what they are computed from, on one page."""

    def __init__(self, scope: Construct, construct_id: str, *, alarms: Alarms, balancer: Balancer) -> None:
        super().__init__(scope, construct_id)
        minute = Duration.minutes(1)
        dashboard = cloudwatch.Dashboard(self, "Dashboard")
        if alarms.by_objective:
            dashboard.add_widgets(
                cloudwatch.AlarmStatusWidget(title="Objectives", width=24, alarms=list(alarms.by_objective.values()))
            )
        dashboard.add_widgets(
            cloudwatch.GraphWidget(
                title="Requests and errors",
                width=12,
                left=[
                    _metric(name, "Sum", minute, balancer)
                    for name in ("RequestCount", "HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count")
                ],
            ),
            cloudwatch.GraphWidget(
                title="Response time",
                width=12,
                left=[_metric("TargetResponseTime", rank, minute, balancer) for rank in ("p50", "p95", "p99")],
            ),
        )
        dashboard.add_widgets(
            *(
                cloudwatch.AlarmWidget(title=objective, width=8, alarm=alarm)
                for objective, alarm in alarms.by_objective.items()
            )
        )
