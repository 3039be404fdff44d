"""Alarms that workers trigger (spec/observability.md section 5).

A worker only puts a message into a queue. The spawner, which serves no requests, says it or runs
the command: so a message counts as a repetition whichever worker it came from before.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

from uwgate.conf.alarms import AlarmSpec, Repetitions, alarms_by_name
from uwgate.conf.groups.alarm import AlarmOptions
from uwgate.conf.memory_file import memory_file
from uwgate.workers.log import say

MOST_COMMANDS = 8  # that run at a time; more are dropped
COMMAND_LIMIT = 30.0  # seconds for one command, then it is killed with all that it has started


class Alarms:
    """Made before the workers are forked.

    Raises:
        ConfigError: an alarm of the options is none.
    """

    def __init__(self, options: AlarmOptions) -> None:
        self._by_name = alarms_by_name(options.alarm)
        self._repetitions = Repetitions(options.alarm_freq)
        self._size = options.alarm_msg_size
        self._commands: dict[int, tuple[str, float]] = {}  # by pid: alarm, monotonic end
        self._read: socket.socket | None = None
        if self._by_name:
            self._read, self._write = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._read.setblocking(False)
            self._write.setblocking(False)

    def trigger(self, name: str, message: bytes) -> bool:
        """Trigger all alarms of a name; False if there is none. Nobody waits for what they do."""
        if name not in self._by_name:
            return False
        try:
            self._write.send(
                name.encode("utf-8", "surrogateescape") + b"\0" + message[: self._size]
            )
        except OSError as error:  # too many wait already, or it is too long for the kernel
            say(f"alarm {name}: not triggered: {error.strerror}")
        return True

    # For the spawner.

    def fileno(self) -> int:
        """What becomes readable when there is something to ``take``; -1: nothing ever will."""
        return -1 if self._read is None else self._read.fileno()

    def take(self) -> None:
        """Do what one message wants, if it is no repetition."""
        assert self._read is not None
        try:
            packet = self._read.recv(self._size + 65536)
        except BlockingIOError:
            return
        first, _, message = packet.partition(b"\0")
        name = first.decode("utf-8", "surrogateescape")
        if self._repetitions.is_one(name, repr(message), time.monotonic()):
            return
        for one in self._by_name[name]:
            if one.plugin == "log":
                text = message.decode("utf-8", "backslashreplace")
                shown = "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)
                say(f"ALARM: {one.argument} {shown}")
            else:
                self._start(one, message)

    def _start(self, alarm: AlarmSpec, message: bytes) -> None:
        if len(self._commands) >= MOST_COMMANDS:
            say(f"alarm {alarm.name}: not run: {MOST_COMMANDS} commands run already")
            return
        try:
            with memory_file(message + b"\n") as stdin:
                pid = os.posix_spawn(
                    "/bin/sh",
                    ["/bin/sh", "-c", alarm.argument],
                    os.environ,
                    file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0)],
                    setsid=True,
                    setsigmask=[],
                    setsigdef=[signal.SIGPIPE],
                )
        except OSError as error:
            say(f"alarm {alarm.name}: cannot be run: {error.strerror}")
            return
        self._commands[pid] = alarm.name, time.monotonic() + COMMAND_LIMIT

    @property
    def commands(self) -> tuple[int, ...]:
        """The processes that run, by their pids."""
        return tuple(self._commands)

    @property
    def due(self) -> float | None:
        """Monotonic time of the next ``expire``; None: no command runs."""
        return min((end for _, end in self._commands.values()), default=None)

    def expire(self, now: float) -> None:
        """Kill the commands that have run too long."""
        for pid, (name, end) in self._commands.items():
            if now >= end:
                say(f"alarm {name}: did not end in {COMMAND_LIMIT:g} s: killed")
                self._commands[pid] = name, now + COMMAND_LIMIT  # it will be reaped
                _kill(pid)

    def ended(self, pid: int, status: int) -> bool:
        """A process is gone, with this status of ``waitpid``; whether it was a command."""
        found = self._commands.pop(pid, None)
        if found is None:
            return False
        code = os.waitstatus_to_exitcode(status)
        if code:
            how = f"ended with status {code}" if code > 0 else f"killed by signal {-code}"
            say(f"alarm {found[0]}: {how}")
        return True

    def close(self) -> None:
        """Kill what still runs; nobody triggers an alarm any more."""
        for pid in self._commands:
            _kill(pid)
        self._commands.clear()
        if self._read is not None:
            self._read.close()
            self._write.close()


class AlarmCalls:
    """The functions of the module ``uwsgi`` for alarms."""

    alarms: Alarms | None = None  # None: outside of a server

    def alarm(self, name: str | bytes, message: str | bytes) -> None:
        """Trigger an alarm; an unknown name is nothing. Another process does what it says."""
        if self.alarms is not None:
            text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
            data = message.encode("utf-8", "replace") if isinstance(message, str) else message
            self.alarms.trigger(text, data)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
