"""Files of the user's that a workload names: what the harness saw of them is what the fleet must have, byte for byte.

They lie below the repository's ``workload`` folder, which is copied into the fleet's image. The order carries digests
only: an environment variable has no room for bodies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from readiness.errors import ReadinessError
from readiness.loadgen.order import Order
from readiness.model import LocustfileArrivals, Scenario, Workload

FOLDER = "workload"
"""Below the repository, and below the fleet's working directory."""


def contents(repository: Path, workload: Workload) -> dict[str, bytes]:
    """Return the files that a workload needs: those it names and, with a locustfile, every module that it may import.

    Raises:
        ReadinessError: one is missing or cannot be read.
    """
    folder = repository / FOLDER
    needed = {scenario.body_file for scenario in workload.scenarios if scenario.body_file is not None}
    if isinstance(workload.arrivals, LocustfileArrivals):
        needed.add(workload.arrivals.file)
        needed.update(module.relative_to(folder).as_posix() for module in folder.rglob("*.py"))
    return {path: _read(folder, path) for path in sorted(needed)}


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return each file's SHA-256, as the order carries it."""
    return {path: _digest(data) for path, data in files.items()}


def read(path: str, expected: Mapping[str, str], folder: Path = Path(FOLDER)) -> bytes:
    """Return a file of the fleet's own copy.

    Args:
        path: Below *folder*.
        expected: Path -> digest that the harness saw.
        folder: Where the fleet has its copies.

    Raises:
        ReadinessError: it is missing, or another than the harness saw.
    """
    data = _read(folder, path)
    if _digest(data) != expected.get(path):
        raise ReadinessError(
            f"{folder / path} of the fleet is not the file that the harness has.",
            hint="Deploy the stack again, so that the fleet's image holds the present files.",
        )
    return data


def complete(order: Order, folder: Path = Path(FOLDER)) -> Order:
    """Return an order whose scenarios have their bodies in them, after every file of it was found to be the right one.

    Raises:
        ReadinessError: a file is missing, or another than the harness saw.
    """
    found = {path: read(path, order.files, folder) for path in order.files}
    return replace(order, workload=inlined(order.workload, found))


def inlined(workload: Workload, files: Mapping[str, bytes]) -> Workload:
    """Return a workload whose scenarios have the text of their body file as body.

    Raises:
        ReadinessError: a file is not among *files*, or no UTF-8 text.
    """
    return replace(workload, scenarios=tuple(_with_body(scenario, files) for scenario in workload.scenarios))


def _with_body(scenario: Scenario, files: Mapping[str, bytes]) -> Scenario:
    path = scenario.body_file
    if path is None:
        return scenario
    if path not in files:
        raise ReadinessError(f"Scenario {scenario.name!r}: the order says nothing of its body file {path}.")
    try:
        return replace(scenario, body=files[path].decode("utf-8"), body_file=None)
    except UnicodeDecodeError as error:
        raise ReadinessError(f"Scenario {scenario.name!r}: body file {path} is no UTF-8 text: {error}") from None


def _read(folder: Path, path: str) -> bytes:
    try:
        return (folder / path).read_bytes()
    except OSError as error:
        raise ReadinessError(
            f"The workload needs {folder / path}, which cannot be read: {error.strerror}.",
            hint=f"Files that a plan names belong into the repository's {FOLDER} folder.",
        ) from None


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
