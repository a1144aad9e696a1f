"""A port that the whole internet may reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import render, tables

_WIDEST_PREFIX = 7
"""A network with a shorter or equal prefix is the internet in parts (0.0.0.0/1 and 128.0.0.0/1)."""

_PUBLIC_PORTS = (80, 443)


def _rules(part: Part) -> list[Mapping[str, Any]]:
    return tables(part.properties.get("SecurityGroupIngress")) or [part.properties]


def _is_internet(cidr: str) -> bool:
    _, slash, prefix = cidr.partition("/")
    return bool(slash) and prefix.isdigit() and int(prefix) <= _WIDEST_PREFIX


def _ports(rule: Mapping[str, Any]) -> str | None:
    """Return which ports a rule opens in words, or None if they are the public ones of a website."""
    protocol = str(rule.get("IpProtocol", "-1")).lower()
    first, last = rule.get("FromPort"), rule.get("ToPort", rule.get("FromPort"))
    if protocol in ("-1", "all") or first is None or str(first) == "-1":
        return f"every port of {'every protocol' if protocol in ('-1', 'all') else protocol}"
    if str(first) == str(last) and str(first) in map(str, _PUBLIC_PORTS) and protocol in ("tcp", "6", "udp", "17"):
        return None
    return f"{protocol} {first}" if str(first) == str(last) else f"{protocol} {first}-{last}"


def faults(part: Part) -> Iterator[str]:
    """Yield each rule that lets the internet, IPv4 or IPv6, reach anything but 80 or 443 alone."""
    for rule in _rules(part):
        for key in ("CidrIp", "CidrIpv6"):
            source = render(rule.get(key, ""), part.template)
            ports = _ports(rule) if _is_internet(source) else None
            if ports is not None:
                yield f"{source} may reach {ports}"


CHECK = OwnCheck(
    id="open-ingress",
    claim="The internet reaches no port but 80 and 443",
    severity=Severity.CRITICAL,
    family=ControlFamily.NETWORK,
    looks_at=("AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress"),
    faults=faults,
    why="Whoever scans the internet finds the port within the hour.",
    mend="Allow from a security group: connections.allow_from(other, ec2.Port.tcp(...)); listeners: open=False.",
    link="https://docs.aws.amazon.com/securityhub/latest/userguide/ec2-controls.html#ec2-18",
    same_fault=("checkov/CKV_AWS_24", "checkov/CKV_AWS_25"),
)
