"""A headless Chromium that tests drive as a person does, over its own protocol on two pipes.

No package is needed for it: messages are JSON, each ended by a zero byte
(`--remote-debugging-pipe`).
"""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE = 30.0
# The browser reads from 3 and writes to 4; the pipes are put there by way of numbers that are free.
_START = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]]
os.dup2(pipes[0], 3)
os.dup2(pipes[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find() -> str:
    """The path of Chromium; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    return found


class Chromium:
    """One browser with one page.

    Args:
        profile: An empty folder for the browser's files.

    Attributes:
        complaints: What the page's console and its security policy complained of.
    """

    def __init__(self, profile: pathlib.Path):
        self.complaints: list[str] = []
        self._number, self._session, self._left = 0, None, b""
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        switches = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--remote-debugging-pipe", "--no-first-run", "--disable-extensions", "--no-proxy-server",
            "--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={profile}",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-SEc", _START, str(from_us), str(to_us), find(), *switches],
            pass_fds=[from_us, to_us],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.send(f"{domain}.enable")
        self.resize(1200, 900)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _PATIENCE
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def open(self, url: str, *, ready: str = "!document.getElementById('entry').hidden") -> None:
        """Goes to a page and waits until an expression holds there."""
        self.run("window.left = true")
        self.send("Page.navigate", url=url)
        # The page may write another query into its address, so that does not tell.
        self.until(f"!window.left && document.body && ({ready})")

    def run(self, script: str) -> Any:
        """The value of an expression on the page."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, (script, answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Waits until an expression holds."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            with contextlib.suppress(AssertionError):
                # Between two pages an expression may have no page.
                if self.run(f"Boolean({condition})"):
                    return
            assert time.monotonic() < deadline, f"never true: {condition}; {self.complaints}"
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Types into what has the focus."""
        self.send("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Presses a key: "Enter", "Tab", " ", "ArrowLeft", ..."""
        codes = {"Enter": 13, "Tab": 9, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}
        text = {"Enter": "\r", " ": " "}.get(key)
        held = {"key": key, "windowsVirtualKeyCode": codes[key], "modifiers": 8 if shift else 0}
        self.send(
            "Input.dispatchKeyEvent", type="keyDown", **held, **({"text": text} if text else {})
        )
        self.send("Input.dispatchKeyEvent", type="keyUp", **held)

    def drag(self, places: list[tuple[float, float]]) -> None:
        """Moves the mouse from place to place with its button held."""
        for i, (x, y) in enumerate([*places, places[-1]]):
            kind = "mousePressed" if i == 0 else "mouseMoved"
            kind = "mouseReleased" if i == len(places) else kind
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left",
                      buttons=0 if kind == "mouseReleased" else 1, clickCount=1)  # fmt: skip

    def click(self, selector: str) -> None:
        """Clicks on the middle of an element."""
        self.drag([self.middle(selector)])

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element is, after it was scrolled into sight."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        return box[0], box[1]

    def choose(self, selector: str, file: pathlib.Path) -> None:
        """Gives a file to a file input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def resize(self, width: int, height: int) -> None:
        """Another size of the window."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip

    def prefer(self, scheme: str) -> None:
        """The person's colour scheme: "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def picture(self, file: pathlib.Path) -> None:
        """A PNG of the whole page."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Ends the browser."""
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(timeout=_PATIENCE)

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self._from, 1 << 20)
            assert piece, "the browser ended"
            self._left += piece
        text, _, self._left = self._left.partition(b"\0")
        message = json.loads(text)
        if message.get("method") == "Log.entryAdded":
            self.complaints.append(message["params"]["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(message["params"]["exceptionDetails"])[:500])
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(message["params"]["args"])[:500])
        return message
