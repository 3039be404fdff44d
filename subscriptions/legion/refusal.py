"""Why a datagram changes nothing."""

from __future__ import annotations

import enum


class Reason(enum.Enum):
    """What was wrong with a datagram; the value is the name of its counter."""

    SHORT = "short"  # cut off, or nothing at all
    FOREIGN = "foreign"  # not a packet of a legion
    OTHER_MODE = "other-mode"  # sealed in a compatible legion, or the other way round
    UNKNOWN_KEY = "unknown-key"  # sealed with a secret that this node does not have
    FORGED = "forged"  # does not decrypt, or its seal is broken
    MALFORMED = "malformed"  # decrypts, but is not an announcement
    OTHER_LEGION = "other-legion"
    OWN = "own"  # multicast brings our own announcements back
    OLD = "old"  # stamped longer ago than the skew tolerance
    FUTURE = "future"  # stamped further ahead than the skew tolerance
    REPLAYED = "replayed"  # came before, or a newer one of the same sender did long ago
    OVERTAKEN = "overtaken"  # a newer one of the same sender came first


class Refused(ValueError):
    """A datagram that must change nothing."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
