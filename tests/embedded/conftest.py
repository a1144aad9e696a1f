"""Every story must leave no process behind."""

from __future__ import annotations

import time

import pytest

from tests.embedded.harness import embedded_processes


@pytest.fixture(autouse=True)
def nothing_left_running():
    """Fail a story that leaves a process of an embedded AWS running."""
    before = embedded_processes()
    yield
    until = time.monotonic() + 20
    while (left := embedded_processes() - before) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left
