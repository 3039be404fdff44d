"""One run of wrk, and what it says."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .contenders import CLOSE, find

if TYPE_CHECKING:
    from .running import Running

CONNECTIONS = 32
WARM_UP = 1  # second
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
BYTES = {"/": 14, "/large": 102400}


@dataclass(frozen=True)
class Run:
    """What one run measured. Latencies in ms, memory in bytes, ``cpu`` in s per 1,000 requests.

    ``errors`` is empty when every request was answered with 2xx.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    rss: int
    errors: str


def load(server: Running, path: str, mode: str, seconds: int) -> Run:
    """Put load on a server for ``seconds``, after a second that does not count."""
    _wrk(server.port, path, mode, WARM_UP)
    before = server.cpu()
    text = _wrk(server.port, path, mode, seconds)
    used = server.cpu() - before
    return read(text, used, server.rss(), path)


def read(text: str, cpu: float, rss: int, path: str) -> Run:
    """A run from the output of wrk.

    Raises:
        ValueError: wrk did not say what it should.
    """
    count = _find(r"(\d+) requests in", text)
    rate = _find(r"Requests/sec:\s+([\d.]+)", text)
    errors = [line.strip() for line in text.splitlines() if re.search(r"errors:|Non-2xx", line)]
    # A page that is cut short, or another page, would be fast.
    received = re.search(r"requests in [\d.]+\w+, ([\d.]+)([KMGT]?)B read", text)
    if received:
        size = float(received[1]) * 1024 ** " KMGT".index(received[2] or " ")
        if size < count * BYTES[path] * 0.95:  # wrk rounds to two digits
            errors.append(f"{size / max(count, 1):.0f} bytes an answer, {BYTES[path]} expected")
    if not count:
        errors.append("no request was answered")
    return Run(
        rate=rate,
        p50=_latency("50", text),
        p99=_latency("99", text),
        cpu=cpu / max(count, 1) * 1000,
        rss=rss,
        errors="; ".join(errors),
    )


def _wrk(port: int, path: str, mode: str, seconds: int) -> str:
    argv = [find("wrk") or "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    if mode == CLOSE:
        argv += ["-H", "Connection: close"]
    done = subprocess.run(
        [*argv, f"http://127.0.0.1:{port}{path}"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    return done.stdout + done.stderr


def _find(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if not found:
        raise ValueError(f"wrk said: {text}")
    return float(found[1])


def _latency(percentile: str, text: str) -> float:
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
    return float(found[1]) * UNITS[found[2]] if found else 0.0
