"""A locustfile for Locust as shipped: its fastest client, no waiting between requests."""

from __future__ import annotations

from locust import FastHttpUser, constant_throughput, task


class Visitor(FastHttpUser):
    """Asks for the root again and again."""

    @task
    def root(self) -> None:
        """Ask once."""
        self.client.get("/")


class PacedVisitor(Visitor):
    """Asks ten times a second, as far as the answers let it."""

    wait_time = constant_throughput(10)
