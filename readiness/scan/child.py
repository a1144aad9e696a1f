"""The two ends of a scanner in a process of its own: it reads an order on stdin and writes its run to stdout.

Scanners take seconds to import, print what they like and may crash or hang; none of that reaches the harness.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

import readiness
from readiness import shell
from readiness.errors import ToolError
from readiness.model import record
from readiness.scan.observed import ScannerRun


@record
class Order:
    """What a scanner is asked to look at.

    Attributes:
        templates: Name -> absolute path.
        region: Where the stack would stand.
        graph_checks: Folders of graph checks beside our own; absolute.
    """

    templates: dict[str, str]
    region: str
    graph_checks: tuple[str, ...] = ()


_COLLECT_SELDOM = (200_000, 50, 100)
"""A scanner makes many objects, keeps them and ends: looking for garbage takes a tenth of its time and finds little."""

_ORDER = TypeAdapter(Order)
_RUN = TypeAdapter(ScannerRun)


def ask(scanner: str, module: str, order: Order, deadline_s: float) -> ScannerRun:
    """Run a scanner on *order* and return what it said; a scanner that fails says so in ``errors``.

    It runs in an empty folder that is also its home, so that no configuration file of a user, of a repository or of a
    machine can switch a rule off.

    Args:
        scanner: Its name.
        module: The module that scans when it is run.
        order: What to look at.
        deadline_s: Seconds after which it is killed.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="readiness-scan-") as empty:
        search = [str(Path(readiness.__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BC_", "CKV_", "CHECKOV_", "CFN_"))
        } | {"PYTHONPATH": os.pathsep.join(filter(None, search)), "HOME": empty, "LOG_LEVEL": "ERROR", "TMPDIR": empty}
        argv = [sys.executable, "-m", module]
        try:
            done = shell.run(argv, deadline_s=deadline_s, cwd=Path(empty), env=env, stdin=_ORDER.dump_json(order))
            return _RUN.validate_json(done.stdout)
        except ToolError as error:
            why = str(error)
        except ValidationError as error:
            why = f"said something unreadable: {error.errors(include_url=False)[0]['msg']}"
    return ScannerRun(scanner=scanner, errors=(why,), seconds=time.monotonic() - started)


def answer(scanner: str, scan: Callable[[Order], ScannerRun]) -> None:
    """Be the scanner's process: read the order, scan, write the run. What else is printed goes to stderr."""
    gc.set_threshold(*_COLLECT_SELDOM)
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        run = scan(_ORDER.validate_json(sys.stdin.buffer.read()))
    except Exception:  # noqa: BLE001 - whatever a scanner raises is its answer: it could not look
        run = ScannerRun(scanner=scanner, errors=(f"crashed:\n{traceback.format_exc(limit=-8)}",))
    with os.fdopen(stdout, "wb") as pipe:
        pipe.write(_RUN.dump_json(run))
