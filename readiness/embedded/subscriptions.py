"""Subscriptions that somebody has to confirm: by e-mail and over HTTP. Kept here, because moto takes each as confirmed.

* Such a subscription waits until its owner has answered the message that SNS sends it; until then it gets nothing, and
  lists tell ``PendingConfirmation`` instead of its ARN
  https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
  https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html
* ``Subscribe`` answers ``pending confirmation``, unless ``ReturnSubscriptionArn`` asks for the ARN

Narrower than AWS: **nothing is ever sent**, neither the question nor a message. So nobody can confirm; the addresses
that the settings name in ``confirms`` count as confirmed at once. Pending ones do not end by themselves after two days.
Queues, functions and the other protocols are moto's.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from readiness.embedded.moto_adapter import Action, AwsError, call_moto
from readiness.embedded.settings import ACCOUNT_ID, EmbeddedSettings

CONFIRMED_BY_HAND = frozenset({"email", "email-json", "http", "https"})
PENDING = "PendingConfirmation"
_SETTABLE = frozenset({"DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery", "RedrivePolicy"})


@dataclass(kw_only=True)
class _Subscription:
    """One subscription that its owner has, or has not, confirmed."""

    arn: str
    topic: str
    protocol: str
    endpoint: str
    confirmed: bool
    attributes: dict[str, str] = field(default_factory=dict)

    def listed(self) -> dict[str, str]:
        """Return it as ListSubscriptions does."""
        return {
            "SubscriptionArn": self.arn if self.confirmed else PENDING,
            "Owner": ACCOUNT_ID,
            "Protocol": self.protocol,
            "Endpoint": self.endpoint,
            "TopicArn": self.topic,
        }

    def described(self) -> dict[str, str]:
        """Return it as GetSubscriptionAttributes does."""
        return {
            "SubscriptionArn": self.arn,
            "TopicArn": self.topic,
            "Owner": ACCOUNT_ID,
            "Protocol": self.protocol,
            "Endpoint": self.endpoint,
            "PendingConfirmation": "false" if self.confirmed else "true",
            "ConfirmationWasAuthenticated": "false",
            "RawMessageDelivery": "false",
            **self.attributes,
        }


class Subscriptions:
    """Answers SNS's operations on subscriptions: ours, and behind them moto's.

    Args:
        settings: Which addresses count as confirmed.
    """

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._confirms = settings.confirms
        self._lock = threading.Lock()
        self._kept: dict[str, _Subscription] = {}
        self.actions: Mapping[str, Mapping[str, Action]] = {
            "sns": {
                "Subscribe": self._subscribe,
                "ConfirmSubscription": self._confirm,
                "Unsubscribe": self._unsubscribe,
                "ListSubscriptions": self._list,
                "ListSubscriptionsByTopic": self._list,
                "GetSubscriptionAttributes": self._attributes,
                "SetSubscriptionAttributes": self._set_attributes,
                "DeleteTopic": self._delete_topic,
            }
        }

    def start(self) -> None:
        """Nothing runs: nothing is sent."""

    def stop(self) -> None:
        """Nothing runs."""

    def _subscribe(self, params: dict[str, Any]) -> Mapping[str, Any]:
        if params["Protocol"] not in CONFIRMED_BY_HAND:
            return call_moto("sns", "Subscribe", params)
        topic, protocol, endpoint = params["TopicArn"], params["Protocol"], params.get("Endpoint", "")
        call_moto("sns", "GetTopicAttributes", {"TopicArn": topic})  # its error, where there is no such topic
        _check_endpoint(protocol, endpoint)
        attributes = dict(params.get("Attributes") or {})
        _check_settable(attributes)
        with self._lock:
            same = (topic, protocol, endpoint)
            known = [each for each in self._kept.values() if (each.topic, each.protocol, each.endpoint) == same]
            made = (
                known[0]
                if known
                else _Subscription(
                    arn=f"{topic}:{uuid.uuid4()}",
                    topic=topic,
                    protocol=protocol,
                    endpoint=endpoint,
                    confirmed=endpoint in self._confirms,
                )
            )
            made.attributes.update(attributes)
            self._kept[made.arn] = made
        told = made.confirmed or params.get("ReturnSubscriptionArn")
        return {"SubscriptionArn": made.arn if told else "pending confirmation"}

    def _confirm(self, params: dict[str, Any]) -> Mapping[str, Any]:
        raise AwsError(
            "NotImplemented",
            "the embedded AWS sends no token that could be confirmed; name the address in [embedded] confirms",
        )

    def _unsubscribe(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            known = self._kept.pop(params["SubscriptionArn"], None)
        return {} if known else call_moto("sns", "Unsubscribe", params)

    def _list(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """Return moto's page; ours stand on the first."""
        topic = params.get("TopicArn")
        answer = call_moto("sns", "ListSubscriptionsByTopic" if topic else "ListSubscriptions", params)
        with self._lock:
            ours = [each.listed() for each in self._kept.values() if topic in (None, each.topic)]
        theirs = answer.get("Subscriptions", [])
        return {**answer, "Subscriptions": theirs if params.get("NextToken") else [*theirs, *ours]}

    def _attributes(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            known = self._kept.get(params["SubscriptionArn"])
            if known is not None:
                return {"Attributes": known.described()}
        return call_moto("sns", "GetSubscriptionAttributes", params)

    def _set_attributes(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            known = self._kept.get(params["SubscriptionArn"])
            if known is not None:
                name, value = params["AttributeName"], params.get("AttributeValue", "")
                _check_settable({name: value})
                known.attributes.pop(name, None)
                known.attributes.update({name: value} if value else {})
                return {}
        return call_moto("sns", "SetSubscriptionAttributes", params)

    def _delete_topic(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """Delete a topic, and its subscriptions with it."""
        with self._lock:
            gone = [arn for arn, each in self._kept.items() if each.topic == params["TopicArn"]]
            for arn in gone:
                del self._kept[arn]
        return call_moto("sns", "DeleteTopic", params)


def _check_endpoint(protocol: str, endpoint: str) -> None:
    fits = "@" in endpoint if protocol.startswith("email") else endpoint.startswith(f"{protocol}://")
    if not fits:
        raise AwsError("InvalidParameter", f"Invalid parameter: {protocol} endpoint {endpoint!r}")


def _check_settable(attributes: Mapping[str, str]) -> None:
    unknown = sorted(set(attributes) - _SETTABLE)
    if unknown:
        raise AwsError("InvalidParameter", f"Invalid parameter: AttributeName {unknown[0]}")
