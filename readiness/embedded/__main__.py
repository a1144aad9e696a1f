"""``python -m readiness.embedded``: one embedded AWS as a process of its own.

Prints one line of JSON when it is ready, and serves until SIGTERM, SIGINT or, if asked to, the end of its stdin.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from readiness.embedded.settings import EmbeddedSettings


def main() -> int:
    """Serve until told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m readiness.embedded", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, metavar="FILE", help="JSON of EmbeddedSettings")
    parser.add_argument("--port", type=int, default=0, help="port of the API; default: a free one")
    parser.add_argument("--stop-with-stdin", action="store_true", help="stop at the end of stdin")
    arguments = parser.parse_args()
    over = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        settings = EmbeddedSettings.from_json(arguments.settings.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"The settings {arguments.settings} cannot be read: {error}\n")
        return 1
    try:
        # Imported late, so that a part that can't even be imported ends in a sentence and not in a traceback.
        from readiness.embedded.control_plane import EmbeddedAws

        aws = EmbeddedAws(settings, arguments.port)
        aws.start()
    except Exception as error:  # noqa: BLE001 - whatever keeps it from starting, the caller reads one sentence
        sys.stderr.write(f"The embedded AWS cannot start: {type(error).__name__}: {error}\n")
        return 1
    try:
        sys.stdout.write(json.dumps({"endpoint": aws.endpoint, "pid": os.getpid(), "id": aws.id}) + "\n")
        sys.stdout.flush()
        if arguments.stop_with_stdin:
            threading.Thread(target=_set_at_end_of_stdin, args=(over,), daemon=True).start()
        over.wait()
    finally:
        aws.stop()
    return 0


def _set_at_end_of_stdin(over: threading.Event) -> None:
    """Wait until whoever started us closes our stdin, which the kernel does for a process that was killed."""
    while os.read(0, 4096):
        pass
    over.set()


if __name__ == "__main__":
    sys.exit(main())
