"""The service whose latency is known exactly, and what a client that arrives on time really waits for it."""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import subprocess
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.local_fleet import SERVER_CORE, process
from readiness.embedded.processes import free_port, own_loopback_address

FOLDER = Path(__file__).parent
_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Kind:
    """A service.

    Attributes:
        median_ms: Of the log-normal time that each request takes.
        sigma: Of that time's logarithm.
        stalls: Whether it stands still for 500 ms every 5 s.
    """

    name: str
    median_ms: float
    sigma: float
    stalls: bool


KINDS = (Kind("log-normal", 8.0, 0.6, stalls=False), Kind("stalling", 5.0, 0.0, stalls=True))


def compiled(source: Path, folder: Path) -> Path:
    """Return a C program, compiled into *folder*.

    Raises:
        RuntimeError: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise RuntimeError("there is no C compiler (cc, gcc or clang) on the PATH")
    program = folder / source.stem
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), str(source), "-lm"], check=True)
    return program


@dataclass
class Served:
    """One life of the service.

    Attributes:
        url: Where it listens.
        pairs: Once it has ended: when each request was read and when it was answered, ns.
        stalls: Once it has ended: from when to when it stood still, ns.
    """

    kind: Kind
    host: str
    port: int
    pairs: Sequence[tuple[int, int]] = ()
    stalls: Sequence[tuple[int, int]] = ()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}"

    def truth_ms(self, rate_per_s: float, seconds: float) -> list[float]:
        """Return, sorted, what clients waited who arrived evenly at this rate, however long others waited.

        The server's own figures say what each request took that it has read. While it stands still it reads nothing:
        there, clients wait from the instant at which they are due to the answer, and as all take equally long, the
        first answer is the first client's, and so on. A closed generator sends fewer requests than are due; then the
        waits follow from the schedule alone: who comes while the service stands still is answered its usual time after
        the end, whose answer was due meanwhile gets it at the end.
        """
        if not self.kind.stalls:
            return sorted((answered - read) / 1e6 for read, answered in self.pairs)
        took, number, apart_ns = self.kind.median_ms * 1e6, int(rate_per_s * seconds), _SECOND_NS / rate_per_s
        # When the schedule began: no request can be read before it is due, and some are read at once.
        begun = min(read - index * apart_ns for index, read in enumerate(sorted(read for read, _ in self.pairs)))
        due = [begun + index * apart_ns for index in range(number)]
        if abs(len(self.pairs) - number) <= 1:
            answered = sorted(answered for _, answered in self.pairs)
            return sorted((end - start) / 1e6 for start, end in zip(due, answered, strict=False))
        return sorted(self._wait_ns(start, took) / 1e6 for start in due)

    def _wait_ns(self, due: float, took: float) -> float:
        for begun, ended in self.stalls:
            if begun <= due < ended:
                return ended + took - due
            if begun <= due + took < ended:
                return ended - due
        return took


def at_percentile(sorted_values: Sequence[float], percent: float) -> float:
    """Return the value of a percentile's nearest rank."""
    return sorted_values[math.ceil(round(percent / 100 * len(sorted_values), 6)) - 1]


@contextlib.contextmanager
def serving(program: Path, kind: Kind, seed: int) -> Iterator[Served]:
    """Run the service on its core; its figures are there when it has ended."""
    host = own_loopback_address()
    served = Served(kind, host, free_port(host))
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        argv = [str(program), host, str(served.port), str(record), str(seed)]
        argv += [str(kind.median_ms), str(kind.sigma), str(int(kind.stalls))]
        with process(argv, SERVER_CORE, stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            if running.stdout.readline() != "listening\n":
                raise RuntimeError("the latency server did not start")
            yield served
            running.send_signal(signal.SIGTERM)
            if running.wait(10) != 0:
                raise RuntimeError(f"the latency server ended with exit code {running.returncode}")
        numbers = array("q", record.read_bytes())
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    served.pairs = [pair for pair in pairs if pair[0] > 0]
    served.stalls = [(-begun, ended) for begun, ended in pairs if begun < 0]
