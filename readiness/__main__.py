"""``python -m readiness`` and the console script."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def main() -> None:
    """Run the command line and leave with its exit code, even where nobody reads what it says any more."""
    _open_what_is_closed()
    from readiness.cli import command
    from readiness.decide import ExitCode

    code = command(sys.argv[1:])
    lost = _flush(sys.stdout)
    if lost is not None and code == ExitCode.GO:
        code = ExitCode.NO_RELIABLE_VERDICT
        if not isinstance(lost, BrokenPipeError):
            with suppress(OSError):
                sys.stderr.write(f"readiness: the output could not be printed: {lost.strerror}\n")
    _flush(sys.stderr)
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Open each standard stream that is closed, on nothing: else the next file to be opened would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - no file of ours


def _flush(stream: TextIO) -> OSError | None:
    """Return what keeps a stream from being written.

    Python would flush it again at the exit, fail, and leave with 120 in place of the code.
    """
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


if __name__ == "__main__":
    main()
