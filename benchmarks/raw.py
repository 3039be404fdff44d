"""``python -m benchmarks.raw``: bytes through the rawrouter, HAProxy, uWSGI's, and nobody.

iperf3 sends to its own server through each of them, with one process or thread each. They take
turns, since the speed of a machine changes, and the median of each counts. Then connections that
do nothing are opened, and what they cost is counted. Nothing is saved, and missing a target is no
failure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .__main__ import positive, progress, say
from .contenders import find
from .running import PATIENCE, Running, end, free_port, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TARGET = 1.0
GIBIBYTE = 1 << 30
HAPROXY = """
global
    nbthread 1
    maxconn 4500
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
frontend door
    bind 127.0.0.1:{port}
    default_backend there
backend there
    option splice-auto
    server one {backend}
"""


@dataclass(frozen=True)
class Transfer:
    """One run of iperf3: what went, in which time, and CPU seconds of the router."""

    size: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """GiB per second."""
        return self.size / GIBIBYTE / self.seconds

    @property
    def cost(self) -> float:
        """CPU seconds per GiB."""
        return self.cpu / (self.size / GIBIBYTE)


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raw", description=__doc__)
    parser.add_argument("--gibibytes", type=positive, default=4, help="to send in a run (4)")
    parser.add_argument("--streams", type=positive, nargs="+", default=[1, 100])
    parser.add_argument("--rounds", type=positive, default=3, help="turns that each has (3)")
    parser.add_argument("--idle", type=int, default=4000, help="idle connections (4000)")
    options = parser.parse_args()
    missing = [name for name in ("iperf3", "haproxy", "uwsgi") if find(name) is None]
    if missing:
        sys.stderr.write(f"not installed: {', '.join(missing)} (apt-get install iperf3 haproxy)\n")
        return 1
    for streams in options.streams:
        results: dict[str, list[Transfer]] = {name: [] for name in ROUTERS}
        for turn in range(options.rounds):
            for name, command in ROUTERS.items():
                progress(f"{name}, {streams} streams, turn {turn + 1}")
                with iperf_server() as backend, router(command, backend) as server:
                    results[name].append(transfer(server, streams, options.gibibytes))
        progress("")
        say(render(streams, results))
    for name in ("uwgate", "haproxy", "uwsgi"):
        say(idle(name, options.idle))
    return 0


def render(streams: int, results: dict[str, list[Transfer]]) -> str:
    """A line for each, and how the target was met."""
    lines = [f"\n{streams} streams"]
    rates = {name: statistics.median(one.rate for one in of) for name, of in results.items()}
    for name, found in results.items():
        low, high = (how(one.rate for one in found) for how in (min, max))
        cost = statistics.median(one.cost for one in found)
        lines.append(
            f"  {name:<10}{rates[name]:>6.2f} GiB/s ({low:.2f} to {high:.2f}){cost:>8.3f} CPU s/GiB"
        )
    ratio = rates["uwgate"] / rates["haproxy"]
    verdict = "reached" if ratio >= TARGET else "missed"
    lines.append(f"  {ratio:.2f} times HAProxy's, target {TARGET} {verdict}")
    return "\n".join(lines) + "\n"


def transfer(server: Running, streams: int, gibibytes: int) -> Transfer:
    """Send through a router."""
    before = server.cpu()
    argv = [find("iperf3") or "iperf3", "-c", "127.0.0.1", "-p", str(server.port), "-J"]
    argv += ["-P", str(streams), "-n", f"{gibibytes}G"]
    done = subprocess.run(argv, capture_output=True, timeout=600, check=False)
    report = json.loads(done.stdout)
    assert "error" not in report, f"iperf3 -P {streams}: {report['error']}"
    found = report["end"]["sum_received"]
    return Transfer(found["bytes"], found["seconds"], server.cpu() - before)


def idle(name: str, count: int) -> str:
    """What connections cost that do nothing."""
    with contextlib.ExitStack() as all_of:
        listener = all_of.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        backend = f"127.0.0.1:{listener.getsockname()[1]}"
        with router(ROUTERS[name], backend) as server:
            before, descriptors = server.rss(), _descriptors(server)
            for number in range(count):
                client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
                all_of.enter_context(client)
                client.sendall(b"x")
                all_of.enter_context(listener.accept()[0])
                progress(f"{name}: {number + 1} idle connections")
            progress("")
            grown = (server.rss() - before) / count
            held = (_descriptors(server) - descriptors) / count
    return f"{name:<10}{count} idle connections: {grown:,.0f} bytes, {held:.2f} descriptors each\n"


def _descriptors(server: Running) -> int:
    total = 0
    for root in server.roots:
        for pid in tree(root):
            with contextlib.suppress(OSError):
                total += len(os.listdir(f"/proc/{pid}/fd"))
    return total


def _uwgate(port: int, backend: str, folder: Path) -> list[str]:
    door = f"127.0.0.1:{port}"
    return [sys.executable, "-m", "uwgate", "--rawrouter", door, "--rawrouter-to", backend]


def _uwsgi(port: int, backend: str, folder: Path) -> list[str]:
    argv = [find("uwsgi") or "uwsgi", "--master", "--die-on-term", "--rawrouter"]
    return [*argv, f"127.0.0.1:{port}", "--rawrouter-to", backend, "--max-fd", "20000"]


def _haproxy(port: int, backend: str, folder: Path) -> list[str]:
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, backend=backend))
    return [find("haproxy") or "haproxy", "-db", "-f", str(config)]


ROUTERS: dict[str, Callable[[int, str, Path], list[str]] | None] = {
    "uwgate": _uwgate,
    "haproxy": _haproxy,
    "uwsgi": _uwsgi,
    "nobody": None,
}


@contextlib.contextmanager
def iperf_server() -> Iterator[str]:
    """iperf3's server; gives its address."""
    deadline = time.monotonic() + PATIENCE
    port, child = _start_iperf()
    try:
        while not listens(port):
            assert time.monotonic() < deadline, "iperf3 does not listen"
            time.sleep(0.1)
            if child.poll() is not None:  # somebody else has taken the port meanwhile
                port, child = _start_iperf()
        yield f"127.0.0.1:{port}"
    finally:
        end(child)


def _start_iperf() -> tuple[int, subprocess.Popen[bytes]]:
    port = free_port()
    argv = [find("iperf3") or "iperf3", "-s", "-B", "127.0.0.1", "-p", str(port)]
    return port, subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def router(
    command: Callable[[int, str, Path], list[str]] | None, backend: str
) -> Iterator[Running]:
    """A router before a backend; without a command the backend itself."""
    if command is None:
        yield Running(int(backend.rpartition(":")[2]), [])
        return
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        log = Path(name) / "log"
        with log.open("wb") as sink:
            child = subprocess.Popen(
                command(port, backend, Path(name)), stdout=sink, stderr=subprocess.STDOUT
            )
        try:
            deadline = time.monotonic() + PATIENCE
            # Our master listens before anybody accepts; what that takes is not to be measured.
            while not listens(port) or (command is _uwgate and b"serves" not in log.read_bytes()):
                assert time.monotonic() < deadline, log.read_text("utf-8", "replace")
                time.sleep(0.1)
            yield Running(port, [child.pid])
        finally:
            end(child)


def listens(port: int) -> bool:
    """Whether somebody accepts there; connecting would be a test, which iperf3 takes for one."""
    wanted = f"0100007F:{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any((line[1], line[3]) == (wanted, "0A") for line in lines)


if __name__ == "__main__":
    sys.exit(main())
