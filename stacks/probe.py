"""The synthetic probe: asks for the health path from inside the VPC, when the plan wants it."""

from __future__ import annotations

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_synthetics as synthetics
from constructs import Construct

from readiness import contract
from readiness.model import Probe as ProbePlan
from stacks.canary import tell_everything
from stacks.network import Network

_SCRIPT = """\
const synthetics = require('Synthetics');

exports.handler = async () => {
  const url = new URL(process.env.PROBE_URL);
  await synthetics.executeHttpStep('health', {
    hostname: url.hostname,
    port: url.port,
    protocol: url.protocol,
    path: url.pathname,
    method: 'GET',
    headers: { 'HEADER_OF_PROBE': '1' },
  });
};
""".replace("HEADER_OF_PROBE", contract.PROBE_HEADER)
_ALL_PERCENT = 100
_INTERFACES = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
"""What Lambda needs to stand in a VPC; those of them that have resources at all can't name interfaces yet to be."""


class Probe(Construct):
    """A CloudWatch Synthetics canary.

    Synthetics insists on a bucket for its artifacts, and CloudFormation deletes no bucket that holds anything:
    **whoever deletes the stack has to empty it first**, and the reaper can't. So there is a probe only on request.

    Attributes:
        bucket: What has to be emptied.
        alarm: Rings when a probe fails; None = the plan names no runbook for it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        plan: ProbePlan,
        name: str,
        network: Network,
        security_group: ec2.ISecurityGroup,
        url: str,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = s3.Bucket(
            self,
            "Artifacts",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(1))],
            removal_policy=RemovalPolicy.DESTROY,
        )
        canary = synthetics.Canary(
            self,
            "Canary",
            # Synthetics takes no generated name; the run id keeps those of several clones apart.
            canary_name=name,
            role=self._role(name, self.bucket),
            runtime=synthetics.Runtime(plan.runtime, synthetics.RuntimeFamily.NODEJS),
            test=synthetics.Test.custom(code=synthetics.Code.from_inline(_SCRIPT), handler="index.handler"),
            schedule=synthetics.Schedule.rate(Duration.seconds(plan.every.total_seconds())),
            environment_variables={"PROBE_URL": url},
            artifacts_bucket_location=synthetics.ArtifactsBucketLocation(bucket=self.bucket),
            vpc=network.vpc,
            vpc_subnets=network.private,
            security_groups=[security_group],
            provisioned_resource_cleanup=True,
        )
        # Deleting a canary leaves its log group behind, so the stack owns it, and the role may not make it again.
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/synthetics_canaries_deletion.html
        logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/cwsyn-{name}-{canary.canary_id}",
            retention=logs.RetentionDays.ONE_WEEK,
            removal_policy=RemovalPolicy.DESTROY,
        )

        self.alarm = self._alarm(canary, plan, plan.runbook, topic) if plan.runbook else None

    def _alarm(self, canary: synthetics.Canary, plan: ProbePlan, runbook: str, topic: sns.ITopic) -> cloudwatch.Alarm:
        """Return the alarm of the probe: as soon as one run fails.

        Silence is INSUFFICIENT_DATA, as for every other alarm: a probe that does not run has found nothing out.
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Synthetics_Canaries_metrics.html
        """
        alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            alarm_description=f"Probe of the health path: every run succeeds. Runbook: {runbook}",
            metric=canary.metric_success_percent(period=Duration.seconds(plan.every.total_seconds())),
            threshold=_ALL_PERCENT,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.MISSING,
        )
        tell_everything(alarm, topic)
        return alarm

    def _role(self, name: str, bucket: s3.IBucket) -> iam.Role:
        """Return a role that may write artifacts, logs and metrics of this canary, and stand in the VPC."""
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:/aws/lambda/cwsyn-{name}-*"
        statements = (
            (["s3:PutObject"], [bucket.arn_for_objects("*")], None),
            (["s3:GetBucketLocation"], [bucket.bucket_arn], None),
            (["s3:ListAllMyBuckets"], ["*"], None),
            (["logs:CreateLogStream", "logs:PutLogEvents"], [log_group], None),
            (
                ["cloudwatch:PutMetricData"],
                ["*"],
                {"StringEquals": {"cloudwatch:namespace": "CloudWatchSynthetics"}},
            ),
            (list(_INTERFACES), ["*"], None),
        )
        for permitted, resources, conditions in statements:
            role.add_to_policy(iam.PolicyStatement(actions=permitted, resources=resources, conditions=conditions))
        return role
