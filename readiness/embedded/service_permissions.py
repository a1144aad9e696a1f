"""Whether AWS services may do for each other what alarms and topics need: asked of the resources' policies and keys.

* An alarm publishes as ``cloudwatch.amazonaws.com``: the topic's policy has to let it, and so has the key's policy of
  an encrypted topic, for which the AWS managed key will not do
  https://repost.aws/knowledge-center/cloudwatch-receive-sns-for-alarm-trigger
  https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
* A topic sends as ``sns.amazonaws.com``: the queue's policy has to let it, and so has the key's policy of a queue that
  is encrypted with KMS. A refused message is gone; the publisher is told nothing
  https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
  https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
* A load balancer and an alarm invoke a function only if its policy lets them
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html

Left out: what people and roles may do (IAM does not act); retries and dead-letter queues of subscriptions, so a refused
message is lost at once; policies of S3, Scheduler, Logs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from readiness.embedded import moto_adapter
from readiness.embedded.moto_adapter import Action, AwsError, call_moto
from readiness.embedded.resource_policy import PolicyNotDoneError, ServiceCall, allows
from readiness.embedded.settings import ACCOUNT_ID

_ALARMS: Final = "cloudwatch.amazonaws.com"
_ALARMS_AT_FUNCTIONS: Final = "lambda.alarms.cloudwatch.amazonaws.com"
_BALANCERS: Final = "elasticloadbalancing.amazonaws.com"
_TOPICS: Final = "sns.amazonaws.com"


def alarm_refusal(action_arn: str, alarm_arn: str) -> str:
    """Return why an alarm may not run its action, worded as the alarm's history has it; an empty string if it may.

    Raises:
        AwsError: The topic or function is not there.
    """
    if action_arn.startswith("arn:aws:lambda:"):
        if _may_invoke(action_arn, _ALARMS_AT_FUNCTIONS, alarm_arn):
            return ""
        return f"{_ALARMS_AT_FUNCTIONS} is not authorized to perform: lambda:InvokeFunction on resource: {action_arn}"
    topic = call_moto("sns", "GetTopicAttributes", {"TopicArn": action_arn})["Attributes"]
    if not _may(topic.get("Policy"), _call(_ALARMS, "sns:Publish", action_arn, alarm_arn)):
        return f"Resource: {alarm_arn} is not authorized to perform: SNS:Publish on resource: {action_arn}"
    more = {"kms:ViaService": f"sns.{action_arn.split(':')[3]}.amazonaws.com"}
    more["kms:EncryptionContext:aws:sns:topicArn"] = action_arn
    if why := _key_refusal(topic.get("KmsMasterKeyId"), _ALARMS, alarm_arn, more):
        return f"CloudWatch Alarms does not have authorization to access the SNS topic encryption key. ({why})"
    return ""


def delivery_refusal(topic_arn: str, queue_arn: str) -> str:
    """Return why a topic may not send to a queue; an empty string if it may.

    Raises:
        AwsError: The queue is not there.
    """
    name = queue_arn.rsplit(":", 1)[1]
    url = call_moto("sqs", "GetQueueUrl", {"QueueName": name})["QueueUrl"]
    asked = {"QueueUrl": url, "AttributeNames": ["All"]}
    queue = call_moto("sqs", "GetQueueAttributes", asked).get("Attributes", {})
    if not _may(queue.get("Policy"), _call(_TOPICS, "sqs:SendMessage", queue_arn, topic_arn)):
        return f"the policy of queue {name} does not let {_TOPICS} send messages of {topic_arn}"
    more = {"kms:ViaService": f"sqs.{queue_arn.split(':')[3]}.amazonaws.com"}
    more["kms:EncryptionContext:aws:sqs:arn"] = queue_arn
    if why := _key_refusal(queue.get("KmsMasterKeyId"), _TOPICS, topic_arn, more):
        return f"queue {name} is encrypted: {why}"
    return ""


def registration_refusal(function_arn: str, target_group_arn: str) -> str:
    """Return why a function can't be a target group's target; an empty string if it can."""
    if _may_invoke(function_arn, _BALANCERS, target_group_arn):
        return ""
    return (
        f"elasticloadbalancing principal does not have permission to invoke {function_arn} from target group "
        f"{target_group_arn}"
    )


class Deliveries:
    """Watches over what topics send to queues: drops what AWS would drop, and says so in the embedded AWS's log."""

    def __init__(self) -> None:
        self.actions: Mapping[str, Mapping[str, Action]] = {"sqs": {"SetQueueAttributes": _set_queue_attributes}}

    def start(self) -> None:
        """Ask before each delivery from now on."""
        moto_adapter.check_deliveries(refuse_delivery)

    def stop(self) -> None:
        """Ask no longer."""
        moto_adapter.check_deliveries(None)


def _set_queue_attributes(params: dict[str, Any]) -> Mapping[str, Any]:
    """Keep the queue's policy, which moto forgets when other attributes are set."""
    url, attributes = params["QueueUrl"], dict(params["Attributes"])
    if "Policy" not in attributes:
        known = call_moto("sqs", "GetQueueAttributes", {"QueueUrl": url, "AttributeNames": ["Policy"]})
        attributes |= known.get("Attributes", {})
    return call_moto("sqs", "SetQueueAttributes", {"QueueUrl": url, "Attributes": attributes})


def refuse_delivery(topic_arn: str, queue_arn: str) -> bool:
    """Return whether a topic's message to a queue is lost; say why on standard error."""
    try:
        why = delivery_refusal(topic_arn, queue_arn)
    except AwsError as error:
        why = str(error)
    if why:
        print(f"embedded AWS: a message of {topic_arn} was not delivered: {why}", file=sys.stderr)  # noqa: T201
    return bool(why)


def _call(
    service: str, action: str, resource: str, source_arn: str, more: Mapping[str, str] | None = None
) -> ServiceCall:
    """Return the call that a service makes for one of its resources, with the keys that AWS puts into the request.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    context = {
        "aws:SourceArn": source_arn,
        "aws:SourceAccount": ACCOUNT_ID,
        "aws:SourceOwner": ACCOUNT_ID,  # what the policy that SNS gives to a new topic asks for
        "aws:PrincipalIsAWSService": "true",
        "aws:PrincipalServiceName": service,
        "aws:SecureTransport": "true",
    }
    return ServiceCall(service=service, action=action, resource=resource, context=context | dict(more or {}))


def _may(policy: str | None, call: ServiceCall) -> bool:
    """Return whether a policy lets a call be made; without a policy no service may do anything.

    Raises:
        AwsError: The policy can't be judged here.
    """
    try:
        return bool(policy) and allows(str(policy), call)
    except PolicyNotDoneError as error:
        raise AwsError("NotImplemented", str(error)) from error


def _may_invoke(function_arn: str, service: str, source_arn: str) -> bool:
    call = _call(service, "lambda:InvokeFunction", function_arn, source_arn)
    try:
        policy = call_moto("lambda", "GetPolicy", {"FunctionName": function_arn})["Policy"]
    except AwsError as error:
        if "NotFound" in error.code:
            return False
        raise
    return _may(policy, call)


def _key_refusal(key: str | None, service: str, source_arn: str, more: Mapping[str, str]) -> str:
    """Return why a service can't use the key that something is encrypted with; an empty string if it can."""
    if not key:
        return ""
    if key.rsplit(":", 1)[-1].startswith("alias/aws/"):
        return f"{key} is an AWS managed key, and its policy, which nobody can change, does not let {service} use it"
    try:
        described = call_moto("kms", "DescribeKey", {"KeyId": key})["KeyMetadata"]
    except AwsError as error:
        return f"key {key} can't be used ({error.code})"
    if described["KeyState"] != "Enabled":
        return f"key {key} is {described['KeyState']}"
    policy = call_moto("kms", "GetKeyPolicy", {"KeyId": described["KeyId"], "PolicyName": "default"})["Policy"]
    for action in ("kms:GenerateDataKey", "kms:Decrypt"):
        if not _may(policy, _call(service, action, described["Arn"], source_arn, more)):
            return f"the policy of key {described['KeyId']} does not let {service} do {action}"
    return ""
