"""Locust is imported here, once, without its patches of the standard library: they would hold for all tests."""

from __future__ import annotations

import os
from unittest import mock

with mock.patch.dict(os.environ, LOCUST_SKIP_MONKEY_PATCH="1"):
    import locust  # noqa: F401
