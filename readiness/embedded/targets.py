"""The targets of one target group: registered, checked, drained; which of them get requests.

* A target group with fewer healthy targets than its minimum (default 1) routes to all its targets, healthy or not
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health.html
* A deregistered target drains for the deregistration delay: requests under way may finish, new ones go elsewhere
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#deregistration-delay
* States: initial, healthy, unhealthy, draining, unused, unavailable
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html#target-health-states
"""

from __future__ import annotations

from dataclasses import dataclass, field

from readiness.embedded.haproxy_config import Target
from readiness.embedded.target_health import CheckResult, HealthCheck, TargetHealth

Address = tuple[str, int]


@dataclass(slots=True)
class RegisteredTarget:
    """One target of one group; ``draining_until`` is set once it was deregistered (monotonic seconds)."""

    name: str
    health: TargetHealth = field(default_factory=TargetHealth)
    draining_until: float | None = None


@dataclass(frozen=True, slots=True)
class TargetState:
    """State, reason and description as DescribeTargetHealth spells them."""

    state: str
    reason: str = ""
    description: str = ""


class GroupTargets:
    """The targets of one target group."""

    def __init__(self) -> None:
        self.used = False
        self.checked = True
        self._targets: dict[Address, RegisteredTarget] = {}

    def register(self, address: Address, name: str) -> None:
        """Add a target, or take a draining one back; either starts as ``initial``."""
        known = self._targets.get(address)
        if known is None or known.draining_until is not None:
            self._targets[address] = RegisteredTarget(name)

    def deregister(self, address: Address, now: float, delay_s: float) -> bool:
        """Start draining a target; return whether it was registered."""
        target = self._targets.get(address)
        if target is None or target.draining_until is not None:
            return False
        target.draining_until = now + delay_s
        return True

    def drop_drained(self, now: float) -> bool:
        """Forget targets whose deregistration delay is over; return whether there were any."""
        over = [
            address
            for address, target in self._targets.items()
            if target.draining_until is not None and target.draining_until <= now
        ]
        for address in over:
            del self._targets[address]
        return bool(over)

    def use(self, used: bool) -> bool:
        """Note whether any listener forwards to the group; health starts anew when that changes. Return if it did."""
        if used == self.used:
            return False
        self.used = used
        for target in self._targets.values():
            target.health = TargetHealth()
        return True

    def record(self, address: Address, result: CheckResult, check: HealthCheck) -> bool:
        """Take the result of a health check into account; return whether the target's state changed."""
        target = self._targets.get(address)
        return target is not None and target.draining_until is None and target.health.record(result, check)

    def registered(self) -> list[Address]:
        """Return the targets that are not draining."""
        return [address for address, target in self._targets.items() if target.draining_until is None]

    def name(self, address: Address) -> str:
        """Return the target's identifier as it was registered."""
        return self._targets[address].name

    def state(self, address: Address) -> TargetState:
        """Return a target's state."""
        target = self._targets.get(address)
        if target is None:
            return TargetState("unused", "Target.NotRegistered", "Target is not registered to the target group")
        if target.draining_until is not None:
            return TargetState("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
        if not self.used:
            return TargetState(
                "unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"
            )
        if not self.checked:
            return TargetState(
                "unavailable", "Target.HealthCheckDisabled", "Health checks are not enabled for this target group"
            )
        health = target.health
        return TargetState(health.state, health.reason, health.description)

    def states(self) -> dict[Address, TargetState]:
        """Return the state of every target, draining ones included."""
        return {address: self.state(address) for address in self._targets}

    def host_counts(self) -> tuple[int, int]:
        """Return how many registered targets are healthy and how many unhealthy (an initial one is neither)."""
        states = [self.state(address).state for address in self.registered()]
        return states.count("healthy"), states.count("unhealthy")

    def routed(self, minimum_healthy: int) -> tuple[Target, ...]:
        """Return all targets, each with whether new requests go there."""
        registered = self.registered()
        healthy = {address for address in registered if self.state(address).state in ("healthy", "unavailable")}
        enabled = healthy if len(healthy) >= max(1, minimum_healthy) else set(registered)
        return tuple(Target(host, port, (host, port) in enabled) for host, port in sorted(self._targets))
