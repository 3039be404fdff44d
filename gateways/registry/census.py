"""Asks the gateway processes what they have counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import count

import trio

from uwgate.gateways.registry.feed import Feed, Subscriber
from uwgate.gateways.registry.figures import FAREWELL, ProcessFigures
from uwgate.gateways.registry.frames import FrameError, Message, encode
from uwgate.gateways.registry.ledger import Account, Ledger, ProcessName
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.table import Table

LIMIT = 1.0  # seconds in which a gateway has to answer


class Question:
    """One question to the gateways of a kind.

    ``missing`` has what has come of answers that are not complete; ``done``: there are none.
    """

    def __init__(self, number: int, asked: list[Subscriber]) -> None:
        self.number = number
        self.missing = {subscriber: Account() for subscriber in asked}
        self.done = trio.Event()
        self.look_if_done()

    def look_if_done(self) -> None:
        """An answer is complete, or will never come."""
        if not self.missing:
            self.done.set()


class Census:
    """``ledgers`` are by kind of gateway, of those kinds that somebody wants to see."""

    def __init__(self, feed: Feed, kinds: Iterable[str]) -> None:
        self.ledgers = {kind: Ledger() for kind in kinds}
        self._feed = feed
        self._numbers = count(1)
        self._questions: dict[str, Question] = {}  # one at a time for each kind
        self._farewells: dict[Subscriber, Account] = {}
        self._names: dict[Subscriber, ProcessName] = {}

    async def ask(self, kind: str) -> set[int]:
        """Ask all gateways of a kind; returns the pids of those that do not answer in time."""
        question = self._questions.get(kind)
        if question is None:
            asked = [one for one in self._feed.subscribers if one.kind == kind]
            question = self._questions[kind] = Question(next(self._numbers), asked)
            for subscriber in asked:
                subscriber.send(encode("count", id=question.number))
        with trio.move_on_after(LIMIT):
            await question.done.wait()
        if self._questions.get(kind) is question:
            del self._questions[kind]
        return {subscriber.pid for subscriber in question.missing}

    def processes(self, kind: str) -> list[ProcessFigures]:
        """What the gateways that are connected said last, or only who they are."""
        known = {one.pid: one for one in self.ledgers[kind].processes}
        pids = sorted(one.pid for one in self._feed.subscribers if one.kind == kind)
        return [known.get(pid) or ProcessFigures(pid=pid) for pid in pids]

    def forget(self, kind: str, table: Table, node: Node) -> None:
        """A node has gone."""
        if kind in self.ledgers:
            self.ledgers[kind].forget(node.key, node.name)
            if node.key not in table.slots:
                self.ledgers[kind].forget_key(node.key)

    def on_message(self, subscriber: Subscriber, message: Message) -> None:
        """A gateway says ``figures`` or ``counted``; what comes too late is passed over.

        Raises:
            FrameError: the message is damaged.
        """
        ledger = self.ledgers.get(subscriber.kind)
        question = self._questions.get(subscriber.kind)
        if ledger is None:
            return
        if message.get("id") == FAREWELL:
            self._farewells.setdefault(subscriber, Account())
            answers = self._farewells
        elif question is not None and message.get("id") == question.number:
            answers = question.missing
        else:
            return
        account = answers.get(subscriber)
        if account is None:
            return
        if message["type"] == "counted":
            self._names[subscriber] = ledger.put(account)
            del answers[subscriber]
            if question is not None:
                question.look_if_done()
            return
        with _damage():
            account.take(message["row"])

    def on_gone(self, subscriber: Subscriber) -> None:
        """A gateway has gone, or was disconnected."""
        self._farewells.pop(subscriber, None)
        question = self._questions.get(subscriber.kind)
        if question is not None:
            question.missing.pop(subscriber, None)
            question.look_if_done()
        name = self._names.pop(subscriber, None)
        if name is not None:
            self.ledgers[subscriber.kind].close(name)

    # From one registry to the next.

    def hand_over(self) -> Iterator[bytes]:
        """Frames for the next registry. What gateways count from now on they will tell it."""
        for kind, ledger in self.ledgers.items():
            for row in ledger.hand_over():
                yield encode("ledger", kind=kind, row=row)

    def take_over(self, message: Message) -> None:
        """A ``ledger`` of the registry before us.

        Raises:
            FrameError: it is damaged.
        """
        with _damage():
            if message["kind"] in self.ledgers:
                self.ledgers[message["kind"]].take_over(message["row"])


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise FrameError(f"damaged figures: {error!r}") from error
