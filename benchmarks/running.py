"""Servers as process trees: start, look at, end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .contenders import Contender

PATIENCE = 15.0  # seconds that a server may take to answer, or to end
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")


class NotStarted(Exception):
    """A contender did not answer; the text is its log."""


class Running:
    """A contender that answers at ``port``."""

    def __init__(self, port: int, roots: list[int]) -> None:
        self.port = port
        self.roots = roots

    def cpu(self) -> float:
        """Seconds of CPU that it has used so far, children that ended included."""
        total = 0
        for pid in self._pids():
            total += sum(int(field) for field in _stat(pid)[11:15])
        return total / TICK

    def rss(self) -> int:
        """Resident memory of all its processes, in bytes. Shared pages count in each."""
        total = 0
        for pid in self._pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        return total

    def _pids(self) -> list[int]:
        return [pid for root in self.roots for pid in tree(root)]


@contextlib.contextmanager
def running(contender: Contender) -> Iterator[Running]:
    """Start a contender, wait until it answers, end it.

    Raises:
        NotStarted: it ended, or did not answer in time.
    """
    port = free_port()
    children: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        log = folder / "log"
        try:
            with log.open("wb") as sink:
                for argv in contender.commands(port, folder):
                    child = _start(argv, folder, sink.fileno())
                    children.append(child)  # at once: the next one may fail to start
            _wait_until_it_answers(port, children, log, tls=contender.tls)
            yield Running(port, [child.pid for child in children])
        finally:
            for child in reversed(children):
                end(child)


def tree(pid: int) -> list[int]:
    """A process and its living descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            parents[int(entry)] = int(fields[1])
    found = [pid]
    for one in found:  # grows while it is walked
        found.extend(child for child, parent in parents.items() if parent == one)
    return found


def _start(argv: list[str], folder: Path, log: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise NotStarted(str(error)) from error


def _wait_until_it_answers(
    port: int, children: list[subprocess.Popen[bytes]], log: Path, *, tls: bool
) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), _connect(port, tls=tls) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b" 200 " in sock.recv(64):
                return
        ended = any(child.poll() is not None for child in children)
        if ended or time.monotonic() > deadline:
            raise NotStarted(log.read_text("utf-8", "replace")[-2000:])
        time.sleep(0.05)


def _connect(port: int, *, tls: bool) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 1)
    if not tls:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # each contender has made its own
    return context.wrap_socket(sock)


def end(child: subprocess.Popen[bytes]) -> None:
    """End a program, and whoever it has started."""
    family = tree(child.pid)
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for pid in set(family[1:]).intersection(_alive()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _alive() -> set[int]:
    return {int(entry) for entry in os.listdir("/proc") if entry.isdigit()}


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
