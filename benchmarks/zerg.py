"""``python -m benchmarks.zerg``: how soon a zerg serves, ours and uWSGI's, at both pools.

A request waits in a pool's socket that nobody accepts on. Then a zerg is started, and what passes
from there to the answer is printed: starting the program, attaching, importing the application.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .__main__ import positive, progress, say
from .contenders import HERE, find
from .raw import listens
from .running import PATIENCE, end, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 1.0  # seconds
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zerg", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=5, help="zergs of each kind (5)")
    options = parser.parse_args()
    if find("uwsgi") is None:
        sys.stderr.write("not installed: uwsgi\n")
        return 1
    programs = {"uwgate": [sys.executable, "-m", "uwgate"], "uwsgi": [find("uwsgi") or "uwsgi"]}
    for pool, pool_program in programs.items():
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            with running_pool(pool_program, folder) as port:
                for zerg, program in programs.items():
                    progress(f"{zerg} at the pool of {pool}")
                    found = [join(program, folder, port) for _ in range(options.rounds)]
                    progress("")
                    median = statistics.median(found)
                    verdict = "reached" if median <= TARGET else "missed"
                    say(
                        f"{zerg:<7} at the pool of {pool:<7}{median:6.2f} s"
                        f" ({min(found):.2f} to {max(found):.2f}), target {TARGET} {verdict}\n"
                    )
    return 0


@contextlib.contextmanager
def running_pool(program: list[str], folder: Path) -> Iterator[int]:
    """A pool of one socket; gives its port."""
    port = free_port()
    argv = [*program, "--master", "--zergpool", f"{folder}/pool.sock:127.0.0.1:{port}"]
    child = _start(argv, folder)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (listens(port) and _accepts(folder / "pool.sock")):
            assert time.monotonic() < deadline, (folder / "log").read_text("utf-8", "replace")
            time.sleep(0.05)
        yield port
    finally:
        end(child)


def join(program: list[str], folder: Path, port: int) -> float:
    """Seconds from the start of a zerg to its first answer."""
    argv = [*program, "--master", "--zerg", str(folder / "pool.sock"), "--protocol", "http"]
    argv += ["--wsgi-file", str(HERE / "pages.py"), "--processes", "1"]
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(REQUEST)
        before = time.monotonic()
        child = _start(argv, folder)
        try:
            assert b" 200 " in client.recv(64)
            return time.monotonic() - before
        finally:
            end(child)


def _start(argv: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


if __name__ == "__main__":
    sys.exit(main())
