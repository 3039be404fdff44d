"""The two modes of a legion behind one shape: election, inbox and wire format of one node."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from uwgate.subscriptions.legion import packet, statement
from uwgate.subscriptions.legion.election import Election, Identity
from uwgate.subscriptions.legion.inbox import CompatibleInbox, SealedInbox
from uwgate.subscriptions.legion.packet import NOBODY, Announcement
from uwgate.subscriptions.legion.promises import PromiseElection
from uwgate.subscriptions.legion.refusal import Reason
from uwgate.subscriptions.legion.sealed import Opener, Sealer, derive
from uwgate.subscriptions.legion.spec import LegionSpec
from uwgate.subscriptions.legion.statement import Statement
from uwgate.subscriptions.legion.unanimity import UnanimousElection


@dataclass(frozen=True, slots=True)
class Member:
    """Another node. ``heard``: when it spoke last, on the clock of the election."""

    uuid: bytes
    name: bytes
    valor: int
    checksum: int
    scroll: bytes
    heard: float


class Mode(Protocol):
    """What a node needs. Messages are of the mode's own kind; a node only carries them."""

    refused: Counter[Reason]

    @property
    def election(self) -> Election[Any]:
        """Who decides."""

    def open(self, datagram: bytes, wall: float) -> Any | None:
        """The message of a datagram, None if it must change nothing."""

    def seal(self, message: Any) -> bytes:
        """The datagram of a message."""

    def sender(self, message: Any) -> bytes:
        """The uuid of who says this."""

    def members(self) -> Iterator[Member]:
        """The other nodes, in the order in which they joined."""

    def vote(self) -> tuple[int, bytes]:
        """Valor and uuid of who should be lord in this node's view; 0 and nothing: nobody."""

    def checksum(self) -> int:
        """This node's view of the members, as a number."""

    def text(self, uuid: bytes) -> str:
        """A uuid as people write it."""

    def lease_end(self) -> float:
        """Until when the election has made this node lord; may be infinite."""


class CompatibleMode:
    """Speaks uWSGI's packets."""

    def __init__(self, spec: LegionSpec, *, name: bytes, pid: int, now: float, term: int) -> None:
        assert spec.cipher is not None
        identity = Identity(str(uuid.uuid4()).encode(), name, spec.valor)
        legion = spec.name.encode()
        self._cipher = spec.cipher
        self._inbox = CompatibleInbox(legion, identity.uuid, spec.cipher, spec.times.skew)
        self.refused = self._inbox.refused
        self._election = UnanimousElection(
            identity,
            legion=legion,
            pid=pid,
            quorum=spec.votes_needed,
            timing=spec.times,
            now=now,
            scroll=spec.scroll,
        )
        self._election.term = term

    @property
    def election(self) -> Election[Any]:
        return self._election

    def open(self, datagram: bytes, wall: float) -> Announcement | None:
        return self._inbox.open(datagram, wall)

    def seal(self, message: Announcement) -> bytes:
        return packet.encode(message, self._cipher)

    def sender(self, message: Announcement) -> bytes:
        return message.uuid

    def members(self) -> Iterator[Member]:
        for uuid_, member in self._election.members.items():
            said = member.said
            yield Member(uuid_, said.name, said.valor, said.checksum, said.scroll, member.heard)

    def vote(self) -> tuple[int, bytes]:
        valor, uuid_ = self._election.vote
        return (0, b"") if uuid_ == NOBODY else (valor, uuid_)

    def checksum(self) -> int:
        return self._election.checksum

    def text(self, uuid: bytes) -> str:
        return uuid.decode("ascii", "replace")

    def lease_end(self) -> float:
        return self._election.lease_end()


class SealedMode:
    """Speaks sealed packets. Must not cross a fork: its nonces would come twice."""

    def __init__(self, spec: LegionSpec, *, name: bytes, now: float, term: int) -> None:
        assert spec.suite is not None
        identity = Identity(uuid.uuid4().bytes, name, spec.valor)
        legion = spec.name.encode()
        keys = [
            derive(legion, secret.encode("utf-8", "surrogateescape")) for secret in spec.secrets
        ]
        self._sealer = Sealer(keys[0], identity.uuid, spec.suite)
        self._inbox = SealedInbox(legion, identity.uuid, Opener(keys))
        self.refused = self._inbox.refused
        self._election = PromiseElection(
            identity,
            quorum=spec.votes_needed,
            timing=spec.times,
            now=now,
            term=term,
            scroll=spec.scroll,
        )

    @property
    def election(self) -> Election[Any]:
        return self._election

    def open(self, datagram: bytes, wall: float) -> Statement | None:
        return self._inbox.open(datagram)

    def seal(self, message: Statement) -> bytes:
        return self._sealer.seal(message.sequence, statement.encode(message))

    def sender(self, message: Statement) -> bytes:
        return message.sender

    def members(self) -> Iterator[Member]:
        for uuid_, peer in self._election.peers.by_uuid.items():
            if peer.is_member:
                said = peer.said
                yield Member(uuid_, said.name, said.valor, 0, said.scroll, peer.heard)

    def vote(self) -> tuple[int, bytes]:
        wish = self._election.wish
        if wish is None:
            return 0, b""
        valors = {member.uuid: member.valor for member in self.members()}
        return valors.get(wish, self._election.identity.valor), wish

    def checksum(self) -> int:
        return 0

    def text(self, uuid: bytes) -> str:
        return str(_as_uuid(uuid)) if uuid else ""

    def lease_end(self) -> float:
        return self._election.lease_end()


def _as_uuid(sixteen: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=sixteen)


def make_mode(spec: LegionSpec, *, name: bytes, pid: int, now: float, term: int) -> Mode:
    """The mode that the options ask for. A sealed one takes some 80 ms for each secret.

    ``name`` is the machine's, ``pid`` the master's, ``term`` the highest known so far.
    """
    if spec.is_sealed:
        return SealedMode(spec, name=name, now=now, term=term)
    return CompatibleMode(spec, name=name, pid=pid, now=now, term=term)
