"""A headless Chromium, driven through its DevTools protocol over two pipes: no port, no further package."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-gpu-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PATIENCE = 180.0  # seconds until a silent browser is given up

Message = dict[str, Any]


def program() -> str | None:
    """A Chromium of this machine; None without one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@dataclass
class Page:
    """One tab: what it is told, and what it has said so far (`events`)."""

    to_browser: int
    from_browser: int
    session: str = ""
    events: list[Message] = field(default_factory=list)
    _sent: int = 0
    _unread: bytes = b""

    def call(self, method: str, **params: Any) -> Message:
        """Send a command and wait for its result; events on the way are kept."""
        self._sent += 1
        message: Message = {"id": self._sent, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._sent:
            self.events.append(answer)
        assert "error" not in answer, (method, answer["error"])
        result: Message = answer["result"]
        return result

    def value(self, script: str) -> Any:
        """What an expression (or a promise) of the page's gives."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Until an expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.value(script):
            assert time.monotonic() < until, f"{script} did not become true"
            time.sleep(0.2)

    def pixels(self, selector: str | None = None) -> NDArray[np.int_]:
        """What is seen in a window (None), or where an element is: `(H, W, 3)`."""
        clip = {}
        if selector is not None:
            self.value(f"document.querySelector({selector!r}).scrollIntoView()")
            self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            place = f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())"
            box = json.loads(self.value(place))
            scroll = self.value("window.scrollY")
            clip = {
                "clip": {
                    "x": box["x"],
                    "y": box["y"] + scroll,
                    "width": box["width"],
                    "height": box["height"],
                    "scale": 1,
                }
            }
        png = self.call("Page.captureScreenshot", format="png", **clip)["data"]
        return _decoded(png)

    def canvas(self, redraw: str, canvas: str) -> NDArray[np.int_]:
        """What WebGL draws, in the canvas's own pixels `(H, W, 3)`; two scripts: draw, and name it."""
        url: str = self.value(f"(() => {{ {redraw}; return {canvas}.toDataURL() }})()")
        return _decoded(url.partition(",")[2])

    def said(self, method: str) -> list[Message]:
        """The parameters of all events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def _next(self) -> Message:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self.from_browser], [], [], PATIENCE)
            part = os.read(self.from_browser, 1 << 20) if ready else b""
            assert part, "the browser says nothing more"
            self._unread += part
        first, self._unread = self._unread.split(b"\0", 1)
        message: Message = json.loads(first)
        return message


def _decoded(png: str) -> NDArray[np.int_]:
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int_)


@contextmanager
def opened(file: Path, profile: Path, *flags: str, width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """A file shown in a fresh browser, whose network and console are listened to from the beginning."""
    path = program()
    assert path is not None
    command = [path, *FLAGS, *flags, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    high = [
        fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)
    ]  # not 3 or 4 themselves
    actions = [
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, high[0], 3),
        (os.POSIX_SPAWN_DUP2, high[1], 4),
    ]
    process = os.posix_spawn(path, command, os.environ, file_actions=actions, setpgroup=0)
    for end in (theirs_in, theirs_out, *high):
        os.close(end)
    try:
        page = Page(ours_out, ours_in)
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Runtime", "Log", "Page"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", url=file.as_uri())
        yield page
    finally:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ours_in)
        os.close(ours_out)
