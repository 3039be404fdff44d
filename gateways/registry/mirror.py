"""A table that follows what a registry tells of its own (frames). No I/O."""

from __future__ import annotations

import logging
from dataclasses import fields

from uwgate.gateways.registry.frames import FrameError, Message
from uwgate.subscriptions.admission import Credentials
from uwgate.subscriptions.change import Cause, Change
from uwgate.subscriptions.packet import Command, Packet
from uwgate.subscriptions.refusal import Refused
from uwgate.subscriptions.state import Copy, health_from
from uwgate.subscriptions.table import Table

log = logging.getLogger("uwgate.registry")

PACKET_FIELDS = frozenset(field.name for field in fields(Packet))


class Mirror:
    """``is_complete`` since a whole table has come. What comes in pieces is followed at once."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.is_complete = False
        self._copy: Copy | None = None

    def follow(self, message: Message, now: float) -> list[Change]:
        """Do what a message of the registry says; one of an unknown type says nothing.

        Raises:
            FrameError: it is damaged; a part of it may have been followed.
        """
        try:
            return self._follow(message, now)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FrameError(f"damaged {message['type']}: {error!r}") from error

    def interrupted(self) -> None:
        """The connection broke; a table that had begun to come will begin again."""
        self._copy = None

    def _follow(self, message: Message, now: float) -> list[Change]:
        table = self.table
        match message["type"]:
            case "begin":
                self._copy = Copy(table)
            case "rows" if self._copy is not None:
                copy = self._copy
                return [change for row in message["rows"] for change in copy.put(row, now)]
            case "end" if self._copy is not None:
                changes = self._copy.end()
                self._copy = None
                self.is_complete = True
                return changes
            case "packet":
                return self._announced(message)
            case "gone":
                node = table.node(message["key"], message["node"])
                return [] if node is None else table.drop(node, Cause(message["cause"]))
            case "health":
                node = table.node(message["key"], message["node"])
                if node is not None:
                    health = health_from(message["health"])
                    return table.set_health(node, health, Cause(message["cause"]), now)
            case _:
                pass
        return []

    def _announced(self, message: Message) -> list[Change]:
        known = {name: value for name, value in message["packet"].items() if name in PACKET_FIELDS}
        packet = Packet(**known | {"command": Command(known["command"])})
        sender = Credentials(*message["sender"]) if message["sender"] else None
        table = self.table
        try:
            changes = table.follow(packet, message["now"], sender, sni=message["sni"])
        except Refused as refused:  # requests run here on nodes that are gone there
            log.debug("%s", refused)
            return []
        if self._copy is not None:
            key = table.options.lookup.normal(packet.key)
            self._copy.heard_of(key, packet.address or f"\0{packet.vassal}")
        return changes
