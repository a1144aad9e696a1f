"""``python -m readiness`` and the console script."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code, even where nobody reads its stderr any more."""
    from readiness.cli import command

    code = command(sys.argv[1:])
    try:
        sys.stderr.flush()
    except OSError:  # Python would flush it again at the exit, fail, and leave with 120 in place of the code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
