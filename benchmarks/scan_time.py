"""How long all scanners take together, beside checkov's command line alone and beside each command line in turn.

Run: ``python -m benchmarks.scan_time [TEMPLATE]``, by default on this repository's own stack. Rounds alternate between
the three, and ratios are of medians: what else the machine does slows all of them. Peak memory is of the process tree.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from readiness import staging

ROUNDS = 5
GOAL = 1.2
BIN = Path(sys.executable).parent
_EVERY_S = 0.05


@dataclass
class Contestant:
    """A way to scan a template: commands that run one after the other.

    Attributes:
        seconds: Wall clock of each round.
        peak_mib: The most memory that the process tree held in any round.
    """

    name: str
    commands: Sequence[Sequence[str]]
    seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0

    def run(self, folder: Path) -> None:
        """Scan once. Exit codes tell of findings, and are not looked at."""
        started = time.monotonic()
        for command in self.commands:
            process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None:
                self.peak_mib = max(self.peak_mib, resident_mib(process.pid))
                time.sleep(_EVERY_S)
        self.seconds.append(time.monotonic() - started)


def resident_mib(pid: int) -> float:
    """Return how much memory a process and its children hold."""
    total = 0
    with suppress(psutil.Error):
        whole = psutil.Process(pid)
        for each in (whole, *whole.children(recursive=True)):
            with suppress(psutil.Error):
                total += each.memory_info().rss
    return total / 2**20


def contestants(template: Path) -> tuple[Contestant, ...]:
    """Return all of ours together, checkov's command line, and each command line in turn."""
    checkov = [str(BIN / "checkov"), "-f", str(template), "--framework", "cloudformation", "secrets", "--skip-download"]
    cfn_lint = [str(BIN / "cfn-lint"), "--regions", "eu-west-1", "--template", str(template)]
    return (
        Contestant("readiness scan", [[sys.executable, "-m", "readiness", "scan", str(template)]]),
        Contestant("checkov", [checkov]),
        Contestant("checkov, then cfn-lint", [checkov, cfn_lint]),
    )


def main() -> None:
    """Measure and print the ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if len(sys.argv) > 1:
            template = Path(sys.argv[1]).absolute()
        else:
            assembly = staging.synthesize(
                Path.cwd(), folder / "cdk.out", plan_file=Path("readiness.toml"), variables={}
            )
            (template,) = assembly.templates
        runners = contestants(template)
        for _ in range(ROUNDS):
            for each in runners:
                each.run(folder)
    ours, alone, _ = (statistics.median(each.seconds) for each in runners)
    for each in runners:
        median = statistics.median(each.seconds)
        spread = f"{min(each.seconds):.1f} to {max(each.seconds):.1f}"
        sys.stdout.write(
            f"{each.name:24} {median:6.1f} s ({spread})  {median / alone:.2f} x checkov  {each.peak_mib:5.0f} MiB\n"
        )
    met = "met" if ours <= GOAL * alone else "missed"
    sys.stdout.write(f"goal: readiness scan at most {GOAL} x checkov alone: {met} ({ours / alone:.2f})\n")


if __name__ == "__main__":
    main()
