"""The fleet's image is pinned by the repository's lock."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from fleet.pin import IMPORTED, LOCK, PINNED, pins, requirements
from tests.templates.conftest import REPOSITORY, Synthesized

LOADGEN = REPOSITORY / "readiness" / "loadgen"


def test_the_images_requirements_are_the_locks_own_word() -> None:
    assert PINNED.read_text(encoding="utf-8") == requirements(LOCK.read_text(encoding="utf-8")), (
        "run `.venv/bin/python fleet/pin.py`"
    )


def test_every_requirement_is_one_version_with_hashes() -> None:
    pinned = pins(PINNED.read_text(encoding="utf-8"))
    assert set(IMPORTED) <= set(pinned)
    for name, lines in pinned.items():
        assert "==" in lines, name
        assert "--hash=sha256:" in lines, name


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def _module_file(name: str) -> Path | None:
    path = REPOSITORY.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def test_all_that_the_load_generators_import_is_in_the_image() -> None:
    waiting = sorted(LOADGEN.glob("*.py"))
    assert waiting
    seen: set[Path] = set()
    foreign: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in _imports(path):
            if name.split(".")[0] == "readiness":
                waiting += [found for found in [_module_file(name)] if found]
            else:
                foreign.add(name.split(".")[0])
    needed = foreign - set(sys.stdlib_module_names)
    provided = packages_distributions()
    assert {provided[name][0].lower() for name in needed} <= set(pins(PINNED.read_text(encoding="utf-8")))


def test_the_build_context_holds_what_the_image_needs_and_no_more(default: Synthesized) -> None:
    (context,) = (folder for folder in default.path.parent.glob("asset.*") if folder.is_dir())
    files = {path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()}
    needed = {"fleet/Dockerfile", "fleet/requirements.txt", "readiness/loadgen/__main__.py", "workload/README.md"}
    assert needed <= files
    assert not {name for name in files if not name.startswith(("fleet/", "readiness/", "workload/"))}
    assert not {name for name in files if "__pycache__" in name}
