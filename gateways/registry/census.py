"""Asks the gateway processes what they have counted."""

from __future__ import annotations

from collections import defaultdict
from itertools import count

import trio

from uwgate.gateways.registry.feed import Feed, Subscriber
from uwgate.gateways.registry.figures import ProcessFigures
from uwgate.gateways.registry.frames import FrameError, Message, encode
from uwgate.gateways.registry.ledger import Account, Ledger, ProcessName
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.table import Table

LIMIT = 1.0  # seconds in which a gateway has to answer


class Question:
    """One question to the gateways of a kind. ``done``: nobody's answer is missing."""

    def __init__(self, number: int, asked: list[Subscriber]) -> None:
        self.number = number
        self.missing = {subscriber: Account() for subscriber in asked}
        self.done = trio.Event()
        if not asked:
            self.done.set()

    def answered(self, subscriber: Subscriber) -> Account | None:
        """All of an answer has come; returns it."""
        account = self.missing.pop(subscriber, None)
        if not self.missing:
            self.done.set()
        return account


class Census:
    """``ledgers`` are by kind of gateway."""

    def __init__(self, feed: Feed) -> None:
        self.ledgers: defaultdict[str, Ledger] = defaultdict(Ledger)
        self._feed = feed
        self._numbers = count(1)
        self._questions: dict[str, Question] = {}  # one at a time for each kind
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
        question = self._questions.get(subscriber.kind)
        if question is None or message.get("id") != question.number:
            return
        if message["type"] == "counted":
            account = question.answered(subscriber)
            if account is not None:
                self._names[subscriber] = self.ledgers[subscriber.kind].put(account)
        elif subscriber in question.missing:
            try:
                question.missing[subscriber].take(message["row"])
            except (ValueError, KeyError, TypeError) as error:
                raise FrameError(f"damaged figures: {error!r}") from error

    def on_gone(self, subscriber: Subscriber) -> None:
        """A gateway has gone, or was disconnected."""
        question = self._questions.get(subscriber.kind)
        if question is not None:
            question.answered(subscriber)
        name = self._names.pop(subscriber, None)
        if name is not None:
            self.ledgers[subscriber.kind].close(name)
