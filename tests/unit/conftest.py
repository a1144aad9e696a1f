"""Unit tests meet no network and nobody's credentials."""

from __future__ import annotations

import ipaddress
import socket

import pytest

_REAL_CONNECT = socket.socket.connect


def _connect_on_loopback(self: socket.socket, address: object) -> None:
    host = address[0] if isinstance(address, tuple) else None
    if host not in (None, "localhost") and not ipaddress.ip_address(host).is_loopback:
        raise AssertionError(f"a unit test reached out to {address}")
    _REAL_CONNECT(self, address)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Refuse connections to anywhere but this machine, and hide the AWS settings of whoever runs the tests."""
    monkeypatch.setattr(socket.socket, "connect", _connect_on_loopback)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
