"""Names of the messages that master and workers exchange besides Locust's own."""

from __future__ import annotations

from typing import Final

LISTENING: Final = "readiness-listening"
"""Worker: whatever is sent to me from now on is heard. Said again and again until ``GO``."""
GO: Final = "readiness-go"
"""Master to a worker: its index, and when to start."""
ARMED: Final = "readiness-armed"
"""Worker to master: understood; with its clock."""
ROWS: Final = "readiness-rows"
"""Worker to master, every second: what was measured since, and how the worker is."""
DONE: Final = "readiness-done"
"""Worker to master: nothing more will come."""
STOP: Final = "readiness-stop"
"""Master to the workers: send nothing more, report what there is."""
BYE: Final = "readiness-bye"
"""Master to a worker: all of its rows are here; it may go."""
