"""The registry process: what nodes say becomes what all gateways know.

There is one that leads. When another one is started beside it (a reload), that one follows like a
gateway until the first hands over; when the first dies, the next is told by the gateways
what they know. See docs/architecture.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import trio

from uwgate.conf.address import parse_backend, parse_listen
from uwgate.conf.privileges import find_user
from uwgate.conf.settings import COREROUTERS, Settings
from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.counters import Counters
from uwgate.gateways.registry import lead
from uwgate.gateways.registry.acknowledgements import Acknowledgements
from uwgate.gateways.registry.book import Book
from uwgate.gateways.registry.census import Census
from uwgate.gateways.registry.checks import Checks
from uwgate.gateways.registry.datagrams import Inbox
from uwgate.gateways.registry.feed import Feed, Subscriber
from uwgate.gateways.registry.follower import follow
from uwgate.gateways.registry.frames import ASK, COMPLETE, Message
from uwgate.gateways.registry.report import Report
from uwgate.gateways.registry.resubscriber import Resubscriber, Upstream
from uwgate.subscriptions.admission import Credentials
from uwgate.subscriptions.announcement import load_signer
from uwgate.subscriptions.change import Change, Joined, Left
from uwgate.subscriptions.refusal import Refused
from uwgate.subscriptions.resubscription import Resubscription
from uwgate.subscriptions.spec import parse_sign

log = logging.getLogger("uwgate.registry")

# Where the gateways of each kind take requests.
ROLES = {
    "http": ("http", "https"),
    "fastrouter": ("fastrouter",),
    "rawrouter": ("rawrouter",),
    "sslrouter": ("sslrouter", "sslrouter-passthrough"),
}
NICE = 10  # requests come first, whatever anybody sends us
TICK = 0.5  # seconds between two looks at the clock
LATE = 2.0  # seconds; who was stopped for that long reads first what came meanwhile
SECOND = 1.0
CHILDHOOD = 10.0  # seconds in which gateways may tell a new registry what they know
GRACE = 2.0  # seconds in which one that knows nothing itself waits for one that does
LEAD_PAUSE = 0.05  # seconds until somebody who does not lead tries again
HANDOVER_LIMIT = 5.0  # seconds for the next registry to take everything


class Registry:
    """See the module. ``books`` and ``inboxes`` are by kind of gateway, where it has nodes."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self.settings = settings = start.settings
        kinds = {kind for kind, _ in settings.subscription_servers}
        self.books: dict[str, Book] = {}
        self._resubscribers: dict[str, Resubscriber] = {}
        for kind in sorted(kinds):
            self._open_book(kind)
        self.inboxes: defaultdict[str, list[Inbox]] = defaultdict(list)
        self.counters = Counters(log, lines=1, period=SECOND)
        self.leads = False
        self._stops = False  # and nobody comes after us
        self._born = 0.0  # when it began to lead
        self._is_newborn = False  # nobody has told it anything before that
        self._told: set[str] = set()  # kinds of gateways that have told a newborn something
        self._waiting: set[Subscriber] = set()  # for others to do that
        self._listens_since: float | None = None  # None: somebody has listened all the time
        (listener,) = (one for one in start.listeners if one.role == "registry")
        self._listener = socket.socket(fileno=listener.fd)
        self.feed = Feed(self._listener, self, _users(settings))
        self._acknowledgements = Acknowledgements()
        shown = [kind for kind in COREROUTERS if settings.corerouter(kind).stats_server]
        self.census = Census(self.feed, shown)
        self.reports = {
            kind: Report(kind, start, self.census, self.books.get(kind), self.inboxes[kind])
            for kind in shown
        }

    def _open_book(self, kind: str) -> None:
        settings = self.settings
        core = settings.corerouter(kind)
        names = [name for role, name in self._start.bound if role in ROLES[kind]]
        resubscription = None
        if core.resubscribe and names:
            resubscription = Resubscription(_identity(self._start), names)
        book = self.books[kind] = Book(kind, settings, resubscription)
        if resubscription is not None:
            source = core.resubscribe_bind
            option = f"{kind}-resubscribe-sign"
            signer = None
            if core.resubscribe_sign is not None:
                sign = parse_sign(option, core.resubscribe_sign)
                signer = load_signer(sign, settings.application.chdir, option)
            self._resubscribers[kind] = Resubscriber(
                resubscription,
                book.table,
                [
                    Upstream(
                        parse_backend(text),
                        parse_listen(source) if source else None,
                        signer=signer,
                    )
                    for text in core.resubscribe
                ],
                interval=settings.subscribe.subscribe_freq,
                proto="http" if kind == "http" else "",
            )

    # What service.run calls.

    async def serve(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Wait until nobody else leads, then lead until cancelled."""
        task_status.started()
        was_told = False
        while not lead.try_lead(self._listener):
            assert self._start.registry_address is not None
            was_told |= await follow(self._start.registry_address, self.books, self.census)
            await trio.sleep(LEAD_PAUSE)
        self._begin(newborn=not was_told and not self._start.is_first)
        async with trio.open_nursery() as inner:
            for listener in self._start.listeners:
                kind = listener.role.removesuffix("-subscription")
                if kind in self.books:
                    inner.start_soon(self._receive, listener, self.books[kind])
                report = self.reports.get(listener.role.removesuffix("-stats"))
                if report is not None:
                    inner.start_soon(report.serve, listener, nursery)
            for kind in self.books:
                if self.settings.corerouter(kind).check:
                    inner.start_soon(self._check, kind)
            inner.start_soon(self._clock)
            for resubscriber in self._resubscribers.values():
                inner.start_soon(resubscriber.run)
            inner.start_soon(self.feed.serve, nursery)

    def drain(self, idle: float) -> None:
        """Nothing is heard any more; see ``drained``."""
        self._stops = not idle

    async def drained(self) -> None:
        """Hand over to the registry that waits, if there is one."""
        if not self.leads:
            return
        self.leads = False
        for report in self.reports.values():
            await report.finish()
        if self._stops:
            for resubscriber in self._resubscribers.values():
                await resubscriber.end()
        with trio.move_on_after(HANDOVER_LIMIT):
            await self.feed.wait_idle("registry")
            await self._hand_over_figures()
        # Before the connections end: whoever sees that end tries to lead at once.
        lead.stop_leading(self._listener)
        self.feed.close()

    async def _hand_over_figures(self) -> None:
        successors = [one for one in self.feed.subscribers if one.kind == "registry"]
        if not successors or not self.reports:
            return
        for kind in self.reports:
            await self.census.ask(kind)
        for successor in successors:
            successor.send_table(self.census.hand_over())
        await self.feed.wait_idle("registry")

    def close(self) -> None:
        """Close what is its own."""
        self._listener.close()
        self._acknowledgements.close()

    def renew(self, name: str, material: bytes) -> None:
        """It has no certificates."""

    # What subscribers say.

    def on_message(self, subscriber: Subscriber, message: Message) -> None:
        """See ``feed.Owner``."""
        now = time.monotonic()
        kind = message.get("kind")
        match message["type"]:
            case "hello" if isinstance(kind, str):
                subscriber.kind = kind
                if self._is_newborn and kind in self.books:
                    subscriber.send(ASK)
                else:
                    subscriber.send_table(self._everything(kind))
            case "rows" if kind in self.books:
                self._told.add(kind)
                if self.books[kind].take_offer(message, now):
                    subscriber.brought_news = True
            case "end" if kind in self.books:
                self._offer_ends(subscriber, self.books[kind])
            case "out" if kind in self.books:
                book = self.books[kind]
                changes, answer = book.put_out(message, now)
                if answer is not None:
                    subscriber.send(answer)
                self.tell(book, changes, besides=subscriber)
            case "figures" | "counted":
                self.census.on_message(subscriber, message)
            case _:
                pass

    def on_gone(self, subscriber: Subscriber) -> None:
        """See ``feed.Owner``."""
        self._waiting.discard(subscriber)
        self.census.on_gone(subscriber)

    def _offer_ends(self, subscriber: Subscriber, book: Book) -> None:
        book.table.settle()
        if subscriber.brought_news:
            concerned = {
                one for one in self.feed.subscribers if one.kind in (book.kind, "registry")
            }
        elif book.kind in self._told or time.monotonic() - self._born > GRACE:
            concerned = {subscriber}
        else:
            # It was just started, perhaps. It must not believe that there are no nodes.
            self._waiting.add(subscriber)
            return
        self._answer(concerned)
        subscriber.brought_news = False

    def _answer(self, subscribers: set[Subscriber]) -> None:
        self._waiting -= subscribers
        for one in subscribers:
            one.send_table(self._everything(one.kind))

    def _everything(self, kind: str) -> Iterator[bytes]:
        """What a subscriber of a kind has to know first."""
        if kind in self.books:
            return self.books[kind].frames()
        if kind != "registry":
            return iter(())
        books = self.books.values()
        tables = chain.from_iterable(book.frames() for book in books)
        return chain(tables, chain.from_iterable(book.memory() for book in books), [COMPLETE])

    # What nodes say.

    async def _receive(self, listener: Listener, book: Book) -> None:
        def hear(datagram: bytes, sender: Credentials | None) -> None:
            try:
                frame, changes = book.hear(datagram, time.monotonic(), time.time(), sender)
            except Refused as refused:
                name = f"{listener.name}: {refused.reason.value}"
                self.counters.refuse(name, "%s: refused: %s", listener.name, refused)
                return
            self.feed.tell(book.kind, frame)
            self._handle(book, changes)

        with socket.socket(fileno=os.dup(listener.fd)) as sock:
            inbox = Inbox(sock)
            self.inboxes[book.kind].append(inbox)
            await inbox.run(hear)

    async def _check(self, kind: str) -> None:
        book = self.books[kind]
        checks = Checks(
            self.settings.corerouter(kind),
            book.table,
            lambda changes: self.tell(book, changes),
            speaks_http=kind == "http" and self.settings.http.http_backend_http,
        )
        if kind in self.reports:
            self.reports[kind].checks = checks
        await checks.run()

    # What changes.

    def tell(self, book: Book, changes: list[Change], *, besides: Subscriber | None = None) -> None:
        """Changes that were not announced: gateways do not know them yet."""
        for frame in book.frames_of(changes):
            self.feed.tell(book.kind, frame, besides=besides)
        self._handle(book, changes)

    def _handle(self, book: Book, changes: list[Change]) -> None:
        if book.kind in self._resubscribers:
            self._resubscribers[book.kind].note(changes)
        for change in changes:
            match change:
                case Joined(node):
                    log.info("%s: %s => new node: %s", book.kind, node.key, node.address)
                    self._acknowledgements.send(change)
                case Left(node, cause):
                    log.info("%s: %s => %s %s", book.kind, node.key, node.address, cause.value)
                    self.census.forget(book.kind, book.table, node)
                case _:
                    log.debug("%s: %r", book.kind, change)

    def _begin(self, *, newborn: bool) -> None:
        self.leads = True
        self._is_newborn = newborn
        self._born = time.monotonic()
        self._listens_since = self._born if newborn else None
        for book in self.books.values():
            book.begin(newborn=newborn)
            book.look(time.time())
        nodes = sum(book.table.node_count for book in self.books.values())
        log.info("the registry (pid: %d) leads, with %d nodes", os.getpid(), nodes)

    async def _clock(self) -> None:
        """Let time pass in all books."""
        before = second = time.monotonic()
        while True:
            await trio.sleep(TICK)
            now = time.monotonic()
            for book in self.books.values():
                is_sure = now - before < LATE and self._hears_all(book, now)
                self.tell(book, book.advance(now, expire=is_sure))
            before = now
            if now - self._born > GRACE:
                self._answer(set(self._waiting))
            if self._is_newborn and now - self._born > CHILDHOOD:
                self._is_newborn = False
                for book in self.books.values():
                    book.grow_up()
            if now - second >= SECOND:
                second = now
                self.counters.tick(now)
                for book in self.books.values():
                    book.look(time.time())
                self._acknowledgements.tick()

    def _hears_all(self, book: Book, now: float) -> bool:
        """Whether a node that was not heard of has said nothing.

        In a flood the kernel drops announcements, the good ones too; and nobody listened just
        before a newborn came. Nodes that are gone are then found out by the requests that do
        not reach them.
        """
        tolerance = book.table.options.tolerance
        if self._listens_since is not None and now - self._listens_since <= tolerance:
            return False
        return all(now - inbox.lost_at > tolerance for inbox in self.inboxes[book.kind])


def _identity(start: Start) -> str:
    """What tells this instance from all others that pass announcements on.

    It stays the same through reloads.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    network = os.readlink("/proc/self/ns/net")  # two of them may have the same abstract names
    text = f"{boot} {network} {start.registry_address}"
    host = re.sub(r"[^A-Za-z0-9.-]", "", socket.gethostname())[:32]
    return f"{host}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _users(settings: Settings) -> frozenset[int]:
    """Who may be a gateway, or a registry."""
    names = [settings.master.uid, *(settings.corerouter(kind).uid for kind in COREROUTERS)]
    return frozenset({0, os.geteuid(), *(find_user(name) for name in names if name is not None)})


def main(fd: int) -> None:
    """Be the registry; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    service.run("registry", start, Registry, None, None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
