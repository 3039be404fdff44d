"""What happens to a legion, as log lines and as hooks that have no hurry."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import trio

from uwgate.legion.hooks import Hooks
from uwgate.legion.mode import Mode
from uwgate.subscriptions.legion.election import (
    Crowded,
    Join,
    LordChanged,
    NodeJoined,
    NodeLeft,
    QuorumLost,
    QuorumReached,
)
from uwgate.subscriptions.legion.hook import Event
from uwgate.subscriptions.legion.spec import LegionSpec

log = logging.getLogger("uwgate.legion")

MAX_WAITING = 256  # events whose hooks have not begun


class Chronicle:
    """Logs events of one node, and runs their hooks in the order in which they happened."""

    def __init__(self, spec: LegionSpec, mode: Mode, hooks: Hooks) -> None:
        self._spec = spec
        self._mode = mode
        self._hooks = hooks
        self._events, self._waiting = trio.open_memory_channel[tuple[Event, Mapping[str, str]]](
            MAX_WAITING
        )

    def begin(self) -> None:
        """The node starts."""
        spec = self._spec
        for line in spec.warnings():
            log.warning("%s", line)
        log.info(
            "legion %s: node %s, valor %d, quorum %d, %s packets",
            spec.name,
            self._mode.text(self._mode.election.identity.uuid),
            spec.valor,
            spec.votes_needed,
            "sealed" if spec.is_sealed else "uWSGI's",
        )
        self._plan(Event.SETUP)

    def note(self, action: object) -> None:
        """Something has happened that the election reports."""
        name = self._spec.name
        match action:
            case Join():
                self._plan(Event.JOIN)
            case QuorumReached(votes):
                log.info("legion %s: quorum: %d votes", name, votes)
            case QuorumLost(votes, needed):
                log.warning("legion %s: no quorum: %d votes, %d needed", name, votes, needed)
            case Crowded(votes, quorum):
                log.error(
                    "legion %s: a quorum of %d is not more than half of %d nodes, two lords are"
                    " possible: set legion-quorum to %d on all of them",
                    name,
                    quorum,
                    votes,
                    votes // 2 + 1,
                )
            case LordChanged(None):
                log.warning("legion %s: no lord is known", name)
            case LordChanged(bytes(uuid)):
                log.info("legion %s: the lord is %s", name, self._describe(uuid))
            case NodeJoined(uuid):
                log.info("legion %s: %s joined", name, self._describe(uuid))
                self._plan(Event.NODE_JOINED, self._about(uuid))
            case NodeLeft(uuid, said_so):
                text = self._mode.text(uuid)
                log.warning("legion %s: %s %s", name, text, "left" if said_so else "is silent")
                about = {"UWGATE_LEGION_NODE_UUID": text}
                about["UWGATE_LEGION_NODE_SAID_SO"] = "1" if said_so else "0"
                self._plan(Event.NODE_LEFT, about)

    async def run_hooks(self) -> None:
        """Run the hooks of what has happened, for ever."""
        async for event, environ in self._waiting:
            await self._hooks.run(event, environ)

    async def run(self, event: Event) -> None:
        """Run the hooks of an event now."""
        await self._hooks.run(event, self.environ(0))

    def environ(self, term: int) -> dict[str, str]:
        """What every hook is told; ``term`` 0: the highest that is known."""
        election = self._mode.election
        return {
            "UWGATE_LEGION_TERM": str(term or election.term),
            "UWGATE_LEGION_VALOR": str(self._spec.valor),
            "UWGATE_LEGION_UUID": self._mode.text(election.identity.uuid),
        }

    def _plan(self, event: Event, about: Mapping[str, str] | None = None) -> None:
        if not self._spec.hooks.get(event):
            return
        try:
            self._events.send_nowait((event, {**self.environ(0), **(about or {})}))
        except trio.WouldBlock:
            log.error(
                "legion %s: %s: its hooks are left out, those of %d events wait already",
                self._spec.name,
                event.value,
                MAX_WAITING,
            )

    def _describe(self, uuid: bytes) -> str:
        if uuid == self._mode.election.identity.uuid:
            return "this node"
        about = self._about(uuid)
        name, valor = about.get("UWGATE_LEGION_NODE_NAME"), about.get("UWGATE_LEGION_NODE_VALOR")
        return f"{self._mode.text(uuid)} ({name}, valor {valor})"

    def _about(self, uuid: bytes) -> dict[str, str]:
        about = {"UWGATE_LEGION_NODE_UUID": self._mode.text(uuid)}
        for member in self._mode.members():
            if member.uuid == uuid:
                about["UWGATE_LEGION_NODE_NAME"] = printable(member.name)
                about["UWGATE_LEGION_NODE_VALOR"] = str(member.valor)
        return about


def printable(name: bytes) -> str:
    """A name from a packet, fit for logs and environments."""
    text = name.decode("utf-8", "replace")
    return "".join(one if one.isprintable() else "?" for one in text)
