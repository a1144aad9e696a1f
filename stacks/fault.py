"""The fault target: makes any service "fail" behind its own load balancer, without its cooperation."""

from __future__ import annotations

import math

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from readiness import contract
from readiness.model import Plan
from stacks.service import FAULT_PRIORITY, Balancer

_CODE = f'''\
"""Answers for the load balancer as a failing or a slow service would."""

import os
import time


def handler(event, context):
    headers = {{name.lower(): value for name, value in (event.get("headers") or {{}}).items()}}
    order = headers.get("{contract.DRILL_HEADER.lower()}", "")
    if order == "{contract.DRILL_ERROR}":
        return answer(500, "Internal Server Error")
    if order == "{contract.DRILL_SLOW}":
        time.sleep(float(os.environ["{contract.FAULT_DELAY_VARIABLE}"]))
        return answer(200, "OK")
    return answer(400, "Bad Request")


def answer(status, reason):
    return {{
        "statusCode": status,
        "statusDescription": f"{{status}} {{reason}}",
        "isBase64Encoded": False,
        "headers": {{"Content-Type": "text/plain"}},
        "body": f"Answered by the drill: {{status}} {{reason}}.",
    }}
'''


class Fault(Construct):
    """A function behind the listener that gets no request until a drill gives it weight.

    Its rule matches the drill header only, so that nothing but the harness's own load can ever reach it.

    Attributes:
        target_group: The function's target group.
        rule: The rule whose weights a drill changes.
    """

    def __init__(self, scope: Construct, construct_id: str, *, plan: Plan, balancer: Balancer) -> None:
        super().__init__(scope, construct_id)
        delay_s = plan.drills.alarms.fault_delay.total_seconds()
        log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.ONE_WEEK, removal_policy=RemovalPolicy.DESTROY
        )
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        function = lambda_.Function(
            self,
            "Function",
            description="Answers errors, or slowly, for requests of a drill",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(_CODE),
            role=role.without_policy_updates(),
            environment={contract.FAULT_DELAY_VARIABLE: f"{delay_s:g}"},
            timeout=Duration.seconds(math.ceil(delay_s) + 5),
            memory_size=128,
            log_group=log_group,
        )
        permission = lambda_.CfnPermission(
            self,
            "Invocation",
            action="lambda:InvokeFunction",
            function_name=function.function_arn,
            principal="elasticloadbalancing.amazonaws.com",
            # The target group registers the function as it is created and needs the permission before: its own ARN
            # can't be named here without a circle.
            source_arn=(f"arn:{Aws.PARTITION}:elasticloadbalancing:{Aws.REGION}:{Aws.ACCOUNT_ID}:targetgroup/*"),
        )
        self.target_group = elb.CfnTargetGroup(
            self,
            "TargetGroup",
            target_type="lambda",
            targets=[elb.CfnTargetGroup.TargetDescriptionProperty(id=function.function_arn)],
        )
        self.target_group.add_resource_dependency(permission)
        self.rule = self._rule(balancer, self.target_group)

    def _rule(self, balancer: Balancer, fault: elb.CfnTargetGroup) -> elb.CfnListenerRule:
        """Return the rule that outranks production for requests of a drill.

        At rest it sends them where production's rule sends all requests at first. Deployments move the service to the
        other target group, so a drill copies production's weights when it sets the fault's.
        """
        weight = elb.CfnListenerRule.TargetGroupTupleProperty
        return elb.CfnListenerRule(
            self,
            "Rule",
            listener_arn=balancer.listener.listener_arn,
            priority=FAULT_PRIORITY,
            conditions=[
                elb.CfnListenerRule.RuleConditionProperty(
                    field="http-header",
                    http_header_config=elb.CfnListenerRule.HttpHeaderConfigProperty(
                        http_header_name=contract.DRILL_HEADER, values=["*"]
                    ),
                )
            ],
            actions=[
                elb.CfnListenerRule.ActionProperty(
                    type="forward",
                    forward_config=elb.CfnListenerRule.ForwardConfigProperty(
                        target_groups=[
                            weight(target_group_arn=balancer.primary.target_group_arn, weight=100),
                            weight(target_group_arn=fault.ref, weight=0),
                        ]
                    ),
                )
            ],
        )
