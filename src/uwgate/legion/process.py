"""The legion process: all legions of an instance.

It parses packets from outside, so it gives up its privileges; where it has service addresses
to move it keeps CAP_NET_ADMIN and CAP_NET_RAW. It ends when the master says so or is gone,
after having given back whatever it had as a lord.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

import trio

from uwgate.conf import control, logs
from uwgate.conf.board import Board, clock
from uwgate.conf.capabilities import NET_ADMIN, NET_RAW, keep
from uwgate.conf.errors import ConfigError
from uwgate.conf.privileges import drop
from uwgate.conf.procname import process_title, set_title
from uwgate.conf.start import Start
from uwgate.legion.alarms import Alarms
from uwgate.legion.chronicle import Chronicle
from uwgate.legion.hooks import Hooks
from uwgate.legion.lordship import Holding, Lordship
from uwgate.legion.mode import make_mode
from uwgate.legion.node import Node
from uwgate.legion.publisher import Publisher
from uwgate.legion.root_hooks import RootHooks
from uwgate.legion.term_file import TermFile
from uwgate.subscriptions.legion.configuration import read_legions
from uwgate.subscriptions.legion.spec import LegionSpec

log = logging.getLogger("uwgate.legion")

EXIT_CONFIG = 1
LEAVE_LIMIT = 30.0  # seconds that unlord and death hooks of all legions have together
STOP_LIMIT = 1.0  # the same when the master has no patience


class LegionProcess:
    """See the module."""

    def __init__(self, start: Start, link: socket.socket) -> None:
        self._start = start
        self._specs = read_legions(start.settings.legion)
        self._files = {
            name: TermFile(start.settings.legion.legion_state_dir, name) for name in self._specs
        }
        self._terms = {name: file.read() for name, file in self._files.items()}
        assert start.board_fd is not None
        self._board = Board(start.board_fd, writable=True)
        self._holdings = {name: self._make_holdings(spec) for name, spec in self._specs.items()}
        link.setblocking(False)
        self._link = link
        self._root_hooks = RootHooks(link)
        self._alarms = Alarms(start.settings.alarm)
        self._limit = 0.0  # seconds for leaving, once there was an order

    def _make_holdings(self, spec: LegionSpec) -> tuple[Holding, ...]:
        if not spec.vips:
            return ()
        # Needs pyroute2; and while we still can read whatever Python is installed where.
        from uwgate.legion.vip import Vips

        return (Vips(spec, refresh=self._start.settings.legion.legion_vip_refresh),)

    def give_up_privileges(self) -> None:
        """Become the user of the instance.

        Raises:
            ConfigError: that is not possible, or what is needed then is not there.
        """
        master = self._start.settings.master

        def become() -> None:
            drop(master.uid, master.gid, master.add_gid, master.no_initgroups)

        if any(spec.vips for spec in self._specs.values()):
            keep((NET_ADMIN, NET_RAW), become)
        else:
            become()
        for file in self._files.values():
            file.check_writable()

    async def run(self) -> None:
        """Be a node of every legion until told to stop."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; the master decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        sockets = {one.endpoint: one.fd for one in self._start.listeners}
        async with trio.open_nursery() as nursery:
            nodes = [
                self._make_node(spec, socket.socket(fileno=sockets[name]))
                for name, spec in self._specs.items()
            ]
            for node in nodes:
                nursery.start_soon(node.run)
            for file in self._files.values():
                nursery.start_soon(file.run)
            self._link.send(control.encode("ready"))
            await self._wait_for_order(nursery)
            with trio.move_on_after(self._limit) as patience:
                async with trio.open_nursery() as leaving:
                    for node in nodes:
                        leaving.start_soon(node.leave)
            if patience.cancelled_caught:
                log.error("the hooks took longer than %g s: left without them", self._limit)
            nursery.cancel_scope.cancel()

    def _make_node(self, spec: LegionSpec, sock: socket.socket) -> Node:
        settings = self._start.settings
        notice = self._board.notices[spec.name]
        sock.setblocking(False)
        mode = make_mode(
            spec,
            name=os.fsencode(socket.gethostname()),
            pid=os.getppid(),
            now=clock(),
            term=max(self._terms[spec.name], notice.standing.term),
        )
        hooks = Hooks(
            spec.name,
            spec.hooks,
            timeout=settings.legion.legion_hook_timeout,
            run_as_root=self._root_hooks.of(spec.name),
            alarms=self._alarms,
            throw=self._throw,
        )
        return Node(
            spec,
            mode,
            sock,
            lordship=Lordship(spec.name, hooks, self._holdings[spec.name]),
            chronicle=Chronicle(spec, mode, hooks),
            publisher=Publisher(
                spec, mode, notice, scrolls=settings.legion.legion_scroll_list_max_size
            ),
            keep_term=self._files[spec.name].keep,
        )

    def _throw(self, number: int) -> str | None:
        """Have a uWSGI signal raised in the workers; None, or why that cannot be done."""
        try:
            self._link.send(control.encode("signal", number=number))
        except OSError as error:
            return f"the master cannot be told: {error}"
        return None

    async def _wait_for_order(self, nursery: trio.Nursery) -> None:
        """Wait until it is time to leave; answers of the master are passed on until the end."""
        ordered = trio.Event()

        def leave(limit: float) -> None:
            self._limit = limit
            ordered.set()

        nursery.start_soon(self._read_link, leave)
        nursery.start_soon(self._watch_master, leave)
        nursery.start_soon(self._watch_signals, leave)
        await ordered.wait()

    async def _read_link(self, leave: Callable[[float], None]) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._link)
            try:
                packet = self._link.recv(control.MAX_MESSAGE)
            except BlockingIOError:
                continue
            except OSError:
                packet = b""
            if not packet:
                self._forsaken(leave)
                return
            message = control.decode(packet)
            match message["type"]:
                case "drain":
                    leave(LEAVE_LIMIT)
                case "stop":
                    leave(STOP_LIMIT)
                case "root-hook":
                    self._root_hooks.answer(message)

    async def _watch_master(self, leave: Callable[[float], None]) -> None:
        await trio.lowlevel.wait_readable(self._start.life_fd)
        self._forsaken(leave)

    def _forsaken(self, leave: Callable[[float], None]) -> None:
        if not self._limit:
            log.error("the master is gone: leaving the legions")
            leave(LEAVE_LIMIT)

    async def _watch_signals(self, leave: Callable[[float], None]) -> None:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                leave(STOP_LIMIT)


def main(fd: int) -> int:
    """Be the legion process whose ``Start`` is in the memory file ``fd``; the exit status."""
    start = Start.from_memory_file(fd)
    logs.configure(start.settings.log)
    set_title(process_title(start.settings.master, "legion"))
    link = socket.socket(fileno=start.control_fd)
    try:
        process = LegionProcess(start, link)
        process.give_up_privileges()
    except ConfigError as error:
        log.error("%s", error)
        link.send(control.encode("failed", reason=str(error), code=EXIT_CONFIG))
        return EXIT_CONFIG
    trio.run(process.run)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
