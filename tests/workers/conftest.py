"""A real spawner, with the test in the master's place."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from uwgate.conf import control
from uwgate.conf.groups.application import ApplicationOptions
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.conf.groups.log import LogOptions
from uwgate.conf.groups.master import MasterOptions
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.conf.groups.workers import WorkerOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.workers.command import spawner_command
from uwgate.workers.scoreboard import Scoreboard

PATIENCE = 60.0  # seconds for anything that must happen
GROUPS: dict[str, Any] = {
    "application": ApplicationOptions,
    "workers": WorkerOptions,
    "sockets": SocketOptions,
    "http": HttpOptions,
    "edge": EdgeOptions,
    "master": MasterOptions,
    "log": LogOptions,
}


def settings_of(**options: Any) -> Settings:
    """Settings from options of any group."""
    values: dict[str, dict[str, Any]] = {name: {} for name in GROUPS}
    for key, value in options.items():
        group = next(name for name, kind in GROUPS.items() if key in kind.__dataclass_fields__)
        values[group][key] = value
    return Settings(**{name: GROUPS[name](**values[name]) for name in GROUPS})


def _listen() -> dict[str, socket.socket]:
    """One listening socket for each role."""
    sockets: dict[str, socket.socket] = {}
    for role in ("lease", "uwsgi", "http-socket", "http11-socket"):
        if role == "lease":
            sock = socket.socket(socket.AF_UNIX)
            sock.bind("")
        else:
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
        sock.listen(1024)
        sock.setblocking(False)
        sockets[role] = sock
    return sockets


def _name_of(sock: socket.socket) -> str:
    name = sock.getsockname()
    return name[1:].decode() if isinstance(name, bytes) else f"{name[0]}:{name[1]}"


class Instance:
    """A spawner that runs, its sockets, and the master's end of its pipes."""

    def __init__(
        self, folder: Path, settings: Settings, sockets: dict[str, socket.socket] | None = None
    ) -> None:
        self.folder = folder
        self.sockets = _listen() if sockets is None else sockets
        self._own_sockets = sockets is None
        self.messages: list[dict[str, Any]] = []
        listeners = [
            Listener(fd=sock.fileno(), role=role, name=_name_of(sock))
            for role, sock in self.sockets.items()
        ]
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        life_read, self.life_write = os.pipe()
        slots = settings.workers.processes * settings.workers.threads
        self.scoreboard, scoreboard_fd = Scoreboard.create(slots)
        self.log = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close()
        start = Start(
            settings=settings,
            listeners=tuple(listeners),
            control_fd=theirs.fileno(),
            life_fd=life_read,
            lease_address=self.sockets["lease"].getsockname()[1:].decode(),
            instance=1,
            generation=1,
            scoreboard_fd=scoreboard_fd,
        )
        passed = [theirs.fileno(), life_read, scoreboard_fd, *(one.fd for one in listeners)]
        fd = start.to_memory_file()
        with theirs:
            self.process = subprocess.Popen(
                spawner_command(settings, fd),
                pass_fds=[fd, *passed],
                stdin=subprocess.DEVNULL,
                stderr=self.log,
                cwd=folder,
            )
        for one in (fd, life_read, scoreboard_fd):
            os.close(one)

    def read_log(self) -> str:
        """Everything logged so far."""
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode()

    def wait_message(self, kind: str) -> dict[str, Any]:
        """The next control message of a kind; the others are kept in ``messages``."""
        self.control.settimeout(PATIENCE)
        while True:
            packet = self.control.recv(control.MAX_MESSAGE)
            assert packet, f"the spawner is gone:\n{self.read_log()}"
            message = control.decode(packet)
            self.messages.append(message)
            if message["type"] == kind:
                return message

    def worker_pids(self) -> list[int]:
        """The workers that have been started, gone or not."""
        return [one["pid"] for one in self.messages if one["type"] == "worker"]

    def wait_log(self, text: str, start: int = 0) -> None:
        """Wait until the log has ``text``, behind its first ``start`` characters."""
        self.wait_until(lambda: text in self.read_log()[start:])

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.read_log()
            select.select([], [], [], 0.01)

    @contextlib.contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """A worker does nothing for the length of a block, from its first moment on."""
        status = Path(f"/proc/{pid}/stat")
        os.kill(pid, signal.SIGSTOP)
        try:
            self.wait_until(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def send(self, kind: str) -> None:
        """Give the spawner an order."""
        self.control.send(control.encode(kind))

    def wait_exit(self) -> int:
        """The spawner's exit status."""
        return self.process.wait(PATIENCE)

    def connect(self, role: str) -> socket.socket:
        """A connection to one of the workers' sockets."""
        listening = self.sockets[role]
        sock = socket.socket(listening.family)
        sock.settimeout(PATIENCE)
        sock.connect(listening.getsockname())
        return sock

    def close(self) -> None:
        """End everything that is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.close(self.life_write)
        self.scoreboard.close()
        self.control.close()
        if self._own_sockets:
            for sock in self.sockets.values():
                sock.close()
        self.log.close()


Serve = Callable[..., Instance]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a spawner with an application given as source; waits until it is ready."""
    with contextlib.ExitStack() as stack:

        def start(
            source: str,
            *,
            ready: bool = True,
            sockets: dict[str, socket.socket] | None = None,
            **options: Any,
        ) -> Instance:
            instance = _begin(tmp_path, source, options, sockets)
            stack.callback(instance.close)
            if ready:
                instance.wait_message("ready")
            return instance

        yield start


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """As ``serve``, for tests that leave workers as they found them.

    The last instance is kept for the next test, if that wants the same.
    """
    with contextlib.ExitStack() as stack:
        kept: dict[str, Instance] = {}

        def start(source: str, **options: Any) -> Instance:
            wanted = repr((source, options))
            if wanted not in kept:
                stack.close()
                kept.clear()
                instance = _begin(tmp_path_factory.mktemp("shared"), source, options, None)
                stack.callback(instance.close)
                instance.wait_message("ready")
                kept[wanted] = instance
            return kept[wanted]

        yield start


def _begin(
    folder: Path,
    source: str,
    options: dict[str, Any],
    sockets: dict[str, socket.socket] | None,
) -> Instance:
    (folder / "app.py").write_text(textwrap.dedent(source))
    chosen = {"wsgi_file": "app.py", "min_worker_lifetime": 0.0, **options}
    return Instance(folder, settings_of(**chosen), sockets)
