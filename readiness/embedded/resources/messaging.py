"""SNS, SQS, SSM parameters and log groups.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SNS.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SQS.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_SSM.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Logs.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from readiness.embedded.resources.base import Resource, arn, key_values, policy_text, words


def _attribute(value: Any) -> str:
    """Return the value of an SNS or SQS attribute, which the APIs take as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


class Topic(Resource):
    """An SNS topic."""

    TYPE = "AWS::SNS::Topic"
    SERVICE = "sns"
    PROPERTIES = words(
        "ContentBasedDeduplication DisplayName FifoTopic KmsMasterKeyId SignatureVersion Subscription TopicName "
        "TracingConfig Tags"
    )
    _ATTRIBUTES: ClassVar = (
        "ContentBasedDeduplication",
        "DisplayName",
        "KmsMasterKeyId",
        "SignatureVersion",
        "TracingConfig",
    )
    IN_PLACE = words("ContentBasedDeduplication DisplayName KmsMasterKeyId SignatureVersion TracingConfig Tags")
    NAME = "TopicName"
    TAGGED = True

    def create(self) -> None:
        """Make the topic and the subscriptions written within it."""
        fifo = self.flag("FifoTopic")
        name = self.name(longest=251)
        if fifo and not name.endswith(".fifo"):
            name += ".fifo"
        attributes = {key: _attribute(value) for key, value in self.some(*self._ATTRIBUTES).items()}
        if fifo:
            attributes["FifoTopic"] = "true"
        answer = self.call("CreateTopic", Name=name, Attributes=attributes, Tags=self.tag_list())
        self.physical_id = answer["TopicArn"]
        self.attributes = {"TopicArn": self.id, "TopicName": name}
        for subscription in self.get("Subscription") or []:
            self.call("Subscribe", TopicArn=self.id, **subscription)

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change attributes and tags."""
        for name in changed & set(self._ATTRIBUTES):
            value = _attribute(self.get(name, ""))
            self.call("SetTopicAttributes", TopicArn=self.id, AttributeName=name, AttributeValue=value)
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", ResourceArn=self.id, Tags=key_values(tags)),
            remove=lambda keys: self.call("UntagResource", ResourceArn=self.id, TagKeys=keys),
        )

    def delete(self) -> None:
        """Delete the topic and its subscriptions."""
        self.call("DeleteTopic", TopicArn=self.id)


class Subscription(Resource):
    """A subscription of an SNS topic."""

    TYPE = "AWS::SNS::Subscription"
    SERVICE = "sns"
    PROPERTIES = words(
        "DeliveryPolicy Endpoint FilterPolicy FilterPolicyScope Protocol RawMessageDelivery RedrivePolicy TopicArn"
    )
    _ATTRIBUTES: ClassVar = (
        "DeliveryPolicy",
        "FilterPolicy",
        "FilterPolicyScope",
        "RawMessageDelivery",
        "RedrivePolicy",
    )
    IN_PLACE = words("DeliveryPolicy FilterPolicy FilterPolicyScope RawMessageDelivery RedrivePolicy")

    def create(self) -> None:
        """Subscribe."""
        answer = self.call(
            "Subscribe",
            Attributes={key: _attribute(value) for key, value in self.some(*self._ATTRIBUTES).items()},
            ReturnSubscriptionArn=True,
            **self.some("Endpoint", "Protocol", "TopicArn"),
        )
        self.physical_id = answer["SubscriptionArn"]
        self.attributes = {"Arn": self.id}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change what is delivered and how."""
        for name in changed:
            value = _attribute(self.get(name, ""))
            self.call("SetSubscriptionAttributes", SubscriptionArn=self.id, AttributeName=name, AttributeValue=value)

    def delete(self) -> None:
        """Unsubscribe."""
        self.call("Unsubscribe", SubscriptionArn=self.id)


class _AttachedPolicy(Resource):
    """A resource policy that is set on several resources."""

    TARGETS: ClassVar[str] = ""
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    def create(self) -> None:
        self.physical_id = f"{self.context.stack_name}-{self.context.logical_id}"
        self.attributes = {"Id": self.id}
        self._set(self.need(self.TARGETS), policy_text(self.need("PolicyDocument")))

    def update(self, changed: frozenset[str], before: Resource) -> None:
        self._set(self.need(self.TARGETS), policy_text(self.need("PolicyDocument")))
        self._clear([target for target in before.need(self.TARGETS) if target not in self.need(self.TARGETS)])

    def delete(self) -> None:
        self._clear(self.need(self.TARGETS))

    def _set(self, targets: Iterable[str], policy: str) -> None:
        raise NotImplementedError

    def _clear(self, targets: Iterable[str]) -> None:
        raise NotImplementedError


class TopicPolicy(_AttachedPolicy):
    """The policy of SNS topics."""

    TYPE = "AWS::SNS::TopicPolicy"
    SERVICE = "sns"
    PROPERTIES = words("PolicyDocument Topics")
    IN_PLACE = words("PolicyDocument Topics")
    TARGETS = "Topics"

    def _set(self, targets: Iterable[str], policy: str) -> None:
        for topic in targets:
            self.call("SetTopicAttributes", TopicArn=topic, AttributeName="Policy", AttributeValue=policy)

    def _clear(self, targets: Iterable[str]) -> None:
        """Give the topics back the policy that SNS gives a new one: the owner may do everything."""
        for topic in targets:
            statement = {
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": ["SNS:Publish", "SNS:Subscribe", "SNS:GetTopicAttributes", "SNS:SetTopicAttributes"],
                "Resource": topic,
                "Condition": {"StringEquals": {"AWS:SourceOwner": topic.split(":")[4]}},
            }
            self._set([topic], json.dumps({"Version": "2008-10-17", "Statement": [statement]}))


class Queue(Resource):
    """An SQS queue."""

    TYPE = "AWS::SQS::Queue"
    SERVICE = "sqs"
    _ATTRIBUTES: ClassVar = tuple(
        sorted(
            words(
                "ContentBasedDeduplication DeduplicationScope DelaySeconds FifoThroughputLimit "
                "KmsDataKeyReusePeriodSeconds KmsMasterKeyId MaximumMessageSize MessageRetentionPeriod "
                "ReceiveMessageWaitTimeSeconds RedriveAllowPolicy RedrivePolicy SqsManagedSseEnabled VisibilityTimeout"
            )
        )
    )
    PROPERTIES = frozenset({*_ATTRIBUTES, "FifoQueue", "QueueName", "Tags"})
    IN_PLACE = frozenset({*_ATTRIBUTES, "Tags"})
    NAME = "QueueName"
    TAGGED = True

    def create(self) -> None:
        """Make the queue."""
        name = self.name(longest=80)
        attributes = {key: _attribute(value) for key, value in self.some(*self._ATTRIBUTES).items()}
        if self.flag("FifoQueue"):
            attributes["FifoQueue"] = "true"
            name = name if name.endswith(".fifo") else name[:75] + ".fifo"
        answer = self.call("CreateQueue", QueueName=name, Attributes=attributes, tags=self.tags())
        self.physical_id = answer["QueueUrl"]
        self.attributes = {"Arn": arn("sqs", self.context.region, name), "QueueName": name, "QueueUrl": self.id}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change attributes and tags."""
        attributes = {name: _attribute(self.get(name, "")) for name in changed & set(self._ATTRIBUTES)}
        if attributes:
            self.call("SetQueueAttributes", QueueUrl=self.id, Attributes=attributes)
        self.retag(
            before,
            add=lambda tags: self.call("TagQueue", QueueUrl=self.id, Tags=tags),
            remove=lambda keys: self.call("UntagQueue", QueueUrl=self.id, TagKeys=keys),
        )

    def delete(self) -> None:
        """Delete the queue."""
        self.call("DeleteQueue", QueueUrl=self.id)


class QueuePolicy(_AttachedPolicy):
    """The policy of SQS queues."""

    TYPE = "AWS::SQS::QueuePolicy"
    SERVICE = "sqs"
    PROPERTIES = words("PolicyDocument Queues")
    IN_PLACE = words("PolicyDocument Queues")
    TARGETS = "Queues"

    def _set(self, targets: Iterable[str], policy: str) -> None:
        for queue in targets:
            self.call("SetQueueAttributes", QueueUrl=queue, Attributes={"Policy": policy})

    def _clear(self, targets: Iterable[str]) -> None:
        self._set(targets, "")


class Parameter(Resource):
    """An SSM parameter."""

    TYPE = "AWS::SSM::Parameter"
    SERVICE = "ssm"
    PROPERTIES = words("AllowedPattern DataType Description Name Tier Type Value Tags")
    IN_PLACE = words("AllowedPattern DataType Description Tier Value Tags")
    NAME = "Name"
    TAGGED = True

    def create(self) -> None:
        """Make the parameter."""
        name = self.name(longest=512)
        self.call("PutParameter", Name=name, Overwrite=False, Tags=self.tag_list(), **self._values())
        self.physical_id = name
        self.attributes = self.some("Type", "Value")

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change value and tags."""
        if changed - {"Tags"}:
            self.call("PutParameter", Name=self.id, Overwrite=True, **self._values())
        self.attributes = self.some("Type", "Value")
        named = {"ResourceType": "Parameter", "ResourceId": self.id}
        self.retag(
            before,
            add=lambda tags: self.call("AddTagsToResource", Tags=key_values(tags), **named),
            remove=lambda keys: self.call("RemoveTagsFromResource", TagKeys=keys, **named),
        )

    def delete(self) -> None:
        """Delete the parameter."""
        self.call("DeleteParameter", Name=self.id)

    def _values(self) -> Mapping[str, Any]:
        return self.some("AllowedPattern", "DataType", "Description", "Tier", "Type", "Value")


class LogGroup(Resource):
    """A log group."""

    TYPE = "AWS::Logs::LogGroup"
    SERVICE = "logs"
    PROPERTIES = words("KmsKeyId LogGroupClass LogGroupName RetentionInDays Tags")
    IN_PLACE = words("KmsKeyId RetentionInDays Tags")
    NAME = "LogGroupName"
    TAGGED = True

    def create(self) -> None:
        """Make the log group."""
        name = self.name(longest=512)
        self.call("CreateLogGroup", logGroupName=name, tags=self.tags(), **self.some("KmsKeyId", "LogGroupClass"))
        self.physical_id = name
        self.attributes = {"Arn": f"{self._arn()}:*"}
        self._set_retention()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change retention, key and tags."""
        self._set_retention()
        if "KmsKeyId" in changed:
            if key := self.get("KmsKeyId"):
                self.call("AssociateKmsKey", logGroupName=self.id, kmsKeyId=key)
            else:
                self.call("DisassociateKmsKey", logGroupName=self.id)
        self.retag(
            before,
            add=lambda tags: self.call("TagResource", resourceArn=self._arn(), tags=tags),
            remove=lambda keys: self.call("UntagResource", resourceArn=self._arn(), tagKeys=keys),
        )

    def delete(self) -> None:
        """Delete the log group and its streams."""
        self.call("DeleteLogGroup", logGroupName=self.id)

    def _arn(self) -> str:
        return arn("logs", self.context.region, f"log-group:{self.id}")

    def _set_retention(self) -> None:
        if days := self.get("RetentionInDays"):
            self.call("PutRetentionPolicy", logGroupName=self.id, retentionInDays=days)
        else:
            self.call("DeleteRetentionPolicy", logGroupName=self.id)


ENTRIES: tuple[type[Resource], ...] = (LogGroup, Parameter, Queue, QueuePolicy, Subscription, Topic, TopicPolicy)
"""The types of this file."""
