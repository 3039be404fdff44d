"""What every gateway process does around its own work: start, readiness, drain, stop.

A gateway module's ``main`` hands its class to ``run``; from then on the class only accepts
connections. See docs/architecture.md for what crosses from the master.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import NamedTuple, Protocol

import trio

from uwgate.conf import control, logs
from uwgate.conf.errors import ConfigError
from uwgate.conf.privileges import drop
from uwgate.conf.procname import process_title, set_title
from uwgate.conf.scheduling import prefer_throughput
from uwgate.conf.settings import COREROUTERS
from uwgate.conf.start import Start
from uwgate.gateways import watchdog
from uwgate.gateways.tls import handover

log = logging.getLogger("uwgate.gateway")

DRAIN_IDLE = 5.0  # seconds that an idle connection may still bring one last request in
EXIT_ERROR = 1
# They only pass on what others have begun: every turn that they wait for the CPU, a request or a
# stream stands still (docs/design.md, "Bytes that stay in the kernel").
CARRIERS = frozenset(("fastrouter", "rawrouter", "sslrouter"))


class Order(NamedTuple):
    """How to end: idle connections have ``idle`` seconds, None is at once.

    ``is_heard``: somebody said so; False if the master is gone without a word.
    """

    idle: float | None
    is_heard: bool


FORSAKEN = Order(DRAIN_IDLE, is_heard=False)


class Gateway(Protocol):
    """What ``run`` needs from a gateway."""

    async def serve(self, nursery: trio.Nursery, task_status: trio.TaskStatus[None]) -> None:
        """Accept connections until cancelled; sessions run in ``nursery``.

        It has started when all that can fail because of the configuration (ConfigError) is done.
        """
        ...

    def drain(self, idle: float) -> None:
        """Let sessions end after what they are doing; idle ones within ``idle`` seconds."""
        ...

    async def drained(self) -> None:
        """Return when the last session has ended."""
        ...

    def renew(self, name: str, material: bytes) -> None:
        """Use other certificates for ``name`` (gateways/tls/material.py)."""
        ...


def run(
    kind: str,
    start: Start,
    make: Callable[[Start], Gateway],
    uid: str | None,
    gid: str | None,
    mercy: float | None = None,
) -> bool:
    """Be a gateway process until the master says otherwise; False if it is gone without a word.

    One that cannot be made, or cannot start (ConfigError), says so to the master, and exits.
    ``uid`` and ``gid`` are those of this kind of gateway; None means the instance's. ``mercy`` is
    the most seconds that a drain takes; None: reload-mercy.
    """
    settings = start.settings
    logs.configure(settings.log)
    set_title(process_title(settings.master, f"{kind} {start.instance}"))
    if start.cache_folder is not None:
        # While we still can read whatever Python is installed where.
        from uwgate.caching import statistics  # noqa: F401
    drop(
        uid or settings.master.uid,
        gid or settings.master.gid,
        settings.master.add_gid,
        settings.master.no_initgroups,
    )
    if kind not in CARRIERS:
        prefer_throughput()
    if mercy is None:
        mercy = settings.master.reload_mercy
    limit = settings.corerouter(kind).harakiri if kind in COREROUTERS else 0.0
    with socket.socket(fileno=start.control_fd) as control_socket:
        try:
            gateway = make(start)
            return trio.run(_serve, start, gateway, control_socket, mercy, limit)
        except ConfigError as error:
            log.error("%s", error)
            reason = str(error)[-control.MAX_MESSAGE // 8 :]
            with contextlib.suppress(OSError):
                control_socket.send(control.encode("failed", reason=reason, code=EXIT_ERROR))
            sys.exit(EXIT_ERROR)


async def _serve(
    start: Start, gateway: Gateway, control_socket: socket.socket, mercy: float, harakiri: float
) -> bool:
    """See ``run``. Raises ConfigError: the gateway cannot start."""
    link = trio.socket.from_stdlib_socket(control_socket)
    failure: ConfigError | None = None
    order = FORSAKEN
    async with trio.open_nursery() as sessions:
        accepting = trio.CancelScope()

        async def accept(task_status: trio.TaskStatus[None]) -> None:
            with accepting:
                await gateway.serve(sessions, task_status)

        if harakiri:
            sessions.start_soon(watchdog.watch, harakiri)
        sessions.start_soon(_watch_signals)
        try:
            await sessions.start(accept)
        except ConfigError as error:
            failure = error
        else:
            with contextlib.suppress(OSError):  # a master that is gone is noticed below
                await link.send(control.encode("ready"))
            order = await _wait_for_order(gateway, link, start.life_fd)
            if order.idle is not None:
                accepting.cancel()
                gateway.drain(order.idle)
                with trio.move_on_after(mercy):
                    await gateway.drained()
        sessions.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return order.is_heard


async def _wait_for_order(gateway: Gateway, link: trio.socket.SocketType, life_fd: int) -> Order:
    orders: list[Order] = []
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            while not orders:
                packet = b""
                with contextlib.suppress(OSError):  # killed before it read what we had said
                    packet, ancillary, _, _ = await link.recvmsg(
                        control.MAX_MESSAGE, handover.DESCRIPTORS
                    )
                if not packet:  # who gave orders is gone
                    orders.append(FORSAKEN)
                    break
                message, attachment = handover.open_message(packet, ancillary)
                if message["type"] == "renew" and attachment is not None:
                    gateway.renew(str(message["name"]), attachment)
                else:
                    stop = message["type"] == "stop"
                    idle = None if stop else float(message.get("idle", DRAIN_IDLE))
                    orders.append(Order(idle, is_heard=True))
            nursery.cancel_scope.cancel()

        async def live() -> None:
            await trio.lowlevel.wait_readable(life_fd)
            orders.append(FORSAKEN)
            nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        nursery.start_soon(live)
    return orders[0]


async def _watch_signals() -> None:
    """A terminal's Ctrl-C reaches the whole process group, but only the master decides."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            log.debug("ignored signal %d", number)
