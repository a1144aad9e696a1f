"""A real browser, headless, driven over a pipe by its DevTools protocol; it opens no port and keeps no profile."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_DEADLINE_S = 60.0
_KEYS = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39}
_ON_FDS_3_AND_4 = (
    "import fcntl, os, sys; r, w = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]); "
    "os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)

MISSING = "no Chromium on this machine: install it (Debian: `apt-get install chromium`) to test the report in a browser"


def executable() -> str | None:
    """Return the browser of this machine; None = there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """One tab."""

    def __init__(self, to_browser: int, from_browser: int, pid: int) -> None:
        self._to, self._from = to_browser, from_browser
        self.pid = pid
        self._buffer = b""
        self._count = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the browser something and return its answer."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + _DEADLINE_S
        while True:
            told = self._next(until, method)
            if told.get("id") == self._count:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]
            if "method" in told:
                self.events.append(told)

    def _next(self, until: float, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"the browser did not answer {waiting_for} in {_DEADLINE_S} s"
            data = os.read(self._from, 1 << 20)
            assert data, f"the browser ended before it answered {waiting_for}"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open_tab(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Security"):
            self.call(f"{domain}.enable")

    def show(self, file: Path, *, width: int, scheme: str = "light", medium: str = "screen") -> None:
        """Load a file at a width, and wait until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)
        self.call("Page.navigate", url=file.resolve().as_uri())
        until = time.monotonic() + _DEADLINE_S
        while self.evaluate("document.readyState") != "complete" or self.evaluate("location.protocol") != "file:":
            assert time.monotonic() < until, f"{file} was not loaded in {_DEADLINE_S} s"

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode={"Tab": 9}.get(key, 0)
            )

    def complaints(self) -> list[str]:
        """Return what the browser complained of so far: errors, blocked content, and requests that left the file."""
        found = []
        for event in self.events:
            method, told = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"].get("text")))
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
                found.append(str(told["args"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(told["entry"]["text"])
            elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("file:", "about:")):
                found.append(f"asked the network for {told['request']['url']}")
        return found

    def screenshot(self, path: Path, *, top: float = 0, height: float | None = None) -> None:
        """Save the page, or a stretch of it, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": height or size["height"] - top, "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, path: Path) -> None:
        """Print the page."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser; nothing of it is left afterwards."""
    program = executable()
    assert program is not None, MISSING
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="readiness-browser-", ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "--disable-background-networking"]
        process = subprocess.Popen(
            [sys.executable, "-c", _ON_FDS_3_AND_4, str(to_read), str(from_write), program, *options],
            pass_fds=(to_read, from_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(from_write)
        try:
            tab = Browser(to_write, from_read, process.pid)
            tab.open_tab()
            yield tab
        finally:
            os.close(to_write)
            os.close(from_read)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            _end_group(process.pid)
            process.wait(10)


def _end_group(group: int) -> None:
    """End whatever is left of the browser's own process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
