"""Debian's Chromium without a screen, driven by its own protocol over a pipe.

The protocol (https://chromedevtools.github.io/devtools-protocol/) is JSON with a NUL behind each
message, on the descriptors 3 and 4 of the browser. Of its hundreds of methods these tests need
five, so no driver stands between: it would have to fit the browser's version.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections import deque
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .peers import program
from .processes import PATIENCE, Process

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography import x509

# One socket as both descriptors; its own number may be one of them.
LAUNCH = """
import os, sys
number = int(sys.argv[1])
os.dup2(number, 3)
os.dup2(number, 4)
os.execv(sys.argv[2], sys.argv[2:])
"""
OPTIONS = (
    "--headless",
    "--no-sandbox",  # root cannot have one, and all pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have 64 MB there
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
)


class BrowserError(AssertionError):
    """The browser refused what it was told, or a script raised."""


class Browser(Process):
    """A running browser. Every wait ends after ``PATIENCE`` seconds.

    ``trusted``: certificates that it takes for good, whoever signed them. ``options`` are more
    of its own options, ``name`` that of its log.
    """

    def __init__(
        self,
        folder: Path,
        trusted: Iterable[x509.Certificate] = (),
        *options: str,
        name: str = "chromium",
    ) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        self._sock = ours
        self._buffer = b""
        self._number = 0
        self.events: deque[dict[str, Any]] = deque(maxlen=1000)
        pins = ",".join(map(_pin, trusted))
        profile = folder / f"{name}-profile"
        profile.mkdir()
        argv = [sys.executable, "-c", LAUNCH, str(theirs.fileno()), program("chromium")]
        argv += [*OPTIONS, *options, f"--user-data-dir={profile}"]
        argv += [f"--ignore-certificate-errors-spki-list={pins}", "about:blank"]
        # Its settings, caches and crash reports shall not be those of whoever runs the tests.
        env = {
            "HOME": str(profile),
            "XDG_CONFIG_HOME": str(profile),
            "XDG_CACHE_HOME": str(profile),
        }
        with theirs:
            super().__init__(argv, folder=folder, name=name, env=env, pass_fds=[theirs.fileno()])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and everything that belongs to it."""
        with contextlib.suppress(OSError, BrowserError):
            self.call("Browser.close")
        self._sock.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(PATIENCE)
        self.stop()

    def page(self) -> Page:
        """A new page, with cookies, connections and caches of its own."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"])
        page.call("Page.enable")
        return page

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> Any:
        """Call a method of the protocol; returns its result.

        Raises:
            BrowserError: the browser answered with an error.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._sock.sendall(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while (answer := self._receive(deadline)).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait_for_event(self, name: str, session: str) -> None:
        """Wait until an event has happened, and forget all events before it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            while self.events:
                event = self.events.popleft()
                if event.get("method") == name and event.get("sessionId") == session:
                    return
            self.events.append(self._receive(deadline))

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert time.monotonic() < deadline, f"chromium does not answer:\n{self.log}"
            data = self._sock.recv(1 << 20)
            if not data:
                raise BrowserError(f"chromium is gone:\n{self.log}")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


class Page:
    """One page of a browser, with a profile of its own."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: Any) -> Any:
        """As ``Browser.call``, for this page."""
        return self._browser.call(method, session=self._session, **parameters)

    def open(self, url: str) -> None:
        """Go to a URL; returns when the page and all that belongs to it are loaded.

        Raises:
            BrowserError: there is no such page: no connection, no trust, no HTTP.
        """
        self._browser.events.clear()
        result = self.call("Page.navigate", url=url)
        if "errorText" in result:
            raise BrowserError(f"{url}: {result['errorText']}")
        self._browser.wait_for_event("Page.loadEventFired", self._session)

    def follow(self, script: str) -> None:
        """Run a statement that leads to another page, and wait until that is loaded."""
        self._browser.events.clear()
        self.call("Runtime.evaluate", expression=script)
        self._browser.wait_for_event("Page.loadEventFired", self._session)

    def run(self, script: str) -> Any:
        """Run the body of an async function; returns what it returns, as JSON has it.

        Raises:
            BrowserError: it threw.
        """
        result = self.call(
            "Runtime.evaluate",
            expression=f"(async () => {{ {script} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in result:
            thrown = result["exceptionDetails"].get("exception", {})
            raise BrowserError(thrown.get("description") or str(result["exceptionDetails"]))
        return result["result"].get("value")

    def protocol(self) -> str:
        """What the page came by, as ALPN calls it: ``http/1.1``, ``h2``."""
        entries = 'performance.getEntriesByType("navigation")[0]'
        name: str = self.run(f"return {entries}.nextHopProtocol")
        return name

    def text(self, selector: str = "body") -> str:
        """The text of the first element that fits."""
        text: str = self.run(f"return document.querySelector({json.dumps(selector)}).innerText")
        return text


def _pin(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(sha256(key).digest()).decode()
