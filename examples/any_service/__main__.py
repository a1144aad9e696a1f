"""`python -m examples.any_service`: answer every path until SIGTERM; ERROR_RATIO and DELAY_MS make it bad."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys

from examples.llm_proxy.http_server import Request, Response, Server

_GRACE_S = 25.0


def number(name: str, most: float) -> float:
    """Return what a variable says, 0 if it is not set.

    Raises:
        SystemExit: it is no number between 0 and *most*.
    """
    text = os.environ.get(name, "") or "0"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        sys.exit(f"{name} is {text!r}; it must lie between 0 and {most:g}.")
    return value


async def serve(host: str, port: int, error_ratio: float, delay_ms: float) -> None:
    """Serve until SIGTERM or SIGINT; the health check never errs, as that of a bad release would not."""

    async def respond(request: Request) -> Response:
        if "health" not in request.path:
            await asyncio.sleep(delay_ms / 1000)
            if random.random() < error_ratio:
                return Response(500, b"spoilt\n")
        return Response(200, b"ok\n", {"Content-Type": "text/plain"})

    server = Server(respond)
    await server.start(host, port)
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    await stop.wait()
    await server.stop(_GRACE_S)


def main() -> int:
    """Read arguments and environment, serve, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.any_service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.host, arguments.port, number("ERROR_RATIO", 1), number("DELAY_MS", 600_000)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
