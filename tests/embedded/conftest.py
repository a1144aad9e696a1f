"""Every story must leave no process behind."""

from __future__ import annotations

import psutil
import pytest

from tests.embedded import harness


@pytest.fixture(autouse=True)
def nothing_left_running():
    """Fail a story that leaves a process running: a child of the tests, or one of an embedded AWS of its runs."""
    children = set(psutil.Process().children(recursive=True))
    ids = harness.embedded_ids()
    yield

    def left():
        return (set(psutil.Process().children(recursive=True)) - children) | {
            process for each in harness.embedded_ids() - ids for process in harness.processes_of(each)
        }

    harness.wait_until(lambda: not left(), "the end of every process of the story", within_s=20)
