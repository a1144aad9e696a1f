"""``python -m examples.llm_proxy``: serve until SIGTERM, then finish what is under way and exit with 0."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from examples.llm_proxy.http_server import Server
from examples.llm_proxy.proxy import Proxy
from examples.llm_proxy.settings import Settings, SettingsError, from_environment

_GRACE_S = 25.0


async def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    server = Server(Proxy(settings).respond)
    bound = await server.start(host, port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _say(f"listening on {host}:{bound}")
    await stop.wait()
    _say("stopping: finishing the requests that are under way")
    await server.stop(_GRACE_S)
    _say("stopped")


def main() -> int:
    """Read arguments and environment, serve, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.llm_proxy", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        _say(str(error))
        return 2
    if settings.crash_on_start:
        _say("PROXY_CRASH_ON_START is set: ending with an error, as a bad release would")
        return 1
    try:
        asyncio.run(serve(settings, arguments.host, arguments.port))
    except OSError as error:
        _say(f"cannot listen on {arguments.host}:{arguments.port}: {error}")
        return 1
    return 0


def _say(message: str) -> None:
    sys.stdout.write(message + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
