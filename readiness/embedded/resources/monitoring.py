"""CloudWatch alarms and dashboards, and the resource that does nothing.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_CloudWatch.html
"""

from __future__ import annotations

from typing import ClassVar

from readiness.embedded.resources.base import Resource, ResourceError, arn, key_values, policy_text, words


class _AlarmResource(Resource):
    SERVICE = "cloudwatch"

    def alarm_arn(self) -> str:
        return arn("cloudwatch", self.context.region, f"alarm:{self.id}")

    def update_tags(self, before: Resource) -> None:
        resource = self.alarm_arn()
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", ResourceARN=resource, Tags=key_values(tags)),
            remove=lambda keys: self.call("UntagResource", ResourceARN=resource, TagKeys=keys),
        )

    def delete(self) -> None:
        self.call("DeleteAlarms", AlarmNames=[self.id])


class Alarm(_AlarmResource):
    """A metric alarm."""

    TYPE = "AWS::CloudWatch::Alarm"
    _SETTINGS: ClassVar = words(
        "ActionsEnabled AlarmActions AlarmDescription ComparisonOperator DatapointsToAlarm Dimensions "
        "EvaluateLowSampleCountPercentile EvaluationPeriods ExtendedStatistic InsufficientDataActions MetricName "
        "Metrics Namespace OKActions Period Statistic Threshold ThresholdMetricId TreatMissingData Unit"
    )
    PROPERTIES = _SETTINGS | words("AlarmName Tags")
    IN_PLACE = _SETTINGS | words("Tags")
    NAME = "AlarmName"
    TAGGED = True

    def create(self) -> None:
        """Make the alarm."""
        name = self.name(longest=255)
        self._refuse_to_overwrite(name)
        self.call("PutMetricAlarm", AlarmName=name, Tags=self.tag_list(), **self.some(*sorted(self._SETTINGS)))
        self.physical_id = name
        self.attributes = {"Arn": self.alarm_arn()}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the alarm."""
        if changed - {"Tags"}:
            self.call("PutMetricAlarm", AlarmName=self.id, **self.some(*sorted(self._SETTINGS)))
        self.update_tags(before)

    def _refuse_to_overwrite(self, name: str) -> None:
        # PutMetricAlarm overwrites; a stack must not take over an alarm that is not its own.
        if self.call("DescribeAlarms", AlarmNames=[name])["MetricAlarms"]:
            raise ResourceError(f"{name} already exists")


class CompositeAlarm(_AlarmResource):
    """An alarm on other alarms."""

    TYPE = "AWS::CloudWatch::CompositeAlarm"
    _SETTINGS: ClassVar = words(
        "ActionsEnabled ActionsSuppressor ActionsSuppressorExtensionPeriod ActionsSuppressorWaitPeriod AlarmActions "
        "AlarmDescription AlarmRule InsufficientDataActions OKActions"
    )
    PROPERTIES = _SETTINGS | words("AlarmName Tags")
    IN_PLACE = _SETTINGS | words("Tags")
    NAME = "AlarmName"
    TAGGED = True

    def create(self) -> None:
        """Make the alarm."""
        name = self.name(longest=255)
        self.call("PutCompositeAlarm", AlarmName=name, Tags=self.tag_list(), **self.some(*sorted(self._SETTINGS)))
        self.physical_id = name
        self.attributes = {"Arn": self.alarm_arn()}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the alarm."""
        if changed - {"Tags"}:
            self.call("PutCompositeAlarm", AlarmName=self.id, **self.some(*sorted(self._SETTINGS)))
        self.update_tags(before)


class Dashboard(Resource):
    """A dashboard."""

    TYPE = "AWS::CloudWatch::Dashboard"
    SERVICE = "cloudwatch"
    PROPERTIES = words("DashboardBody DashboardName Tags")
    IN_PLACE = words("DashboardBody")
    NAME = "DashboardName"

    def create(self) -> None:
        """Make the dashboard."""
        self.physical_id = self.name(longest=255)
        self._put()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the dashboard."""
        self._put()

    def delete(self) -> None:
        """Delete the dashboard."""
        self.call("DeleteDashboards", DashboardNames=[self.id])

    def _put(self) -> None:
        body = policy_text(self.need("DashboardBody"))
        answer = self.call("PutDashboard", DashboardName=self.id, DashboardBody=body, Tags=self.tag_list())
        if messages := answer.get("DashboardValidationMessages"):
            raise ResourceError(f"the dashboard's body is not valid: {messages[0].get('Message', messages[0])}")


class CdkMetadata(Resource):
    """What CDK adds to count its users; it does nothing on AWS either."""

    TYPE = "AWS::CDK::Metadata"
    PROPERTIES = words("Analytics")
    IN_PLACE = words("Analytics")

    def create(self) -> None:
        """Do nothing."""
        self.physical_id = self.context.logical_id

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Do nothing."""

    def delete(self) -> None:
        """Do nothing."""


ENTRIES: tuple[type[Resource], ...] = (Alarm, CdkMetadata, CompositeAlarm, Dashboard)
"""The types of this file."""
