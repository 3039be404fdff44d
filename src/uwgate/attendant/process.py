"""The attendant: the process that runs commands at their times and programs beside the application.

Its programs are those of the configuration; it listens to nobody but the master. It becomes the
user of the instance, unless a program wants another one.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from functools import partial

import trio

from uwgate.attendant.command import Command
from uwgate.attendant.cron import Crons
from uwgate.attendant.daemon import Daemon, Surroundings
from uwgate.attendant.plain import PlainDaemon
from uwgate.attendant.smart import SmartDaemon
from uwgate.attendant.timetable import Timetable
from uwgate.conf import control, logs
from uwgate.conf.board import Lords
from uwgate.conf.daemons import DaemonSpec
from uwgate.conf.errors import ConfigError
from uwgate.conf.privileges import drop
from uwgate.conf.procname import process_title, set_title
from uwgate.conf.start import Start

log = logging.getLogger("uwgate.daemons")

EXIT_CONFIG = 1


class Attendant:
    """See the module."""

    def __init__(self, start: Start, link: socket.socket) -> None:
        settings = start.settings
        options = settings.attendant
        lords = Lords(start.board_fd)
        master = settings.master
        # Gives up privileges: here, or where a program wants another user in each command.
        self._drop = partial(drop, master.uid, master.gid, master.add_gid, master.no_initgroups)
        daemons = options.daemons
        self._keeps_power = any(one.user is not None or one.group is not None for one in daemons)
        start_command = partial(Command.start, become=self._drop if self._keeps_power else None)
        link.setblocking(False)
        self._start = start
        self._link = link
        self._around = Surroundings(
            lords=lords,
            mercy=settings.master.reload_mercy,
            release=settings.legion.legion_release,
            on_start=lambda pid: self._say("worker", worker=0, pid=pid),
            on_end=lambda pid: self._say("gone", pid=pid),
            on_control=lambda reason: self._say("control", reason=reason),
            start=start_command,
        )
        self._daemons = [self._make(spec) for spec in daemons]
        self._crons = Crons(
            options.crons,
            harakiri=options.cron_harakiri,
            lords=lords,
            timetable=Timetable(None if start.minute < 0 else start.minute),
            told=lambda minute: self._say("minute", minute=minute),
            scope=start.secret,
            start=start_command,
        )
        self._leaving = trio.Event()

    def prepare(self) -> None:
        """Privileges, environment, directory.

        Raises:
            ConfigError: one of them cannot be had.
        """
        settings = self._start.settings
        application = settings.application
        if settings.sockets.umask is not None:
            os.umask(settings.sockets.umask)
        if not self._keeps_power:
            self._drop()
        for variable in application.env:
            name, _, value = variable.partition("=")
            os.environ[name] = value
        for name in application.unenv:
            os.environ.pop(name, None)
        if application.chdir is not None:
            try:
                os.chdir(application.chdir)
            except OSError as error:
                raise ConfigError(f"chdir = {application.chdir}: {error.strerror}") from error

    async def run(self) -> None:
        """Work until told to leave; returns when the last cron command has ended, too."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; the master decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_link)
            nursery.start_soon(self._watch_master)
            nursery.start_soon(self._watch_signals)
            self._say("ready")
            async with trio.open_nursery() as work:
                work.start_soon(self._crons.run)
                work.start_soon(self._run_daemons)
            nursery.cancel_scope.cancel()

    async def _run_daemons(self) -> None:
        async with trio.open_nursery() as nursery:
            for daemon in self._daemons:
                nursery.start_soon(daemon.run)
            await self._leaving.wait()
        self._say("rested")

    def _leave(self, *, is_reload: bool) -> None:
        """End the daemons, and start no command any more."""
        self._crons.stop()
        for daemon in self._daemons:
            daemon.stop(is_reload=is_reload)
        self._leaving.set()

    def _make(self, spec: DaemonSpec) -> Daemon:
        return SmartDaemon(spec, self._around) if spec.is_smart else PlainDaemon(spec, self._around)

    def _say(self, type: str, **fields: object) -> None:
        try:
            self._link.send(control.encode(type, **fields))
        except OSError as error:
            log.error("the master cannot be told: %s", error)

    async def _read_link(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._link)
            try:
                packet = self._link.recv(control.MAX_MESSAGE)
            except BlockingIOError:
                continue
            except OSError:
                packet = b""
            if not packet:
                self._leave(is_reload=False)
                return
            match control.decode(packet):
                case {"type": "reload"}:
                    for daemon in self._daemons:
                        daemon.reload()
                case {"type": "drain", **more}:
                    self._leave(is_reload=bool(more.get("is_reload")))
                case {"type": "stop"}:
                    self._leave(is_reload=False)

    async def _watch_master(self) -> None:
        await trio.lowlevel.wait_readable(self._start.life_fd)
        if not self._leaving.is_set():
            log.error("the master is gone: ending what must not outlive it")
            self._leave(is_reload=False)

    async def _watch_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                self._leave(is_reload=False)


def main(fd: int) -> int:
    """Be the attendant whose ``Start`` is in the memory file ``fd``; the exit status."""
    start = Start.from_memory_file(fd)
    logs.configure(start.settings.log)
    set_title(process_title(start.settings.master, "attendant"))
    link = socket.socket(fileno=start.control_fd)
    attendant = Attendant(start, link)
    try:
        attendant.prepare()
    except ConfigError as error:
        log.error("%s", error)
        link.send(control.encode("failed", reason=str(error), code=EXIT_CONFIG))
        return EXIT_CONFIG
    trio.run(attendant.run)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
