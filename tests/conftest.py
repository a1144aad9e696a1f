"""What every test has in common."""

from __future__ import annotations

from hypothesis import settings

# No deadline: the machine may be busy with something else. No database: tests write nothing into the repository.
settings.register_profile("repository", deadline=None, database=None)
settings.load_profile("repository")
