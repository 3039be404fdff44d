"""The master's side of the legions: their sockets, their board, and the process that is in them.

The process outlives reloads that change nothing of what it was started with, so a reload does
not cost the lord its lordship. Where something has changed, the old process steps down and says
goodbye, so that another node takes over at once; then a new one starts.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from uwgate.child import Child
from uwgate.children import Children
from uwgate.conf.backoff import Backoff
from uwgate.conf.board import Board, Lords, make_board, open_for_reading
from uwgate.conf.capabilities import NET_ADMIN, NET_RAW, has
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.legion import LegionOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener
from uwgate.legion.root_hooks import RootRunner

if TYPE_CHECKING:
    from uwgate.subscriptions.legion.spec import LegionSpec

log = logging.getLogger("uwgate.master")

START_LIMIT = 60.0  # seconds
LEAVE_LIMIT = 32.0  # seconds; the process itself keeps 30
OFFICE_LIMIT = 2.0  # seconds that running requests may keep a stopping lord in office
STOP_LIMIT = 3.0  # seconds that it has to obey SIGTERM


def legion_command(settings: Settings, fd: int) -> list[str]:
    """The words that start the legion process whose ``Start`` is in the memory file ``fd``."""
    return [sys.executable, "-P", "-m", "uwgate.legion.process", str(fd)]


def essence(settings: Settings) -> tuple[object, ...]:
    """What a legion process is started with; it has to be another one if this changes."""
    master = settings.master
    own = settings.legion, settings.alarm
    return (*own, master.uid, master.gid, master.add_gid, master.no_initgroups)


@dataclass(slots=True)
class Seat:
    """The sockets and the board of one configuration.

    ``board`` and ``reading`` are descriptors, to write and to read; None without legions.
    """

    settings: Settings
    specs: Mapping[str, LegionSpec] = field(default_factory=dict)
    sockets: dict[str, socket.socket] = field(default_factory=dict)
    board: int | None = None
    reading: int | None = None

    def close_unless_in(self, kept: Seat | None) -> None:
        """Close what ``kept`` does not have as well."""
        held = {id(one) for one in kept.sockets.values()} if kept else set()
        for sock in self.sockets.values():
            if id(sock) not in held:
                sock.close()
        for fd in (self.board, self.reading):
            if fd is not None and (kept is None or fd not in (kept.board, kept.reading)):
                os.close(fd)


def make_seat(settings: Settings, previous: Seat | None = None) -> Seat:
    """Bind and make what the legions of these settings need, or take it from ``previous``.

    Raises:
        ConfigError: an address cannot be had. Nothing of this call stays open then.
    """
    seat = Seat(settings)
    if settings.legion != LegionOptions():
        # Here, because cryptography is large, and most have no use for it.
        from uwgate.subscriptions.legion.configuration import read_legions

        seat.specs = read_legions(settings.legion)
        check_vips(seat.specs)
    if previous is not None and essence(previous.settings) == essence(settings):
        seat.sockets, seat.board, seat.reading = previous.sockets, previous.board, previous.reading
        return seat
    known = {} if previous is None else addresses(previous)
    try:
        for name, spec in seat.specs.items():
            same = known.get(key(spec, settings.legion))
            seat.sockets[name] = same or _bind(spec, settings.legion)
    except BaseException:
        seat.close_unless_in(previous)
        raise
    if seat.specs:
        options = settings.legion
        seat.board = make_board(
            list(seat.specs),
            scroll=options.legion_scroll_max_size,
            scrolls=options.legion_scroll_list_max_size,
        )
        seat.reading = open_for_reading(seat.board)
        if previous is not None and previous.board is not None:
            keep_terms(previous.board, seat.board)
    return seat


def check_vips(specs: Mapping[str, LegionSpec]) -> None:
    """Whether service addresses can be moved here.

    Raises:
        ConfigError: something that this takes is missing.
    """
    if not any(spec.vips for spec in specs.values()):
        return
    if importlib.util.find_spec("pyroute2") is None:
        raise ConfigError("legion-vip: needs pyroute2: pip install 'uwgate[legion]'")
    if not has(NET_ADMIN, NET_RAW):
        raise ConfigError(
            "legion-vip: needs CAP_NET_ADMIN and CAP_NET_RAW: start as root, or with systemd's"
            " AmbientCapabilities"
        )
    from uwgate.legion import vip

    vip.check(specs.values())


def sweep(specs: Mapping[str, LegionSpec]) -> None:
    """Remove service addresses that a dead process has left behind."""
    if any(spec.vips for spec in specs.values()):
        from uwgate.legion import vip

        vip.sweep(specs.values())


def _bind(spec: LegionSpec, options: LegionOptions) -> socket.socket:
    from uwgate.legion.sockets import bind

    return bind(spec, options)


def key(spec: LegionSpec, options: LegionOptions) -> tuple[object, ...]:
    """What makes two sockets the same."""
    return spec.listen, options.multicast_ttl, options.multicast_loop


def addresses(seat: Seat) -> dict[tuple[object, ...], socket.socket]:
    """The sockets by what makes them the same."""
    options = seat.settings.legion
    return {key(seat.specs[name], options): sock for name, sock in seat.sockets.items()}


def keep_terms(old: int, new: int) -> None:
    """Carry the terms over to another board."""
    before, after = Board(old), Board(new, writable=True)
    for name, notice in after.notices.items():
        if name in before.notices:
            term = before.notices[name].standing.term
            notice.standing = type(notice.standing)(term=term)


class Legions:
    """Keeps the legion process running. Without legions there is none."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self._lords = Lords(seat.reading)
        self.on_signal: Callable[[int], None] = lambda number: None  # a hook raises one
        self._children: Children | None = None
        self._child: Child | None = None
        self._ending = trio.Event()
        self._gone = trio.Event()
        self._gone.set()

    def is_lord(self, legion: str) -> bool:
        """Whether this node may act as the lord of a legion at this moment."""
        return self._lords.is_lord(legion)

    async def start(self, children: Children, nursery: trio.Nursery) -> str | None:
        """Start the process; returns when it runs, or why it cannot (it is tried again then)."""
        self._children = children
        if not self.seat.specs:
            return None
        self._ending = trio.Event()
        self._gone = trio.Event()
        await nursery.start(self._keep_running, nursery)
        child = self._child
        if child is None:
            return "the legion process cannot be executed"
        if child.failure is not None:
            return child.failure.reason
        return None if child.is_ready else f"legion {child.describe_exit()} before it was ready"

    async def replace(self, seat: Seat, nursery: trio.Nursery) -> None:
        """Go on with another configuration; ``seat`` came from ``make_seat`` with ours."""
        assert self._children is not None
        if essence(seat.settings) == essence(self.seat.settings):
            self.seat = seat
            return
        log.info("the legions have changed: this node leaves them, and joins again")
        await self.leave()
        old, self.seat = self.seat, seat
        self._lords = Lords(seat.reading)
        old.close_unless_in(seat)
        await self.start(self._children, nursery)

    async def leave(self) -> None:
        """End the process well; returns when it is gone."""
        self._ending.set()
        child = self._child
        if child is not None and child.status is None:
            child.send("drain")
            with trio.move_on_after(LEAVE_LIMIT):
                await child.exited.wait()
            if child.status is None:
                log.error("%s (pid: %d) did not leave in %g s", child.name, child.pid, LEAVE_LIMIT)
                child.kill(signal.SIGTERM)
                with trio.move_on_after(STOP_LIMIT):
                    await child.exited.wait()
                child.kill_group()
        await self._gone.wait()

    async def leave_after(self, drained: trio.Event) -> None:
        """``leave``, when the running requests are done, or have had some time for that."""
        with trio.move_on_after(OFFICE_LIMIT):
            await drained.wait()
        await self.leave()

    def close(self) -> None:
        """Close the sockets and the board; every process is dead by now."""
        if self._children is not None:
            sweep(self.seat.specs)
        self.seat.close_unless_in(None)

    async def _keep_running(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        backoff = Backoff()
        started = False
        try:
            sweep(self.seat.specs)  # of an earlier life
            while not self._ending.is_set():
                child = self._child = self._launch(nursery)
                if child is not None:
                    with trio.move_on_after(START_LIMIT):
                        await child.settled.wait()
                    if not child.settled.is_set():
                        log.error("%s was not ready after %g s", child.name, START_LIMIT)
                        child.kill_group()
                if not started:
                    task_status.started()
                    started = True
                served = 0.0
                if child is not None:
                    await child.exited.wait()
                    sweep(self.seat.specs)
                    served = child.served
                    if self._ending.is_set():
                        return
                    log.error(
                        "DAMN ! %s (pid: %d) died, %s :( trying respawn ...",
                        child.name,
                        child.pid,
                        child.describe_exit(),
                    )
                with trio.move_on_after(backoff.pause_after(served)):
                    await self._ending.wait()
        finally:
            self._gone.set()

    def _launch(self, nursery: trio.Nursery) -> Child | None:
        assert self._children is not None
        seat = self.seat
        try:
            child = self._children.start(
                "legion",
                legion_command,
                seat.settings,
                listeners=[
                    Listener(fd=sock.fileno(), role="legion", name=str(sock), endpoint=name)
                    for name, sock in seat.sockets.items()
                ],
                lease_address=None,
                instance=1,
                generation=0,
                board_fd=seat.board,
            )
        except OSError as error:
            log.error("legion: cannot be executed: %s", error)
            return None
        runner = RootRunner(seat.specs, nursery)

        def take(message: dict[str, object]) -> bool:
            match message:
                case {"type": "signal", "number": int(number)}:
                    self.on_signal(number)
                    return True
            return runner.take(message, child.send)

        child.on_other = take
        log.info("spawned uWSGI legion (pid: %d)", child.pid)
        return child
