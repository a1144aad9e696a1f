from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from readiness.embedded import guard, processes
from readiness.embedded.processes import EMBEDDED_ID_VARIABLE, Spawner, SpawnError, await_exit, base_environment

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def eventually(condition: Callable[[], bool], deadline_s: float = 10.0) -> bool:
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    it = Spawner(str(uuid.uuid4()))
    it.start()
    yield it
    it.stop()
    assert guard.strays(it.embedded_id) == []


def test_a_child_gets_its_environment_and_the_identifier_and_nothing_else(
    spawner: Spawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "must stay here")
    child = spawner.spawn(["/usr/bin/env"], env={**base_environment(), "A": "1"}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    lines = child.stdout.read().decode().splitlines()
    assert await_exit(child) == 0
    names = {line.split("=", 1)[0] for line in lines}
    assert f"{EMBEDDED_ID_VARIABLE}={spawner.embedded_id}" in lines
    assert "A=1" in lines
    assert "AWS_SECRET_ACCESS_KEY" not in names


def test_a_program_that_is_not_there_is_an_error_with_its_name(spawner: Spawner) -> None:
    with pytest.raises(SpawnError, match="/no/such/program"):
        spawner.spawn(["/no/such/program"], env={})


def test_a_spawner_that_does_not_run_refuses() -> None:
    with pytest.raises(SpawnError, match="start"):
        Spawner("x").spawn(["/bin/true"], env={})


def test_a_child_outlives_the_thread_that_asked_for_it(spawner: Spawner) -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(spawner.spawn(SLEEPER, env=base_environment())))
    thread.start()
    thread.join()
    with pytest.raises(subprocess.TimeoutExpired):
        started[0].wait(0.3)


def test_exit_codes_are_a_containers(spawner: Spawner) -> None:
    assert await_exit(spawner.spawn(["/bin/sh", "-c", "exit 7"], env={})) == 7
    assert await_exit(spawner.spawn(["/bin/sh", "-c", "kill -9 $$"], env={})) == 137


def test_the_end_of_a_child_ends_its_group(spawner: Spawner) -> None:
    child = spawner.spawn(["/bin/sh", "-c", "sleep 60 & echo $!"], env=base_environment(), stdout=subprocess.PIPE)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    assert await_exit(child) == 0
    assert eventually(lambda: grandchild not in guard.strays(spawner.embedded_id))


def test_stop_leaves_nothing_not_even_what_ignores_sigterm_or_left_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOP_GRACE_S", 0.3)
    spawner = Spawner(str(uuid.uuid4()))
    spawner.start()
    spawner.spawn(SLEEPER, env=base_environment())
    stubborn = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    deaf = spawner.spawn([sys.executable, "-S", "-c", stubborn], env=base_environment(), stdout=subprocess.PIPE)
    assert deaf.stdout is not None
    deaf.stdout.readline()
    fled = spawner.spawn(["/bin/sh", "-c", "setsid sleep 60 & echo x"], env=base_environment(), stdout=subprocess.PIPE)
    assert fled.stdout is not None
    fled.stdout.readline()
    spawner.stop()
    assert guard.strays(spawner.embedded_id) == []


def test_kill_nine_of_the_parent_leaves_nothing() -> None:
    embedded_id = str(uuid.uuid4())
    program = textwrap.dedent(
        f"""
        import sys, time
        from readiness.embedded.processes import Spawner, base_environment
        spawner = Spawner({embedded_id!r}); spawner.start()
        spawner.spawn(["/bin/sh", "-c", "setsid sleep 60 & sleep 60"], env=base_environment())
        print("ready", flush=True); time.sleep(60)
        """
    )
    root = Path(processes.__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=root)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    assert eventually(lambda: len(guard.strays(embedded_id)) >= 3)  # guard, shell, at least one sleep
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert eventually(lambda: guard.strays(embedded_id) == [])


def test_addresses_are_distinct_loopback_and_never_localhost() -> None:
    addresses = [processes.own_loopback_address() for _ in range(200)]
    assert len(set(addresses)) == 200
    assert all(address.startswith("127.") and address != "127.0.0.1" for address in addresses)


def test_two_addresses_can_listen_on_the_same_port() -> None:
    first, second = processes.own_loopback_address(), processes.own_loopback_address()
    port = processes.free_port(first)
    with socket.socket() as a, socket.socket() as b:
        a.bind((first, port))
        b.bind((second, port))
        assert a.getsockname() != b.getsockname()
