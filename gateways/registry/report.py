"""What the registry shows of one kind of gateway."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

import trio

import uwgate
from uwgate.conf.address import parse_backend
from uwgate.conf.board import Lords
from uwgate.conf.start import Listener, Start
from uwgate.gateways.registry.book import Book
from uwgate.gateways.registry.census import Census
from uwgate.gateways.registry.checks import Checks
from uwgate.gateways.registry.datagrams import Inbox
from uwgate.gateways.registry.document import Moment, Subject, fields_of, text_of
from uwgate.gateways.registry.figures import ProcessFigures
from uwgate.gateways.registry.stats import StatsServer

FINISH_LIMIT = 1.5  # seconds; a little more than gateways have for their answer
ROLES = {"http": ("http", "https", "http-to-https")}  # of listeners, where they are not the kind


class Report:
    """``book`` is None without subscription servers, ``checks`` while nobody looks after nodes.

    ``inboxes`` are where announcements come in; there may come more of them.
    """

    def __init__(
        self,
        kind: str,
        start: Start,
        census: Census,
        book: Book | None,
        inboxes: Sequence[Inbox] = (),
    ) -> None:
        self.checks: Checks | None = None
        self._server: StatsServer | None = None
        self._lords = Lords(start.board_fd)
        self._metrics = start.metrics()
        self._kind = kind
        self._start = start
        self._census = census
        self._book = book
        self._inboxes = inboxes
        self._core = start.settings.corerouter(kind)
        self._options = start.settings.stats
        roles = (*ROLES.get(kind, (kind,)), f"{kind}-subscription")
        self._subject = Subject(
            kind=kind,
            version=uwgate.__version__,
            cwd=os.getcwd(),
            addresses=[name for role, name in start.bound if role in roles],
            static=[str(parse_backend(text)) for text in self._core.to],
        )

    async def serve(self, listener: Listener, nursery: trio.Nursery) -> None:
        """Show it to whoever connects until cancelled; readers are served in ``nursery``."""
        sock = socket.socket(fileno=os.dup(listener.fd))
        self._server = StatsServer(sock, self.write, http=self._options.stats_http)
        await self._server.run(nursery)

    async def finish(self) -> None:
        """Give those who read now a moment to get everything."""
        if self._server is not None:
            with trio.move_on_after(FINISH_LIMIT):
                await self._server.wait_idle()

    async def write(self) -> Iterator[str]:
        """The document, in pieces."""
        silent = await self._census.ask(self._kind)
        table = None if self._book is None else self._book.table
        moment = Moment(
            own=ProcessFigures(pid=os.getpid(), uid=os.getuid(), gid=os.getgid()),
            legions=[json.loads(text) for text in self._lords.statistics()],
            processes=self._census.processes(self._kind),
            silent=silent,
            ledger=self._census.ledgers[self._kind],
            table=table,
            epoch=time.time() - time.monotonic(),
            cheap=self._core.cheap and table is not None and table.is_empty,
            announcements=self._announcements(),
            checks=self._checks(),
            caches=self._caches(),
            metrics=self._metrics.statistics(),
        )
        return text_of(fields_of(self._subject, moment), minified=self._options.stats_minified)

    def _caches(self) -> list[dict[str, Any]]:
        # Here, because it brings lmdb along, and most have no caches.
        if self._start.cache_folder is None:
            return []
        from uwgate.caching.caches import shared_caches
        from uwgate.caching.statistics import statistics

        caches = shared_caches(self._start)
        return [] if caches is None else statistics(caches.local.values())

    def _announcements(self) -> dict[str, Any]:
        if self._book is None:
            return {}
        admission = self._book.admission
        refused = {reason.value: count for reason, count in admission.refused.items()}
        return {
            "accepted": admission.accepted,
            "lost": sum(inbox.lost for inbox in self._inboxes),
            "refused": dict(sorted(refused.items())),
        }

    def _checks(self) -> dict[str, Any]:
        if self.checks is None or self._book is None:
            return {}
        slots = self._book.table.slots.values()
        nodes = (node for slot in slots for node in slot.members.values())
        return {
            "kind": self._core.check,
            "looks": self.checks.looks,
            "failures": self.checks.failures,
            "out": sum(node.health.fails_checks for node in nodes),
            "late": round(self.checks.late, 3),
        }
