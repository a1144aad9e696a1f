"""``readiness aws``: an embedded AWS in the foreground, for the CDK CLI and the AWS CLI of another terminal."""

from __future__ import annotations

import fcntl
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from readiness import contract
from readiness.cloud import connect_embedded, embedded_settings, embedded_variables, start_embedded, stop_embedded
from readiness.errors import ReadinessError
from readiness.folders import make_folder
from readiness.interruption import Interrupted, Signals
from readiness.ledger import FILE, Ledger
from readiness.model import Plan
from readiness.staging import ensure_bootstrapped
from readiness.toolchain import node_folder


def serve(plan: Plan, repository: Path, say: Callable[[str], None]) -> None:
    """Start the embedded AWS, bootstrap it, print the exports, and serve until Ctrl-C or SIGTERM.

    Raises:
        CloudError: it did not start, or it ended by itself.
        TeardownError: processes of it outlived it.
    """
    folder = repository / ".readiness" / "aws"
    with _alone(folder), Signals().caught(say):
        process, ready = start_embedded(
            embedded_settings(plan, folder), repository=repository, ledger=Ledger(folder / FILE)
        )
        try:
            connection = connect_embedded(ready["endpoint"], plan.aws.region, plan.embedded.time_scale)
            ensure_bootstrapped(connection, repository)
            for line in exports(ready["endpoint"], plan.aws.region, repository, plan.embedded.time_scale):
                say(line)
            wait(process)
        except Interrupted:
            say("# stopping")
        finally:
            stop_embedded(process, ready["id"])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a second one in the same folder: both would write the same files.

    Raises:
        ReadinessError: one is up already.
    """
    make_folder(folder)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ReadinessError(
                f"An embedded AWS is up in {folder} already.", hint="Use that one, or stop it with Ctrl-C first."
            ) from None
        yield


def exports(endpoint: str, region: str, repository: Path, time_scale: float) -> list[str]:
    """Return the lines to paste into another terminal."""
    variables = {**embedded_variables(endpoint, region), contract.TIME_SCALE_VARIABLE: f"{time_scale:g}"}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    path = f"{node_folder()}:{repository / 'node_modules' / '.bin'}:{repository / '.venv' / 'bin'}"
    return [
        "# An AWS of this machine's own is up. In another terminal, in this folder:",
        "unset AWS_PROFILE AWS_SESSION_TOKEN",
        *lines,
        f'export PATH={shlex.quote(path)}:"$PATH"',
        "# then, for example:",
        "#   cdk deploy ReadinessStack --require-approval never",
        "#   cdk destroy ReadinessStack --force",
        "#   readiness run --target aws      (its record says: emulated)",
        "# Ctrl-C here stops it and all that it runs.",
    ]


def wait(process: subprocess.Popen[bytes]) -> None:
    """Wait until the embedded AWS ends, which only a signal should make it do."""
    from readiness.errors import CloudError

    code = process.wait()
    raise CloudError(
        f"The embedded AWS ended by itself with exit code {code}.", hint="See .readiness/aws/embedded.log."
    )
