"""``python -m benchmarks.flood``: what forged announcements do to the requests of others.

An HTTP gateway takes signed announcements. One node of it is asked by wrk, in turns with and
without somebody who sends as many forged announcements a second as asked for. Printed are the
latencies and their ratios, what was refused, and whether the table still says the same. Nothing
is saved, and missing a target is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from uwgate.subscriptions.packet import Command, Packet, encode

from .__main__ import positive, progress, say
from .contenders import HERE, WORKERS, find
from .running import NotStarted, tree

KEY = "flood.test"
FORGED = 50_000  # a second
BURST = 50  # forged packets between two looks at the clock
PATIENCE = 20.0  # seconds
LATENCY = "-t1", "-c8", "--latency"
TARGET = 2.0
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--runs", type=positive, default=5, help="how many times (5)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of a run (3)")
    parser.add_argument("--rate", type=int, default=FORGED, help="forged packets a second (50000)")
    parser.add_argument("--flood", nargs=2, help=argparse.SUPPRESS)  # be the flood: port, seconds
    options = parser.parse_args()
    if options.flood:
        flood(int(options.flood[0]), float(options.flood[1]), options.rate)
        return 0
    if find("wrk") is None:
        sys.stderr.write("wrk is not installed (apt-get install wrk)\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        try:
            return measure(Path(name), options)
        except NotStarted as error:
            say(f"did not start:\n{error}\n")
            return 1


def measure(folder: Path, options: argparse.Namespace) -> int:
    """Start everything, take turns, print."""
    web, announce, node = (_free_port(kind) for kind in ("tcp", "udp", "tcp"))
    keys = folder / "keys"
    keys.mkdir()
    private = Ed25519PrivateKey.generate()
    (folder / "private.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (keys / f"{KEY}.pem").write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    sign = f"ED25519:{folder}/private.pem"
    gateway = ["--http", f"127.0.0.1:{web}", "--http-stats-server", f"{folder}/stats"]
    gateway += ["--http-subscription-server", f"127.0.0.1:{announce}"]
    gateway += ["--subscriptions-sign-check", f"ED25519:{keys}", "--disable-logging"]
    pool = ["--socket", f"127.0.0.1:{node}", "--module", "benchmarks.pages:application"]
    pool += ["--processes", WORKERS, "--disable-logging", "--subscribe-freq", "1"]
    pool += ["--subscribe2", f"server=127.0.0.1:{announce},key={KEY},sign={sign}"]
    children = [_start(argv, folder) for argv in (gateway, pool)]
    try:
        _wait(web, folder)
        before = _nodes(folder)
        latencies: dict[str, list[tuple[float, float]]] = {"quiet": [], "flood": []}
        for number in range(1, options.runs + 1):
            for kind, found in latencies.items():
                progress(f"run {number} of {options.runs}: {kind}")
                sender = _flood(announce, options) if kind == "flood" else None
                found.append(_wrk(web, options.seconds))
                if sender is not None:
                    sender.wait(PATIENCE)
        progress("")
        say(_render(latencies, options, folder, before == _nodes(folder)))
        return 0
    finally:
        for child in children:
            _end(child)


def flood(port: int, seconds: float, rate: int) -> None:
    """Send forged announcements to ``port`` of this machine."""
    packets = [
        encode(
            Packet(
                command=Command.SUBSCRIBE if number % 2 else Command.UNSUBSCRIBE,
                key=KEY if number % 3 else f"n{number}.test",
                address=f"127.0.0.1:{1024 + number}",
                unix=int(time.time()),
                micros=0,
                signature=os.urandom(64) if number % 5 else b"",
            ),
        )
        for number in range(1000)
    ]
    begin = time.monotonic()
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        while (passed := time.monotonic() - begin) < seconds:
            if sent > passed * rate:
                time.sleep(0.0005)
                continue
            for packet in packets[sent % 1000 : sent % 1000 + BURST]:
                sock.sendto(packet, ("127.0.0.1", port))
            sent += BURST


def _flood(port: int, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "benchmarks.flood", "--rate", str(options.rate)]
    argv += ["--flood", str(port), str(options.seconds + 0.5)]
    return subprocess.Popen(argv, cwd=HERE.parent)


def _wrk(port: int, seconds: int) -> tuple[float, float]:
    """Median and 99th percentile of the latency, in ms."""
    argv = [find("wrk") or "wrk", *LATENCY, f"-d{seconds}s", f"-HHost: {KEY}"]
    done = subprocess.run(
        [*argv, f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=True,
    )
    if "Non-2xx" in done.stdout:
        raise NotStarted(done.stdout)
    found = {}
    for line in done.stdout.splitlines():
        match line.split():
            case [("50%" | "99%") as part, text]:
                number = text.rstrip("mus")
                found[part] = float(number) * UNITS[text[len(number) :]]
    return found["50%"], found["99%"]


def _render(
    latencies: dict[str, list[tuple[float, float]]],
    options: argparse.Namespace,
    folder: Path,
    same: bool,
) -> str:
    lines = [f"\n  {options.rate:,} forged packets a second, {options.runs} runs in turns"]
    middle = {
        kind: [statistics.median(run[at] for run in runs) for at in (0, 1)]
        for kind, runs in latencies.items()
    }
    for kind, (p50, p99) in middle.items():
        lines.append(f"  {kind:<8}p50 {p50:8.2f} ms   p99 {p99:8.2f} ms")
    for at, name in enumerate(("p50", "p99")):
        ratio = middle["flood"][at] / middle["quiet"][at]
        verdict = "reached" if ratio <= TARGET else "missed"
        lines.append(f"  {name}: {ratio:.2f} x quiet, target {TARGET}: {verdict}")
    lines.append(f"  refused: {_stats(folder)['announcements']['refused']}")
    lines.append(f"  the table {'says the same as before' if same else 'HAS CHANGED'}\n")
    return "\n".join(lines)


def _stats(folder: Path) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(f"{folder}/stats")
        text = b"".join(iter(lambda: sock.recv(65536), b""))
    found: dict[str, Any] = json.loads(text)
    return found


def _nodes(folder: Path) -> list[tuple[str, str]]:
    return [
        (slot["key"], node["name"])
        for slot in _stats(folder)["subscriptions"]
        for node in slot["nodes"]
        if not node["death_mark"]
    ]


def _start(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "uwgate", *arguments],
            cwd=HERE.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": f"{HERE.parent / 'src'}:{HERE.parent}"},
        )


def _wait(port: int, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    asked = f"GET / HTTP/1.1\r\nHost: {KEY}\r\nConnection: close\r\n\r\n".encode()
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as sock:
                sock.sendall(asked)
                if b" 200 " in sock.recv(64):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise NotStarted((folder / "log").read_text("utf-8", "replace")[-2000:])


def _end(child: subprocess.Popen[bytes]) -> None:
    family = tree(child.pid)
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        child.wait()


def _free_port(kind: str) -> int:
    with socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
