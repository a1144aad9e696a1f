"""boto3 clients of the embedded AWS itself: its parts call each other as any customer would."""

from __future__ import annotations

import threading
from typing import Any

import boto3
from botocore.config import Config

OWN_ACCESS_KEY = "embedded-aws-itself"
"""Tells the calls of the embedded AWS's own parts from those of its customers."""


class Clients:
    """boto3 clients against one endpoint, made once per service.

    Args:
        endpoint: Address of the embedded AWS, such as ``http://localhost:4566``.
        region: The region that it answers for.
    """

    def __init__(self, endpoint: str, region: str) -> None:
        self.endpoint = endpoint
        self.region = region
        self._session = boto3.session.Session(
            aws_access_key_id=OWN_ACCESS_KEY, aws_secret_access_key="embedded", region_name=region
        )
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()  # clients are safe to share between threads, making them is not

    def __call__(self, service: str) -> Any:
        """Return the client of a service, as boto3 names it."""
        with self._lock:
            client = self._clients.get(service)
            if client is None:
                # On loopback nothing is throttled, so a retry would only hide or delay the first error.
                config = Config(
                    retries={"total_max_attempts": 1},
                    max_pool_connections=64,
                    connect_timeout=5,
                    read_timeout=120,
                    s3={"addressing_style": "path"},
                )
                client = self._session.client(service, endpoint_url=self.endpoint, config=config)
                self._clients[service] = client
            return client
