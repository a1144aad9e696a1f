"""An API that refuses a share of its calls, as a busy one does: every other time as throttled, else as failed.

The embedded AWS's own parts are spared: what they do for a caller would fail half-way where AWS's own does not.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

from __future__ import annotations

import random
import threading

from readiness.embedded.clients import OWN_ACCESS_KEY
from readiness.embedded.moto_adapter import AwsError


class Busy:
    """Decides which calls are refused, before anything is done for them.

    Args:
        ratio: Share of the calls that are refused, 0 to 1.
        seed: Makes the choice the same in every run, as far as the order of the calls is.

    Attributes:
        refused: How many calls were refused so far.
    """

    def __init__(self, ratio: float, seed: int = 1) -> None:
        self._ratio = ratio
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self.refused = 0

    def refusal(self, access_key: str) -> AwsError | None:
        """Return the error with which a call of *access_key* is refused; None = it is answered."""
        if not self._ratio or access_key == OWN_ACCESS_KEY:
            return None
        with self._lock:
            if self._chance.random() >= self._ratio:
                return None
            self.refused += 1
            throttled = self.refused % 2 == 1
        if throttled:
            return AwsError("ThrottlingException", "Rate exceeded: embedded.refused_ratio of the plan refuses calls")
        return AwsError("InternalFailure", "embedded.refused_ratio of the plan lets calls fail", 500)
