"""What a check of our own is: one fault that no stock scanner sees, one file in ``readiness/scan/checks/``.

To add one, copy a file of that folder: it holds one ``CHECK``. ``readiness.scan.checkov`` registers every one of them
with checkov, so that they run, count and are skipped like its own.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from readiness.errors import ReadinessError
from readiness.model import ControlFamily, Severity
from readiness.scan import checks
from readiness.scan.template import Part

SOURCE = "readiness"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCheck:
    """One fault, and how to see it.

    Attributes:
        id: Kebab-case form of the file's name.
        claim: What is true of a template without the fault, as one sentence.
        severity: How bad it is.
        family: The security control it belongs to.
        looks_at: Resource types, and ``Outputs`` or ``Parameters`` for those sections.
        faults: Yields one sentence for each fault in a part; nothing if there is none.
        why: Why it matters.
        mend: How to mend it, with the CDK property.
        link: Where it is documented.
        same_fault: Rules of other scanners that see (some forms of) the same fault; they are one finding.
    """

    id: str
    claim: str
    severity: Severity
    family: ControlFamily
    looks_at: tuple[str, ...]
    faults: Callable[[Part], Iterable[str]]
    why: str
    mend: str
    link: str = ""
    same_fault: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        """What findings call it."""
        return f"{SOURCE}/{self.id}"


def all_checks() -> tuple[OwnCheck, ...]:
    """Return every check of the folder, by id.

    Raises:
        ReadinessError: a file has no ``CHECK``, or one whose id is not the file's name.
    """
    found = []
    for module in pkgutil.iter_modules(checks.__path__):
        check = getattr(importlib.import_module(f"{checks.__name__}.{module.name}"), "CHECK", None)
        if not isinstance(check, OwnCheck) or check.id != module.name.replace("_", "-"):
            raise ReadinessError(
                f"readiness/scan/checks/{module.name}.py: has no CHECK with id {module.name.replace('_', '-')!r}.",
                hint="A file of that folder holds one check; its id is the file's name with hyphens.",
            )
        found.append(check)
    return tuple(sorted(found, key=lambda check: check.id))
