"""Clients that go on asking while something else happens, none of whom may notice it."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from . import peers
from .processes import Process

CLIENTS = 8
PAUSE = 20  # milliseconds between an answer and the next request: there are others on this machine
LEAST = 20  # requests; fewer would show nothing


@contextlib.contextmanager
def load(folder: Path, url: str) -> Iterator[Process]:
    """wrk for the length of a block; no request may fail."""
    script = folder / "pause.lua"
    script.write_text(f"function delay() return {PAUSE} end\n")
    argv = [peers.program("wrk"), "-t1", f"-c{CLIENTS}", "-d1000s", "--timeout=60s"]
    argv += ["-s", str(script), url]
    with peers.running(Process(argv, folder=folder, name="wrk"), stop=signal.SIGINT) as process:
        yield process
    answered = re.search(r"(\d+) requests in", process.log)
    assert answered, process.log
    assert int(answered[1]) > LEAST, process.log
    assert not re.search("Socket errors|Non-2xx", process.log), process.log
