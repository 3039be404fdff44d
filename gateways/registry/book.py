"""What the registry knows of the nodes of one kind of gateway, and how it learns it. No I/O with
the network: datagrams and messages come in, changes and frames come out.

Times are ``now`` (the monotonic clock) and ``unix`` (since 1970), in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, replace
from typing import NamedTuple

from uwgate.conf.privileges import find_user
from uwgate.conf.settings import Settings
from uwgate.gateways.corerouter.tables import table_options
from uwgate.gateways.registry.frames import FrameError, Message, encode
from uwgate.gateways.registry.mirror import Mirror
from uwgate.subscriptions import state
from uwgate.subscriptions.admission import Admission, Credentials
from uwgate.subscriptions.change import Back, Cause, Change, Left, Out
from uwgate.subscriptions.keyring import KeyFolder
from uwgate.subscriptions.node import Node
from uwgate.subscriptions.packet import Packet
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.resubscription import Resubscription
from uwgate.subscriptions.signature import Verifier
from uwgate.subscriptions.sni import are_within, paths_of
from uwgate.subscriptions.spec import parse_sign_check
from uwgate.subscriptions.table import Table

# Replicas find these out by themselves: from the announcement, and from the time.
KNOWN_TO_ALL = (Cause.ANNOUNCED, Cause.PERIOD_OVER, Cause.UNSUBSCRIBED)
MAX_GONE = 10_000  # nodes that went while others still tell what they knew
MARKS_OF_FRAME = 500
_DEFAULTS = {field.name: field.default for field in fields(Packet)}


class Heard(NamedTuple):
    """An announcement was followed: what to tell the replicas, and what it changed here."""

    frame: bytes
    changes: list[Change]


class Book:
    """``loops`` finds announcements that come back to us; None where nothing is passed on."""

    def __init__(self, kind: str, settings: Settings, loops: Resubscription | None) -> None:
        self.kind = kind
        self.loops = loops
        self.table = Table(table_options(settings, kind))
        self.mirror = Mirror(self.table)
        options = settings.subscriptions
        self._sni_folders = options.subscription_sni_folder
        self.keys: KeyFolder | None = None
        verifier = None
        if options.subscriptions_sign_check is not None:
            check = parse_sign_check("subscriptions-sign-check", options.subscriptions_sign_check)
            self.keys = KeyFolder(check.path, check.scheme)
            verifier = Verifier(
                check.scheme, self.keys, tolerance=options.subscriptions_sign_check_tolerance
            )
        self.admission = Admission(
            verifier=verifier,
            prefixes=options.subscriptions_credentials_check,
            skip_uids=[
                find_user(name, "subscriptions-sign-skip-uid")
                for name in options.subscriptions_sign_skip_uid
            ],
            vassal_required=options.subscription_vassal_required,
        )
        self._gone: set[tuple[str, str]] | None = None

    # Announcements.

    def hear(self, datagram: bytes, now: float, unix: float, sender: Credentials | None) -> Heard:
        """Follow an announcement.

        Raises:
            Refused: and it has been counted; nothing has changed.
        """
        admission = self.admission
        packet = admission.admit(datagram, unix, sender)
        try:
            if self.loops is not None:
                self.loops.check(packet)
            sni = self._may_bring(packet, sender)
            changes = self.table.follow(packet, now, sender, sni=sni)
        except Refused as refused:
            admission.accepted -= 1
            admission.refuse(refused)
            raise
        self._note_gone(changes)
        plain = {
            name: value
            for name in _DEFAULTS
            if (value := getattr(packet, name)) != _DEFAULTS[name] and name != "signature"
        }
        frame = encode(
            "packet",
            kind=self.kind,
            now=now,
            packet=plain | {"command": int(packet.command)},
            sender=None if sender is None else [sender.pid, sender.uid, sender.gid],
            sni=sni,
        )
        return Heard(frame, changes)

    def _may_bring(self, packet: Packet, sender: Credentials | None) -> bool:
        """Whether the certificate in an announcement may be used."""
        paths = paths_of(packet)
        if paths is None:
            return False
        return self.admission.is_signed(sender) or are_within(paths, self._sni_folders)

    # Time, and what gateways tell.

    def look(self, unix: float) -> None:
        """See which names may be signed for; about once a second."""
        if self.keys is not None:
            self.keys.look(unix)

    def advance(self, now: float, *, expire: bool) -> list[Change]:
        """Let nodes go whose announcements have stopped; see ``Table.advance``."""
        changes = self.table.advance(now, expire=expire)
        self._note_gone(changes)
        return changes

    def put_out(self, message: Message, now: float) -> tuple[list[Change], bytes | None]:
        """A gateway says ``out``; returns what that changed, and what to answer.

        Raises:
            FrameError: the message is damaged.
        """
        try:
            node = self.table.node(message["key"], message["node"])
            cause = Cause(message["cause"])
            at, until = float(message["at"]), float(message["until"])
            ejections = int(message["ejections"])
            if not math.isfinite(at + until):
                raise ValueError("not a time")
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise FrameError(f"damaged out: {error!r}") from error
        if node is None:
            return [], None
        health = node.health
        # It was announced after it failed, and is believed that once (health.announced).
        is_old = at < health.back_at or (at < node.last_check and ejections <= 1)
        if is_old or not self._may_be_out(node, cause):
            return [], self.health_frame(node, cause)
        until = min(until, now + self.table.options.ejection.longest)
        out = replace(health, out_until=until, ejections=max(ejections, health.ejections))
        return self.table.set_health(node, out, cause, now), None

    def _may_be_out(self, node: Node, cause: Cause) -> bool:
        """Two gateways may each put out one node of two, and each find that this is not all."""
        slot = node.slot
        if cause is not Cause.BAD_ANSWERS or slot is None or node.health.is_out:
            return True
        return self.table.options.ejection.may_eject(slot.out, len(slot.live) + slot.out)

    # What others are told.

    def frames_of(self, changes: Iterable[Change]) -> Iterator[bytes]:
        """What replicas have to be told of these changes."""
        for change in changes:
            match change:
                case Left(node, cause) if cause not in KNOWN_TO_ALL:
                    yield encode(
                        "gone",
                        kind=self.kind,
                        key=node.key,
                        node=node.name,
                        cause=cause.value,
                    )
                case Out(node, cause) | Back(node, cause) if cause not in KNOWN_TO_ALL:
                    yield self.health_frame(node, cause)
                case _:
                    pass

    def health_frame(self, node: Node, cause: Cause) -> bytes:
        """How a node is, as the registry sees it."""
        return encode(
            "health",
            kind=self.kind,
            key=node.key,
            node=node.name,
            cause=cause.value,
            health=asdict(node.health),
        )

    def frames(self) -> Iterator[bytes]:
        """The whole table. It may change between two frames: tell that in between."""
        return table_frames(self.kind, self.table)

    # From one registry to the next.

    def begin(self, *, newborn: bool) -> None:
        """This is the book that counts from now on. A newborn will be told by others."""
        self.table.settle()
        self._gone = set() if newborn else None

    def grow_up(self) -> None:
        """Nobody will tell any more."""
        self._gone = None

    def take_offer(self, message: Message, now: float) -> bool:
        """What a gateway knew before we were born; returns whether that was any news.

        Raises:
            FrameError: the message is damaged; a part of it may have been followed.
        """
        if self._gone is None:
            return False
        news = False
        try:
            for row in message["rows"]:
                news |= state.add(self.table, row, now, without=self._gone)
                self._remember(row["key"])
        except (ValueError, KeyError, TypeError) as error:
            raise FrameError(f"damaged offer: {error!r}") from error
        return news

    def _remember(self, key: str) -> None:
        """What was signed and heard before must not be said again."""
        verifier, slot = self.admission.verifier, self.table.slots.get(key)
        if verifier is not None and slot is not None:
            nodes = slot.members.values()
            verifier.take_over((node.key, node.address, node.said) for node in nodes if node.said)

    def memory(self) -> Iterator[bytes]:
        """What only the next registry has to know: marks and counts."""
        verifier = self.admission.verifier
        marks = [] if verifier is None else verifier.marks()
        for begin in range(0, len(marks), MARKS_OF_FRAME):
            yield encode("marks", kind=self.kind, marks=marks[begin : begin + MARKS_OF_FRAME])
        yield encode(
            "counts",
            kind=self.kind,
            accepted=self.admission.accepted,
            refused={reason.value: count for reason, count in self.admission.refused.items()},
        )

    def follow(self, message: Message, now: float) -> None:
        """What the registry before us says, while it is the one that counts.

        Raises:
            FrameError: the message is damaged.
        """
        self.mirror.follow(message, now)
        verifier = self.admission.verifier
        try:
            match message["type"]:
                case "marks" if verifier is not None:
                    verifier.take_over(
                        (key, node, int(time)) for key, node, time in message["marks"]
                    )
                case "counts":
                    self.admission.accepted = int(message["accepted"])
                    for reason, count in message["refused"].items():
                        self.admission.refused[Refusal(reason)] = int(count)
                case "packet":
                    self.admission.accepted += 1
                    packet = message["packet"]
                    if verifier is not None and "unix" in packet:
                        said = Packet(key="", unix=packet["unix"], micros=packet.get("micros")).said
                        verifier.take_over([(packet["key"], packet.get("address", ""), said)])
                case _:
                    pass
        except (ValueError, KeyError, TypeError) as error:
            raise FrameError(f"damaged {message['type']}: {error!r}") from error

    def _note_gone(self, changes: Iterable[Change]) -> None:
        if self._gone is not None and len(self._gone) < MAX_GONE:
            self._gone.update(
                (change.node.key, change.node.name)
                for change in changes
                if isinstance(change, Left)
            )


def table_frames(kind: str, table: Table) -> Iterator[bytes]:
    """A table as frames, from ``begin`` to ``end``."""
    yield encode("begin", kind=kind)
    batch: list[state.Row] = []
    size = 0
    for row in state.rows(table, list(table.slots)):
        batch.append(row)
        size += len(row["nodes"])
        if size >= state.NODES_OF_ROW:
            yield encode("rows", kind=kind, rows=batch)
            batch, size = [], 0
    if batch:
        yield encode("rows", kind=kind, rows=batch)
    yield encode("end", kind=kind)
