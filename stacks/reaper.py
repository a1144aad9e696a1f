"""The reaper: deletes the stack at its expiry, even if the one who made it died."""

from __future__ import annotations

import json
from datetime import datetime

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct


class Reaper(Construct):
    """A one-time schedule that calls CloudFormation's ``DeleteStack``.

    Its role may start the deletion of this one stack and nothing else. The deletion itself runs with the role that
    the stack was created with, which CloudFormation keeps and uses "for all future operations on the stack", even for
    callers who may not pass it; the CDK CLI always gives one (the bootstrap's ``cfn-exec`` role). A stack that was
    created without a role can't be reaped: CloudFormation would act with this role's own rights, which do not reach.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteStack.html

    The schedule goes with the stack that it deletes. The scheduler's ``ActionAfterCompletion`` would say the same a
    second time, but CloudFormation's schema has no such property and refuses a template that names it.

    Attributes:
        schedule: The schedule.
    """

    def __init__(self, scope: Construct, construct_id: str, *, expires_at: datetime) -> None:
        super().__init__(scope, construct_id)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            description="Lets the schedule start the deletion of this stack",
        )
        role.add_to_policy(iam.PolicyStatement(actions=["cloudformation:DeleteStack"], resources=[Aws.STACK_ID]))
        self.schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            description="Deletes the stack at its expiry",
            schedule_expression=f"at({expires_at:%Y-%m-%dT%H:%M:%S})",
            schedule_expression_timezone="UTC",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=f"arn:{Aws.PARTITION}:scheduler:::aws-sdk:cloudformation:deleteStack",
                role_arn=role.role_arn,
                input=json.dumps({"StackName": Aws.STACK_NAME}),
            ),
        )
        self.schedule.node.add_dependency(role)
