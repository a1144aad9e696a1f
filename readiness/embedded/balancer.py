"""Load balancers that balance: the API's state is moto's, behind each load balancer runs an HAProxy.

A load balancer's DNS name is a loopback address of its own. Listeners listen there on their real port.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/introduction.html
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from readiness.embedded import elb_routing
from readiness.embedded.elb_metrics import ElbMetrics
from readiness.embedded.elb_routing import GroupSettings, group_id, refused
from readiness.embedded.haproxy import Haproxy, HaproxyError
from readiness.embedded.haproxy_config import ConfigurationError, Group, Listener, LoadBalancer
from readiness.embedded.metrics import Datum
from readiness.embedded.moto_adapter import Action, AwsError, backend, call_moto
from readiness.embedded.processes import Spawner, own_loopback_address
from readiness.embedded.service_permissions import registration_refusal
from readiness.embedded.settings import EmbeddedSettings
from readiness.embedded.target_health import CheckResult, HealthChecks
from readiness.embedded.targets import Address, GroupTargets, TargetState

_TICK_S = 0.05
_HOUSEKEEPING_TICKS = 20
_DEFAULT_IDLE_TIMEOUT_S = 60

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    """One load balancer: its process, its metrics, and what its listeners do."""

    arn: str
    address: str
    haproxy: Haproxy
    metrics: ElbMetrics
    idle_timeout_s: int = _DEFAULT_IDLE_TIMEOUT_S
    listeners: tuple[Listener, ...] = ()
    group_arns: tuple[str, ...] = ()
    applied: LoadBalancer | None = None
    log_rest: bytes = b""
    logs_dropped: int = 0
    host_grain: int = 0


@dataclass(slots=True)
class _Groups:
    """Settings and targets of all target groups, by ARN."""

    settings: dict[str, GroupSettings] = field(default_factory=dict)
    targets: dict[str, GroupTargets] = field(default_factory=dict)


class Balancers:
    """All load balancers of the embedded AWS.

    Args:
        settings: Where files go, and the time scale: health-check intervals and time-outs (the latter never below one
            second) and deregistration delays are divided by it.
        spawner: Starts the HAProxy processes.
        clients: boto3 clients by service; not used yet, every part takes them.
        put_metrics: Takes the metrics.
        function_address: Address of the HTTP server that stands for a Lambda function.
    """

    def __init__(
        self,
        settings: EmbeddedSettings,
        spawner: Spawner,
        clients: Callable[[str], Any],
        put_metrics: Callable[[Iterable[Datum]], None],
        function_address: Callable[[str], tuple[str, int]],
    ) -> None:
        self._settings = settings
        self._spawner = spawner
        self._clients = clients
        self._put_metrics = put_metrics
        self._function_address = function_address
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._groups = _Groups()
        self._checks: HealthChecks[tuple[str, Address]] = HealthChecks(self._record_check)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._tick_until_stopped, name="balancers", daemon=True)
        self.actions: Mapping[str, Mapping[str, Action]] = {
            "elbv2": {
                "CreateLoadBalancer": self._create_load_balancer,
                "DeleteLoadBalancer": self._delete_load_balancer,
                "ModifyLoadBalancerAttributes": self._modify_load_balancer_attributes,
                "CreateListener": self._create_listener,
                "ModifyListener": self._modify_listener,
                "DeleteListener": self._delete_listener,
                "CreateRule": self._create_rule,
                "ModifyRule": self._modify_rule,
                "DeleteRule": self._delete_rule,
                "SetRulePriorities": self._set_rule_priorities,
                "CreateTargetGroup": self._create_target_group,
                "ModifyTargetGroup": self._modify_target_group,
                "ModifyTargetGroupAttributes": self._modify_target_group_attributes,
                "DeleteTargetGroup": self._delete_target_group,
                "RegisterTargets": self._register_targets,
                "DeregisterTargets": self._deregister_targets,
                "DescribeTargetHealth": self._describe_target_health,
            }
        }

    def start(self) -> None:
        """Start health checks, metrics and draining."""
        self._checks.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop every HAProxy and both threads."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._checks.stop()
        with self._lock:
            for running in self._running.values():
                running.haproxy.close()
            self._running.clear()

    # --- what ECS uses

    def register(self, target_group_arn: str, host: str, port: int) -> None:
        """Register a target of type ip."""
        with self._lock:
            self._register(self._settings_of(target_group_arn), (host, port), host)
            self._apply_users_of(target_group_arn)

    def deregister(self, target_group_arn: str, host: str, port: int) -> None:
        """Start draining a target; ``health`` shows it as draining until the deregistration delay is over."""
        with self._lock:
            settings = self._settings_of(target_group_arn)
            self._deregister(settings, (host, port))
            self._apply_users_of(target_group_arn)

    def health(self, target_group_arn: str) -> dict[Address, str]:
        """Return the state of every target of a group, draining ones included."""
        with self._lock:
            return {address: state.state for address, state in self._targets_of(target_group_arn).states().items()}

    def why(self, target_group_arn: str, host: str, port: int) -> str:
        """Return why a target is in its state, in the words of DescribeTargetHealth; empty for a healthy one."""
        with self._lock:
            return self._targets_of(target_group_arn).state((host, port)).description

    def in_use(self, target_group_arn: str) -> bool:
        """Tell whether any listener forwards to a target group, with whatever weight."""
        with self._lock:
            self._settings_of(target_group_arn)
            return self._targets_of(target_group_arn).used

    # --- load balancers

    def _create_load_balancer(self, params: dict[str, Any]) -> Mapping[str, Any]:
        if params.get("Type", "application") != "application":
            raise refused(f"load balancer of type {params['Type']}")
        with self._lock:
            answer = call_moto("elbv2", "CreateLoadBalancer", params)
            for described in answer["LoadBalancers"]:
                arn = described["LoadBalancerArn"]
                address = own_loopback_address()
                backend("elbv2").load_balancers[arn].dns_name = address
                described["DNSName"] = address
                folder = self._settings.state_dir / "load-balancers" / arn.rsplit("/", 1)[-1]
                self._running[arn] = _Running(
                    arn=arn,
                    address=address,
                    haproxy=Haproxy(folder, self._spawner),
                    metrics=ElbMetrics(arn.split(":loadbalancer/")[1], 60.0 / self._settings.time_scale),
                )
            return answer

    def _delete_load_balancer(self, params: dict[str, Any]) -> Mapping[str, Any]:
        arn = params["LoadBalancerArn"]
        with self._lock:
            attributes = self._load_balancer_attributes(arn) if arn in self._running else {}
            if attributes.get("deletion_protection.enabled") == "true":
                raise AwsError(
                    "OperationNotPermitted",
                    f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
                )
            answer = call_moto("elbv2", "DeleteLoadBalancer", params)
            if running := self._running.pop(arn, None):
                running.haproxy.close()
                self._note_use()
            return answer

    def _modify_load_balancer_attributes(self, params: dict[str, Any]) -> Mapping[str, Any]:
        for attribute in params.get("Attributes", ()):
            if attribute["Key"].endswith("logs.s3.enabled") and attribute.get("Value") == "true":
                raise refused(f"load balancer attribute {attribute['Key']}=true")
        with self._lock:
            answer = call_moto("elbv2", "ModifyLoadBalancerAttributes", params)
            arn = params["LoadBalancerArn"]
            attributes = self._load_balancer_attributes(arn)
            self._running[arn].idle_timeout_s = int(
                attributes.get("idle_timeout.timeout_seconds", _DEFAULT_IDLE_TIMEOUT_S)
            )
            self._apply(self._running[arn])
            return answer

    def _load_balancer_attributes(self, arn: str) -> dict[str, str]:
        answer = call_moto("elbv2", "DescribeLoadBalancerAttributes", {"LoadBalancerArn": arn})
        return {attribute["Key"]: attribute["Value"] for attribute in answer["Attributes"]}

    # --- listeners and rules

    def _create_listener(self, params: dict[str, Any]) -> Mapping[str, Any]:
        _checked(elb_routing.check_listener, params)
        with self._lock:
            running = self._running_of(params["LoadBalancerArn"])
            self._check_port(running, int(params["Port"]))
            answer = call_moto("elbv2", "CreateListener", params)
            try:
                self._reroute(running)
            except AwsError:
                call_moto("elbv2", "DeleteListener", {"ListenerArn": answer["Listeners"][0]["ListenerArn"]})
                self._reroute(running)
                raise
            return answer

    def _check_port(self, running: _Running, port: int) -> None:
        if any(listener.port == port for listener in running.listeners):
            raise AwsError("DuplicateListener", f"A listener already exists on port {port} of this load balancer")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((running.address, port))
        except OSError as error:
            raise AwsError(
                "InvalidConfigurationRequest",
                f"port {port} can't be bound at {running.address} ({error.strerror}); the embedded AWS listens on the "
                "listener's real port: choose one from 1024 up that no other program has taken on all addresses",
            ) from error

    def _modify_listener(self, params: dict[str, Any]) -> Mapping[str, Any]:
        _checked(elb_routing.check_listener, params)
        with self._lock:
            running = self._running_of_listener(params["ListenerArn"])
            listener = elb_routing.short_id("l", params["ListenerArn"])
            current = next((known for known in running.listeners if known.id == listener), None)
            if "Port" in params and current is not None and int(params["Port"]) != current.port:
                self._check_port(running, int(params["Port"]))
            return self._rerouted(running, "ModifyListener", params)

    def _delete_listener(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            running = self._running_of_listener(params["ListenerArn"])
            return self._rerouted(running, "DeleteListener", params)

    def _create_rule(self, params: dict[str, Any]) -> Mapping[str, Any]:
        _checked(elb_routing.check_rule, params)
        with self._lock:
            running = self._running_of_listener(params["ListenerArn"])
            return self._rerouted(running, "CreateRule", params)

    def _modify_rule(self, params: dict[str, Any]) -> Mapping[str, Any]:
        _checked(elb_routing.check_rule, params)
        with self._lock:
            return self._rerouted(self._running_of_rule(params["RuleArn"]), "ModifyRule", params)

    def _delete_rule(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            return self._rerouted(self._running_of_rule(params["RuleArn"]), "DeleteRule", params)

    def _set_rule_priorities(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            first = params["RulePriorities"][0]["RuleArn"]
            return self._rerouted(self._running_of_rule(first), "SetRulePriorities", params)

    def _rerouted(self, running: _Running, operation: str, params: dict[str, Any]) -> Mapping[str, Any]:
        answer = call_moto("elbv2", operation, params)
        self._reroute(running)
        return answer

    # --- target groups

    def _create_target_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        elb_routing.check_target_group(params)
        with self._lock:
            answer = call_moto("elbv2", "CreateTargetGroup", params)
            for described in answer["TargetGroups"]:
                if params.get("TargetType") == "lambda" and not params.get("HealthCheckEnabled"):
                    # Health checks of functions are off unless asked for; moto turns them on.
                    backend("elbv2").target_groups[described["TargetGroupArn"]].health_check_enabled = False
                    described["HealthCheckEnabled"] = False
            return answer

    def _modify_target_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        elb_routing.check_target_group(params)
        return self._resettled("ModifyTargetGroup", params)

    def _modify_target_group_attributes(self, params: dict[str, Any]) -> Mapping[str, Any]:
        elb_routing.check_attributes({pair["Key"]: pair.get("Value", "") for pair in params.get("Attributes", ())})
        return self._resettled("ModifyTargetGroupAttributes", params)

    def _resettled(self, operation: str, params: dict[str, Any]) -> Mapping[str, Any]:
        """Change a target group, and check and route by its new settings from now on."""
        arn = params["TargetGroupArn"]
        with self._lock:
            answer = call_moto("elbv2", operation, params)
            before = self._groups.settings.pop(arn, None)
            settings = self._settings_of(arn)
            if before is None or before.check != settings.check:
                self._watch_targets(arn)
            self._apply_users_of(arn)
            return answer

    def _delete_target_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        arn = params["TargetGroupArn"]
        with self._lock:
            answer = call_moto("elbv2", "DeleteTargetGroup", params)
            self._groups.settings.pop(arn, None)
            if targets := self._groups.targets.pop(arn, None):
                for address in targets.registered():
                    self._checks.forget((arn, address))
            return answer

    def _register_targets(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            settings = self._settings_of(params["TargetGroupArn"])
            if settings.target_type == "lambda":
                for target in params["Targets"]:
                    if refusal := registration_refusal(target["Id"], settings.arn):
                        raise AwsError("AccessDenied", refusal, 403)
            for target in params["Targets"]:
                self._register(settings, self._address(settings, target), target["Id"])
            self._apply_users_of(settings.arn)
        return {}

    def _deregister_targets(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            settings = self._settings_of(params["TargetGroupArn"])
            for target in params["Targets"]:
                self._deregister(settings, self._address(settings, target))
            self._apply_users_of(settings.arn)
        return {}

    def _describe_target_health(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self._lock:
            settings = self._settings_of(params["TargetGroupArn"])
            targets = self._targets_of(settings.arn)
            states = targets.states()
            asked = params.get("Targets")
            if asked:
                addresses = [self._address(settings, target) for target in asked]
                names = {address: target["Id"] for address, target in zip(addresses, asked, strict=True)}
                states = {address: targets.state(address) for address in addresses}
            else:
                names = {address: targets.name(address) for address in states}
            return {
                "TargetHealthDescriptions": [
                    _health_description(settings, names[address], address, state) for address, state in states.items()
                ]
            }

    def _address(self, settings: GroupSettings, target: Mapping[str, Any]) -> Address:
        identifier = target["Id"]
        if settings.target_type == "lambda":
            return self._function_address(identifier)
        try:
            socket.inet_aton(identifier)
        except OSError as error:
            raise refused(f"target {identifier}; targets are IPv4 addresses or Lambda functions") from error
        return identifier, int(target.get("Port") or settings.port)

    # --- inside (the lock is held)

    def _register(self, settings: GroupSettings, address: Address, name: str) -> None:
        self._targets_of(settings.arn).register(address, name)
        self._watch(settings, address)

    def _deregister(self, settings: GroupSettings, address: Address) -> None:
        delay_s = settings.deregistration_delay_s
        if self._targets_of(settings.arn).deregister(address, time.monotonic(), delay_s):
            self._checks.forget((settings.arn, address))

    def _watch(self, settings: GroupSettings, address: Address) -> None:
        if settings.check is not None and self._targets_of(settings.arn).used:
            self._checks.watch((settings.arn, address), *address, settings.check)
        else:
            self._checks.forget((settings.arn, address))

    def _watch_targets(self, arn: str) -> None:
        settings = self._settings_of(arn)
        for address in self._targets_of(arn).registered():
            self._watch(settings, address)

    def _settings_of(self, arn: str) -> GroupSettings:
        if (known := self._groups.settings.get(arn)) is None:
            described = call_moto("elbv2", "DescribeTargetGroups", {"TargetGroupArns": [arn]})["TargetGroups"]
            answer = call_moto("elbv2", "DescribeTargetGroupAttributes", {"TargetGroupArn": arn})
            attributes = {pair["Key"]: str(pair.get("Value", "")) for pair in answer["Attributes"]}
            known = elb_routing.group_settings(described[0], attributes, self._settings.time_scale)
            self._groups.settings[arn] = known
            self._targets_of(arn).checked = known.check is not None
        return known

    def _targets_of(self, arn: str) -> GroupTargets:
        return self._groups.targets.setdefault(arn, GroupTargets())

    def _running_of(self, load_balancer_arn: str) -> _Running:
        running = self._running.get(load_balancer_arn)
        if running is None:
            raise AwsError("LoadBalancerNotFound", f"One or more load balancers not found: {load_balancer_arn}")
        return running

    def _running_of_listener(self, listener_arn: str) -> _Running:
        described = call_moto("elbv2", "DescribeListeners", {"ListenerArns": [listener_arn]})["Listeners"]
        return self._running_of(described[0]["LoadBalancerArn"])

    def _running_of_rule(self, rule_arn: str) -> _Running:
        call_moto("elbv2", "DescribeRules", {"RuleArns": [rule_arn]})  # RuleNotFound, if there is none
        path = rule_arn.split(":listener-rule/")[1].split("/")
        return self._running_of(f"{rule_arn.split(':listener-rule/')[0]}:loadbalancer/{'/'.join(path[:3])}")

    def _reroute(self, running: _Running) -> None:
        """Read listeners and rules anew and make the load balancer act on them."""
        listeners = []
        groups: set[str] = set()
        for listener in _pages("DescribeListeners", "Listeners", {"LoadBalancerArn": running.arn}):
            rules = _pages("DescribeRules", "Rules", {"ListenerArn": listener["ListenerArn"]})
            listeners.append(_checked(elb_routing.listener_of, listener, rules))
            for rule in rules:
                groups |= elb_routing.forwarded_groups(rule["Actions"])
        running.listeners = tuple(listeners)
        running.group_arns = tuple(sorted(groups))
        self._note_use()
        self._apply(running)

    def _note_use(self) -> None:
        """Start or stop the health checks of groups that came into use or out of it."""
        used = {arn for running in self._running.values() for arn in running.group_arns}
        for arn in used | set(self._groups.targets):
            if self._targets_of(arn).use(arn in used):
                self._watch_targets(arn)

    def _apply_users_of(self, group_arn: str) -> None:
        for running in self._running.values():
            if group_arn in running.group_arns:
                self._apply(running)

    def _apply(self, running: _Running, *, again: bool = False) -> None:
        wanted = LoadBalancer(
            address=running.address,
            idle_timeout_s=running.idle_timeout_s,
            listeners=running.listeners,
            groups=tuple(self._group(arn) for arn in running.group_arns),
        )
        if wanted == running.applied and not again:
            return
        try:
            running.haproxy.apply(wanted)
        except (HaproxyError, ConfigurationError) as error:
            raise AwsError("InternalFailure", f"load balancer {running.arn}: {error}", 500) from error
        running.applied = wanted

    def _group(self, arn: str) -> Group:
        settings = self._settings_of(arn)
        routed = self._targets_of(arn).routed(settings.minimum_healthy)
        return Group(group_id(arn), settings.algorithm, routed, is_function=settings.target_type == "lambda")

    # --- in the background

    def _record_check(self, key: tuple[str, Address], result: CheckResult) -> None:
        arn, address = key
        with self._lock:
            settings = self._groups.settings.get(arn)
            if settings is None or settings.check is None or arn not in self._groups.targets:
                return
            if self._targets_of(arn).record(address, result, settings.check):
                with _reported(f"targets of {arn}"):
                    self._apply_users_of(arn)

    def _tick_until_stopped(self) -> None:
        ticks = 0
        while not self._stopping.wait(_TICK_S):
            ticks += 1
            with _reported("load balancers"):
                self._drop_drained()
                with self._lock:
                    running = list(self._running.values())
                for one in running:
                    self._read_log(one)
                    if ticks % _HOUSEKEEPING_TICKS == 0:
                        self._keep_house(one)

    def _drop_drained(self) -> None:
        now = time.monotonic()
        with self._lock:
            for arn, targets in self._groups.targets.items():
                if targets.drop_drained(now):
                    self._apply_users_of(arn)

    def _read_log(self, running: _Running) -> None:
        now = time.time()
        chunk = running.log_rest
        with contextlib.suppress(BlockingIOError, OSError):
            while more := os.read(running.haproxy.log_descriptor, 1 << 20):
                chunk += more
        lines, _, running.log_rest = chunk.rpartition(b"\n")
        if lines:
            running.metrics.add(lines.decode("latin-1").split("\n"), now)
        with self._lock:
            groups = {group_id(arn): arn.rsplit(":", 1)[1] for arn in running.group_arns}
            hosts = {
                group_id(arn): self._targets_of(arn).host_counts()
                for arn in running.group_arns
                if self._settings_of(arn).check is not None and self._targets_of(arn).registered()
            }
        data = running.metrics.collect(now, groups, hosts)
        if (grain := running.metrics.grain(now)) != running.host_grain:
            running.host_grain = grain
            data += running.metrics.host_counts(now, groups, hosts)
        if data:
            self._put_metrics(data)

    def _keep_house(self, running: _Running) -> None:
        """Start a process that died again, tell of lost log lines, delete servers that had connections left."""
        with self._lock:
            if running.arn not in self._running or not running.haproxy.should_run:
                return
            if not running.haproxy.running:
                _log.error("the HAProxy of %s has died and is started again", running.arn)
                self._apply(running, again=True)
            running.haproxy.retry_deletions()
            dropped = _dropped_logs(running.haproxy.command("show info"))
            if dropped > running.logs_dropped:
                _log.error("HAProxy of %s lost %d log lines: its metrics are too low", running.arn, dropped)
            running.logs_dropped = dropped


def _dropped_logs(info: str) -> int:
    found = [line.rpartition(":")[2] for line in info.splitlines() if line.startswith("DroppedLogs")]
    return int(found[0]) if found else 0


def _pages(operation: str, key: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    answer = call_moto("elbv2", operation, params)
    found: list[dict[str, Any]] = list(answer[key])
    while marker := answer.get("NextMarker"):
        answer = call_moto("elbv2", operation, {**params, "Marker": marker})
        found += answer[key]
    return found


def _checked(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a pure function of the routing and answer what can't be expressed as the API's validation error."""
    try:
        return function(*arguments)
    except ConfigurationError as error:
        raise AwsError("ValidationError", str(error)) from error


class _reported:
    """Logs what goes wrong in a thread of ours, and goes on: one bad load balancer must not stop the others."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            _log.error("%s: %s", self._what, error, exc_info=error)
            return True
        return False


def _health_description(settings: GroupSettings, name: str, address: Address, state: TargetState) -> dict[str, Any]:
    health = {"State": state.state}
    if state.reason:
        health |= {"Reason": state.reason, "Description": state.description}
    if settings.target_type == "lambda":
        return {"Target": {"Id": name}, "TargetHealth": health}
    port = settings.check.port if settings.check and settings.check.port else address[1]
    return {"Target": {"Id": name, "Port": address[1]}, "HealthCheckPort": str(port), "TargetHealth": health}
