"""Controls of `readiness verify`: evidence that was changed after the fact, and records that were forged."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from readiness import evidence
from readiness.errors import EvidenceError
from readiness.evidence import BundleWriter
from readiness.model import ControlShown
from readiness.verify import verify


def controls(bundle: Path) -> Iterator[ControlShown]:
    """Yield what a verification makes of each change to a copy of a bundle that verifies."""
    for name, plants, change in _CHANGES:
        with tempfile.TemporaryDirectory(prefix="selftest-") as folder:
            copy = Path(folder) / "bundle"
            shutil.copytree(bundle, copy)
            change(copy)
            yield _verified(name, plants, copy)


def _verified(name: str, plants: str, bundle: Path) -> ControlShown:
    try:
        verify(bundle)
    except EvidenceError as error:
        said = error.message.replace(str(bundle), "the bundle")
        return ControlShown(id=f"verify/{name}", plants=plants, came_to="refused", said=said)
    return ControlShown(id=f"verify/{name}", plants=plants, came_to="passed", said="")


def _change_a_byte(bundle: Path) -> None:
    file = bundle / evidence.PLAN
    file.write_bytes(file.read_bytes() + b" ")


def _remove_a_file(bundle: Path) -> None:
    next(iter(sorted((bundle / "observations").glob("*.json")))).unlink()


def _add_a_file(bundle: Path) -> None:
    (bundle / "artifacts").mkdir(exist_ok=True)
    (bundle / "artifacts" / "planted.txt").write_text("planted by the selftest")


def _forge(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a change after which the manifest is written anew, as whoever forges a bundle would."""

    def forged(bundle: Path) -> None:
        change(bundle)
        BundleWriter(bundle).seal()

    return forged


def _forge_the_verdict(bundle: Path) -> None:
    record = json.loads((bundle / evidence.RECORD).read_text())
    record |= {"verdict": "GO" if record["verdict"] == "NO-GO" else "NO-GO", "reasons": []}
    (bundle / evidence.RECORD).write_text(json.dumps(record))


def _forge_a_measurement(bundle: Path) -> None:
    record = json.loads((bundle / evidence.RECORD).read_text())
    judged = [each["judgement"]["measurements"] for each in record["results"] if each["judgement"]["measurements"]]
    judged[0][0]["value"] += 1
    (bundle / evidence.RECORD).write_text(json.dumps(record))


def _loosen_the_plan(bundle: Path) -> None:
    file = bundle / evidence.PLAN
    file.write_text(file.read_text() + "\n# a threshold was moved after the result was known\n")


def _waive_afterwards(bundle: Path) -> None:
    file = bundle / evidence.WAIVERS
    file.write_text(file.read_text() + "\n# an entry was added after the result was known\n")


_CHANGES: tuple[tuple[str, str, Callable[[Path], None]], ...] = (
    ("changed-byte", "one byte of the evidence was changed", _change_a_byte),
    ("removed-file", "an observation was removed", _remove_a_file),
    ("added-file", "a file was added", _add_a_file),
    ("forged-verdict", "the verdict was rewritten, and the manifest with it", _forge(_forge_the_verdict)),
    ("forged-measurement", "a figure was rewritten, and the manifest with it", _forge(_forge_a_measurement)),
    ("moved-threshold", "the plan was changed afterwards, and the manifest with it", _forge(_loosen_the_plan)),
    ("late-waiver", "the register was changed afterwards, and the manifest with it", _forge(_waive_afterwards)),
)
