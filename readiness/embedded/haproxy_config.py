"""One load balancer as HAProxy's configuration: pure, from a description to text.

What may change while requests flow (targets, weights of a forward action) is kept out of the *structure*: targets are
added and disabled, weights changed, through HAProxy's runtime socket. Everything else is structure, and a change of it
is a seamless reload.

Behaviour is the Application Load Balancer's:

* rules are evaluated by priority, the default action last
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-rules.html
* conditions: ``*`` is any number of characters, ``?`` exactly one; paths are case-sensitive, host, header and query
  values are not
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-condition-types.html
* a forward action with weights picks a target group per request and never fails over to another group
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html
* 502 for a refused or broken connection to the target, 503 without targets, 504 when the target does not take the
  connection or does not answer in time; 502 for a function that fails
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
* X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Port
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html
* X-Amzn-Trace-Id
  https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-request-tracing.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

WEIGHT_SLOTS = 1_000_000
"""A request draws one of so many slots, first for a target group (its share is its weight), then for a target."""

_STRIDE = 618_033  # the golden ratio's share of the slots, and prime to their number

LOG_FORMAT = "%b %s %ST %Tr %ts %[var(txn.act)]"
"""One log line: backend, server, status, response time in ms (-1 without answer), how it ended, what was done."""

OWN_ANSWER = "x-embedded-own-answer"
"""Header by which the server of a function says that an answer is the load balancer's own: the function failed."""

FUNCTION_FAILED = "function"
"""What is logged as done for such an answer."""

BROKEN_OFF = "broken_off"
"""The server that answers for a target which closed a reused connection without an answer."""

ALGORITHMS = {
    "round_robin": f"sc0_inc_gpc0,mul({_STRIDE}),mod({WEIGHT_SLOTS})",
    "weighted_random": f"rand({WEIGHT_SLOTS})",
}
"""Routing algorithms of a target group -> how a request draws its slot.

A counter times an irrational share of the slots goes round evenly whatever the number of targets is.
"""

_CONNECT_TIMEOUT_S = 10
_BUFFER_BYTES = 32768
_STATUS_TEXTS = {
    400: "400 Bad Request",
    408: "408 Request Time-out",
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}


class ConfigurationError(Exception):
    """A listener, rule or target that can't be expressed; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """One address behind a target group; ``enabled`` if new requests may go there."""

    host: str
    port: int
    enabled: bool

    @property
    def name(self) -> str:
        """The name of its server in HAProxy."""
        return f"s{self.host.replace('.', '_')}_{self.port}"


@dataclass(frozen=True, slots=True)
class Group:
    """A target group: an identifier that HAProxy accepts as a name, how slots are drawn, and its targets.

    Attributes:
        id: Its identifier.
        algorithm: HAProxy's expression for the slot that a request draws.
        targets: Its targets.
        is_function: Whether its target is a Lambda function.
    """

    id: str
    algorithm: str
    targets: tuple[Target, ...] = ()
    is_function: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """Forward to one of several target groups, by weight: (group id, weight) pairs."""

    weights: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class FixedResponse:
    """Answer without a target."""

    status: int
    content_type: str = "text/plain"
    body: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Redirect; each part may hold ``#{protocol}``, ``#{host}``, ``#{port}``, ``#{path}`` and ``#{query}``."""

    status: int
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule: satisfied by any of its values.

    Attributes:
        field: ``path-pattern``, ``host-header``, ``http-header``, ``http-request-method``, ``query-string`` or
            ``source-ip``.
        values: The values; for ``query-string`` (key or "", value) pairs joined by ``=``.
        header: The header's name, for ``http-header``.
    """

    field: str
    values: tuple[str, ...]
    header: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions that must all hold (none: always) and what is done then."""

    id: str
    conditions: tuple[Condition, ...]
    action: Forward | FixedResponse | Redirect


@dataclass(frozen=True, slots=True)
class Listener:
    """A port and its rules in the order of evaluation; the last one is the default."""

    id: str
    port: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """All that one HAProxy process does."""

    address: str
    idle_timeout_s: int
    listeners: tuple[Listener, ...]
    groups: tuple[Group, ...]


def weight_slots(action: Forward) -> tuple[tuple[str, str], ...]:
    """Return the (slot range, group id) entries of a forward action's map; none if no group has a weight.

    A single target group gets everything, whatever its weight. With all weights zero nothing can be chosen, and the
    request ends as if there were no targets (503).
    """
    weights = list(action.weights)
    if len(weights) == 1:
        weights = [(weights[0][0], 1)]
    return _slots(weights)


def target_slots(group: Group) -> tuple[tuple[str, str], ...]:
    """Return the (slot range, server) entries of a target group's map: its enabled targets share the slots evenly."""
    return _slots([(target.name, 1) for target in group.targets if target.enabled])


def _slots(weights: Sequence[tuple[str, int]]) -> tuple[tuple[str, str], ...]:
    total = sum(weight for _, weight in weights)
    if total <= 0:
        return ()
    ends = [round(WEIGHT_SLOTS * end / total) for end in accumulate(weight for _, weight in weights)]
    starts = [0, *ends[:-1]]
    return tuple(
        (f"{start}:{end - 1}", owner)
        for (owner, _), start, end in zip(weights, starts, ends, strict=True)
        if end > start
    )


def maps(balancer: LoadBalancer) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return every map by its file name: who owns which slots. These change while requests flow."""
    found = {
        map_file(rule): weight_slots(rule.action)
        for listener in balancer.listeners
        for rule in listener.rules
        if isinstance(rule.action, Forward)
    }
    return found | {f"{group.id}.map": target_slots(group) for group in balancer.groups}


def map_file(rule: Rule) -> str:
    """Return the name of the file that holds a forward rule's slots, relative to HAProxy's folder."""
    return f"{rule.id}.map"


def body_file(rule: Rule) -> str:
    """Return the name of the file that holds a fixed response's body, relative to HAProxy's folder."""
    return f"{rule.id}.body"


def files(balancer: LoadBalancer) -> dict[str, str]:
    """Return every file that the configuration refers to: maps, bodies and error pages by name."""
    found = {f"{status}.http": _error_page(status) for status in _STATUS_TEXTS}
    for name, slots in maps(balancer).items():
        found[name] = "".join(f"{slot} {owner}\n" for slot, owner in slots)
    for listener in balancer.listeners:
        for rule in listener.rules:
            if isinstance(rule.action, FixedResponse):
                found[body_file(rule)] = rule.action.body
    return found


def structure(balancer: LoadBalancer) -> str:
    """Return the configuration without targets: what two descriptions share that need no reload between them.

    Bodies of fixed responses are read when HAProxy starts, so they belong to the structure too.
    """
    bodies = [
        f"# {rule.id} {rule.action.body!r}"
        for listener in balancer.listeners
        for rule in listener.rules
        if isinstance(rule.action, FixedResponse)
    ]
    return "\n".join([render(balancer, with_targets=False), *bodies])


def render(balancer: LoadBalancer, *, with_targets: bool = True) -> str:
    """Return the whole configuration. File names in it are relative to the folder that HAProxy runs in."""
    sections = [_global(balancer), _defaults(balancer)]
    sections += [_frontend(balancer, listener) for listener in balancer.listeners]
    sections += [_backend(group, with_targets) for group in balancer.groups]
    sections.append(_broken_off())
    return "\n\n".join("\n    ".join(section) for section in sections) + "\n"


def _global(balancer: LoadBalancer) -> list[str]:
    return [
        "global",
        "log stdout len 512 format raw local0",
        "stats socket unix@admin.sock mode 600 level admin expose-fd listeners",
        "stats timeout 1m",
        # One thread: several drop log lines when they wait too long for each other, and metrics must be exact.
        "nbthread 1",
        # Connections are limited by the open-files limit it was started with; this only caps an unlimited one.
        "fd-hard-limit 40000",
        f"tune.bufsize {_BUFFER_BYTES}",
        # After a reload the old process lives until its last request is done, and no longer than this.
        f"hard-stop-after {balancer.idle_timeout_s + 60}s",
    ]


def _defaults(balancer: LoadBalancer) -> list[str]:
    idle = f"{balancer.idle_timeout_s}s"
    return [
        "defaults",
        "mode http",
        "log global",
        f'log-format "{LOG_FORMAT}"',
        "option dontlognull",
        # After a reload, idle client connections get one more answer before they are closed: no request meets a reset.
        "option idle-close-on-response",
        "option http-no-delay",
        "http-reuse always",
        # For a reused connection that the target closed; see the target groups' sections. A refused connection is the
        # client's 502 at once, as with a load balancer of AWS.
        "retries 1",
        "retry-on empty-response",
        "option redispatch 1",
        f"timeout connect {_CONNECT_TIMEOUT_S}s",
        f"timeout client {idle}",
        f"timeout http-request {idle}",
        f"timeout http-keep-alive {idle}",
        f"timeout server {idle}",
        f"timeout tunnel {idle}",
        "timeout queue 1s",
        "errorfile 400 400.http",
        "errorfile 408 408.http",
        "errorfile 502 502.http",
        # HAProxy says 503 when it can't connect; a load balancer of AWS says 502. (No targets at all is answered
        # before a connection is tried.)
        "errorfile 503 502.http",
        "errorfile 504 504.http",
    ]


def _frontend(balancer: LoadBalancer, listener: Listener) -> list[str]:
    lines = [
        f"frontend {listener.id}",
        f"bind {balancer.address}:{listener.port}",
        "http-request set-var(txn.act) str(-)",
        "http-request set-var(txn.began) date(0,ms)",
        # HAProxy has one answer for a refused connection and for one that nobody took in time: only the time tells.
        'http-after-response set-status 504 reason "Gateway Time-out" if { status 502 } '
        f"!{{ var(txn.answered) -m found }} {{ date(0,ms),sub(txn.began) ge {_CONNECT_TIMEOUT_S * 1000 - 100} }}",
        'http-request set-header X-Forwarded-For "%[req.fhdr(x-forwarded-for)], %[src]" '
        "if { req.fhdr(x-forwarded-for) -m found }",
        "http-request set-header X-Forwarded-For %[src] if !{ req.fhdr(x-forwarded-for) -m found }",
    ]
    for index, rule in enumerate(listener.rules):
        lines.append(f"# rule {rule.id}")
        lines += _rule(listener, index, rule)
    lines += [
        "http-request set-var(txn.act) str(none) if !{ var(txn.group) -m found }",
        _return_503("!{ var(txn.group) -m found }"),
        *_forwarded_headers(listener),
        "use_backend %[var(txn.group)]",
    ]
    return lines


def _rule(listener: Listener, index: int, rule: Rule) -> list[str]:
    """Set the number of the first rule that matches, and act on it."""
    lines = []
    tests = []
    for number, condition in enumerate(rule.conditions):
        name = f"{listener.id}_{index}_{number}"
        lines += [f"acl {name} {test}" for test in condition_tests(condition)]
        tests.append(name)
    unmatched = [] if index == 0 else ["!{ var(txn.rule) -m found }"]
    when = f" if {' '.join([*unmatched, *tests])}" if unmatched or tests else ""
    lines.append(f"http-request set-var(txn.rule) int({index}){when}")
    chosen = f"if {{ var(txn.rule) -m int {index} }}"
    action = rule.action
    if isinstance(action, Forward):
        slot = f"rand({WEIGHT_SLOTS}),map_int({map_file(rule)})"
        lines.append(f"http-request set-var(txn.group) {slot} {chosen}")
    elif isinstance(action, FixedResponse):
        lines.append(f"http-request set-var(txn.act) str(fixed) {chosen}")
        content = f" content-type {_quoted(action.content_type)} file {body_file(rule)}" if action.body else ""
        lines.append(f"http-request return status {action.status}{content} {chosen}")
    else:
        lines.append(f"http-request set-var(txn.act) str(redirect) {chosen}")
        lines.append(f"http-request return status {action.status} hdr Location {_location(action, listener)} {chosen}")
    return lines


def condition_tests(condition: Condition) -> list[str]:
    """Return the tests of one condition; the condition holds if any of them does.

    Raises:
        ConfigurationError: The field is not known.
    """
    values = condition.values
    match condition.field:
        case "path-pattern":
            return [f"path -m reg {_quoted(_wildcards(value))}" for value in values]
        case "host-header":
            return [f"req.hdr(host),field(1,:) -m reg -i {_quoted(_wildcards(value))}" for value in values]
        case "http-header":
            return [f"req.fhdr({_token(condition.header)}) -m reg -i {_quoted(_wildcards(value))}" for value in values]
        case "http-request-method":
            return [f"method -m str {_token(value)}" for value in values]
        case "query-string":
            return [f"query -m reg -i {_quoted(_query_pattern(value))}" for value in values]
        case "source-ip":
            return [f"src {_token(value)}" for value in values]
        case other:
            raise ConfigurationError(f"a rule condition on {other} is not done by the embedded AWS")


def _wildcards(pattern: str, any_character: str = ".") -> str:
    translated = "".join(
        f"{any_character}*" if character == "*" else any_character if character == "?" else re.escape(character)
        for character in pattern
    )
    return f"^{translated}$" if any_character == "." else translated


def _query_pattern(pair: str) -> str:
    """Return what finds one parameter anywhere in the query; without a key the value may be any parameter's."""
    key, _, value = pair.partition("=")
    name = f"{_wildcards(key, '[^&=]')}=" if key else "([^&=]*=)?"
    return f"(^|&){name}{_wildcards(value, '[^&]')}(&|$)"


def _location(action: Redirect, listener: Listener) -> str:
    parts = {
        "#{protocol}": "http",
        "#{host}": "%[req.hdr(host),field(1,:)]",
        "#{port}": str(listener.port),
        "#{path}": "%[path,regsub(^/,)]",
        "#{query}": "%[query]",
    }
    text = f"{action.protocol.lower()}://{action.host}:{action.port}{action.path}"
    if action.query:
        text += f"?{action.query}"
    literal = text.replace("%", "%%")
    for placeholder, expression in parts.items():
        literal = literal.replace(placeholder, expression)
    return '"' + literal.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _forwarded_headers(listener: Listener) -> list[str]:
    root = "Root=1-%[var(txn.time)]-%[var(txn.id),field(5,-)]%[var(txn.id),field(1,-)]%[var(txn.id),field(2,-)]"
    return [
        "http-request set-header X-Forwarded-Proto http",
        f"http-request set-header X-Forwarded-Port {listener.port}",
        "http-request set-var(txn.id) uuid",
        "http-request set-var-fmt(txn.time) %{+X}Ts",
        f'http-request set-header X-Amzn-Trace-Id "{root.replace("Root=", "Self=")};%[req.fhdr(x-amzn-trace-id)]" '
        "if { req.fhdr(x-amzn-trace-id) -m sub Root= } !{ req.fhdr(x-amzn-trace-id) -m sub Self= }",
        f"http-request set-header X-Amzn-Trace-Id {root} if !{{ req.fhdr(x-amzn-trace-id) -m found }}",
    ]


def _backend(group: Group, with_targets: bool) -> list[str]:
    """Return a target group: its targets are chosen by the map alone, so they have no weight for HAProxy.

    When a target closes a *reused* connection without an answer, HAProxy by itself ends the request silently, without
    a log line, so that the client may try again; a load balancer of AWS answers 502. So such a request is tried again
    here, and the only server that HAProxy may choose by itself is one that answers 502. No request reaches a target
    twice. (A request that doesn't fit into a buffer can't be tried again and is ended silently all the same.)
    """
    lines = [
        f"backend {group.id}",
        "balance roundrobin",
        "stick-table type integer size 1 store gpc0",
        "http-request track-sc0 int(1)",
        f"http-request set-var(txn.server) {group.algorithm},map_int({group.id}.map)",
        "http-request set-var(txn.act) str(empty) if !{ var(txn.server) -m found }",
        _return_503("!{ var(txn.server) -m found }"),
        "http-response set-var(txn.answered) bool(true)",
        *(_own_answers() if group.is_function else ()),
        "use-server %[var(txn.server)] if TRUE",
        f"server {BROKEN_OFF} unix@{BROKEN_OFF}.sock",
    ]
    if with_targets:
        lines += [
            f"server {target.name} {target.host}:{target.port} weight 0{'' if target.enabled else ' disabled'}"
            for target in group.targets
        ]
    return lines


def _own_answers() -> list[str]:
    """Log a function's failure as the load balancer's own answer, and keep the mark from the client."""
    return [
        f"http-response set-var(txn.act) str({FUNCTION_FAILED}) if {{ res.hdr({OWN_ANSWER}) -m found }}",
        f"http-response del-header {OWN_ANSWER}",
    ]


def _broken_off() -> list[str]:
    return [
        f"frontend {BROKEN_OFF}",
        f"bind unix@{BROKEN_OFF}.sock mode 600",
        "http-request set-log-level silent",
        "http-request return status 502 errorfile 502.http",
    ]


def _return_503(condition: str) -> str:
    return f"http-request return status 503 errorfile 503.http if {condition}"


def _error_page(status: int) -> str:
    text = _STATUS_TEXTS[status]
    body = (
        f"<html>\r\n<head><title>{text}</title></head>\r\n<body>\r\n<center><h1>{text}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    return (
        f"HTTP/1.1 {text}\r\nServer: awselb/2.0\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
        f"Connection: keep-alive\r\n\r\n{body}"
    )


def _quoted(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ConfigurationError(f"a rule has a control character in {text!r}; write it without")
    return "'" + text.replace("'", "'\\''") + "'"


def _token(text: str) -> str:
    """Return a word that stands unquoted in an expression: header names, methods, addresses."""
    if not re.fullmatch(r"[A-Za-z0-9_.:/!#$&+^`|~-]+", text) or "#" in text:
        raise ConfigurationError(f"{text!r} can't be a header name, method or address block in a rule")
    return text
