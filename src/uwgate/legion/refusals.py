"""Says in the log what other machines do wrong: once a minute for each reason, however many do."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from uwgate.subscriptions.legion.refusal import Reason

log = logging.getLogger("uwgate.legion")

INTERVAL = 60.0  # seconds between two lines of the same reason
# What somebody has to look after. Not our own packets that come back by multicast, nor those
# that the network delivers twice or in another order.
TEXTS = {
    Reason.SHORT: "is no packet of a legion",
    Reason.FOREIGN: "is no packet of a legion",
    Reason.UNKNOWN_KEY: "is sealed with a secret that this node does not have",
    Reason.FORGED: "cannot be decrypted: another secret, or forged",
    Reason.MALFORMED: "is damaged",
    Reason.OTHER_LEGION: "belongs to another legion",
    Reason.OLD: "is older than legion-skew-tolerance: a clock is wrong, or it is replayed",
    Reason.FUTURE: "is from the future, by more than legion-skew-tolerance",
}
OTHER_MODE = {
    True: "is one of uWSGI's, and this legion is sealed: all nodes must have the same cipher",
    False: "is sealed, and this legion speaks uWSGI's packets: all nodes must have the same cipher",
}


class Refusals:
    """Those of one legion. ``refused`` counts them."""

    def __init__(self, legion: str, refused: Mapping[Reason, int], *, is_sealed: bool) -> None:
        self._legion = legion
        self._refused = refused
        self._texts = {**TEXTS, Reason.OTHER_MODE: OTHER_MODE[is_sealed]}
        self._seen: Counter[Reason] = Counter()
        self._told: Counter[Reason] = Counter()
        self._next: dict[Reason, float] = {}

    def note(self, sender: object, now: float) -> None:
        """A datagram of this sender was refused just now."""
        for reason, count in self._refused.items():
            if count == self._seen[reason]:
                continue
            self._seen[reason] = count
            text = self._texts.get(reason)
            if text is None or now < self._next.get(reason, now):
                continue
            self._next[reason] = now + INTERVAL
            more = count - self._told[reason] - 1
            self._told[reason] = count
            log.warning(
                "legion %s: refused: a packet from %s %s%s",
                self._legion,
                sender,
                text,
                f" ({more} more since the last such line)" if more else "",
            )
