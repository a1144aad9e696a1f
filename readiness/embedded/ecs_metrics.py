"""CPUUtilization and MemoryUtilization of services, from what their processes really use.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html: percent of the CPU and memory that
the service's tasks reserve, dimensions ClusterName and ServiceName. Nothing limits a process to what its task
reserves, so more than 100 % can be seen.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from readiness.embedded.metrics import Datum
from readiness.embedded.service import Service
from readiness.embedded.task import Task

NAMESPACE = "AWS/ECS"
_CPU_UNITS = 1024.0
_MIB = 1024.0 * 1024.0


def cpu_units(text: Any) -> float:
    """Return a task's CPU in units of 1/1024 vCPU, from ``256`` or ``.25 vCPU``; 0 if there is none."""
    found = re.fullmatch(r"\s*(\d*\.?\d+)\s*(vcpu)?\s*", str(text or ""), re.IGNORECASE)
    if not found:
        return 0.0
    return float(found[1]) * (_CPU_UNITS if found[2] else 1.0)


def memory_mib(text: Any) -> float:
    """Return a task's memory in MiB, from ``512`` or ``1 GB``; 0 if there is none."""
    found = re.fullmatch(r"\s*(\d*\.?\d+)\s*(gb)?\s*", str(text or ""), re.IGNORECASE)
    if not found:
        return 0.0
    return float(found[1]) * (1024.0 if found[2] else 1.0)


class EcsMetrics:
    """Measures services from one call to the next."""

    def __init__(self) -> None:
        self._cpu_seconds: dict[int, float] = {}
        self._measured_at: dict[str, float] = {}

    def measure(self, services: Iterable[Service], now: float) -> list[Datum]:
        """Return the utilization of each service's tasks since the call before; none on a task's first call."""
        data: list[Datum] = []
        alive: set[int] = set()
        for service in services:
            cpu: list[float] = []
            memory: list[float] = []
            for task, _ in list(service.tasks.values()):
                if task.running:
                    self._measure_task(task, now, cpu, memory, alive)
            dimensions = (("ClusterName", service.cluster_arn.rsplit("/", 1)[1]), ("ServiceName", service.name))
            for name, values in (("CPUUtilization", cpu), ("MemoryUtilization", memory)):
                if values:
                    counts = (1.0,) * len(values)
                    data.append(Datum(NAMESPACE, name, dimensions, now, "Percent", tuple(values), counts))
        self._cpu_seconds = {pid: seconds for pid, seconds in self._cpu_seconds.items() if pid in alive}
        return data

    def _measure_task(self, task: Task, now: float, cpu: list[float], memory: list[float], alive: set[int]) -> None:
        used_s, used_bytes, before_s = 0.0, 0.0, 0.0
        for process in _processes(task):
            with contextlib.suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                seconds = times.user + times.system
                used_bytes += process.memory_info().rss
                alive.add(process.pid)
                used_s += seconds
                before_s += self._cpu_seconds.get(process.pid, 0.0)
                self._cpu_seconds[process.pid] = seconds
        definition: Mapping[str, Any] = {**task.request.definition, **task.request.overrides}
        elapsed_s = now - self._measured_at.get(task.id, now)
        self._measured_at[task.id] = now
        if (units := cpu_units(definition.get("cpu"))) and elapsed_s > 0:
            cpu.append(max(0.0, used_s - before_s) / elapsed_s / (units / _CPU_UNITS) * 100)
        if mib := memory_mib(definition.get("memory")):
            memory.append(used_bytes / _MIB / mib * 100)


def _processes(task: Task) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for container in task.containers:
        if container.process is not None and container.exit_code is None:
            with contextlib.suppress(psutil.Error):
                leader = psutil.Process(container.process.pid)
                found += [leader, *leader.children(recursive=True)]
    return found
