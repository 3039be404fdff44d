"""One process that the master has started, as the master sees it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import trio

from uwgate.conf import control
from uwgate.workers.scoreboard import Scoreboard

log = logging.getLogger("uwgate.master")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a child could not start: text for the operator, and the exit code it asks for."""

    reason: str
    code: int


class Child:
    """A running or dead child.

    ``settled`` is set when it is ready, has failed or is dead, ``exited`` when it is dead
    and reaped. ``status`` is its exit code then, or minus the signal that killed it.
    ``workers`` maps the pids of the workers (a keeper: gateways) that it reported to their
    numbers. ``scoreboard`` is that of a spawner, until it is dead.
    """

    def __init__(
        self,
        name: str,
        process: subprocess.Popen[bytes],
        control_socket: socket.socket,
        scoreboard: Scoreboard | None = None,
    ) -> None:
        self.name = name
        self.pid = process.pid
        self.started_at = trio.current_time()
        self.served = 0.0  # seconds since it was ready, known at its death
        self.settled = trio.Event()
        self.exited = trio.Event()
        self.is_ready = False
        self._ready_at = self.started_at
        self.failure: Failure | None = None
        self.status: int | None = None
        self.workers: dict[int, int] = {}
        # Takes messages that only children of its kind send; False if it is none of them.
        self.on_other: Callable[[dict[str, object]], bool] = lambda message: False
        self.scoreboard = scoreboard
        self._process = process
        self._control = control_socket
        self._control.setblocking(False)

    async def read_control(self) -> None:
        """Take the child's messages until it is gone. Runs as a task of its own."""
        with contextlib.suppress(trio.ClosedResourceError):
            while self._take_messages():
                await trio.lowlevel.wait_readable(self._control)

    def send(self, type: str, **fields: object) -> None:
        """Send a message without an answer; nothing happens if the child is gone."""
        with contextlib.suppress(OSError):
            self._control.send(control.encode(type, **fields))

    def kill(self, number: signal.Signals) -> None:
        """Send a signal, unless the child is dead."""
        if self.status is None:
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """SIGKILL for the child and all that it has forked, unless the child is dead."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def on_exit(self, status: int) -> None:
        """The reaper's word that the child is dead."""
        self._take_messages()  # what it said last may explain its death
        self.status = status
        if self.is_ready:
            self.served = trio.current_time() - self._ready_at
        self._process.returncode = status  # for Popen, which must not wait for it again
        trio.lowlevel.notify_closing(self._control)
        self._control.close()
        if self.scoreboard is not None:
            self.scoreboard.close()
            self.scoreboard = None
        self.settled.set()
        self.exited.set()

    def describe_exit(self) -> str:
        """How the child died, in words."""
        return describe_status(self.status)

    def _take_messages(self) -> bool:
        """Handle the packets that are there; False at the end of the connection."""
        while True:
            try:
                packet = self._control.recv(control.MAX_MESSAGE)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not packet:
                return False
            try:
                self._on_message(control.decode(packet))
            except (ValueError, KeyError, TypeError) as error:
                log.error("%s (pid %d) sent a bad control message: %r", self.name, self.pid, error)

    def _on_message(self, message: dict[str, object]) -> None:
        match message:
            case {"type": "ready"}:
                self.is_ready = True
                self._ready_at = trio.current_time()
                self.settled.set()
            case {"type": "failed", "reason": str(reason), "code": int(code)}:
                self.failure = Failure(reason, code)
                self.settled.set()
            case {"type": "worker", "worker": int(number), "pid": int(pid)}:
                self.workers[pid] = number
            case {"type": "gone", "pid": int(pid)}:
                self.workers.pop(pid, None)
            case _ if not self.on_other(message):
                log.error("%s (pid %d) sent %.200r", self.name, self.pid, message)


def describe_status(status: int | None) -> str:
    """An exit code, or minus a signal, in words."""
    if status is None:
        return "still runs"
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"killed by signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"killed by signal {-status}"
