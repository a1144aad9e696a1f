"""``python -m readiness.loadgen``: the one command of the fleet's image; its order comes in the environment."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

# First of all: Locust patches the standard library for gevent, which must happen before anything uses it.
import locust  # noqa: F401

from readiness.contract import FLEET_ORDER_VARIABLE
from readiness.errors import ReadinessError
from readiness.loadgen.master import Master
from readiness.loadgen.order import decode
from readiness.loadgen.worker import Worker
from readiness.loadgen.workload_files import complete

EXIT_NO_ORDER = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the member of the fleet that the order says, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m readiness.loadgen", description=__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on, as master")
    bind_host = parser.parse_args(arguments).host
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    text = os.environ.get(FLEET_ORDER_VARIABLE)
    if text is None:
        sys.stderr.write(
            f"There is no order in {FLEET_ORDER_VARIABLE}. The harness starts the fleet; nobody else does.\n"
        )
        return EXIT_NO_ORDER
    try:
        order = complete(decode(text))
        return Master(order, bind_host).run() if order.role == "master" else Worker(order).run()
    except ReadinessError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NO_ORDER


if __name__ == "__main__":
    sys.exit(main())
