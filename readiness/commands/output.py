"""What a command that has changed the world says at its end: nobody who stopped listening changes its exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from readiness.report.text import visible


def say(text: str) -> None:
    """Print on stdout what comes from somebody's bundle or file: no character in it steers the terminal."""
    print(visible(text))


def tell(text: str) -> None:
    """Do as ``say``; where stdout is gone, as with a lost terminal or a full disk, say so on stderr and go on."""
    try:
        say(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered is flushed at the exit again
        with suppress(OSError):
            print(f"readiness: the result could not be printed: {error.strerror}", file=sys.stderr)
