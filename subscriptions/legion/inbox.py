"""The inbox of a legion's node: what a datagram must pass before it can change anything.

``open`` gives a message that the election may hear, or None; ``refused`` counts the others by
reason.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict

from uwgate.gateways.wire.uwsgi import HEADER
from uwgate.subscriptions.legion import packet, sealed, statement
from uwgate.subscriptions.legion.cipher import LegionCipher
from uwgate.subscriptions.legion.packet import Announcement
from uwgate.subscriptions.legion.refusal import Reason, Refused
from uwgate.subscriptions.legion.sealed import Opener, ReplayWindow
from uwgate.subscriptions.legion.statement import Statement

log = logging.getLogger("uwgate.legion")
MAX_SENDERS = 1024  # whose last stamp or window is remembered; members are 256 at most


class Stamps:
    """The newest time stamp of each sender: all that uWSGI's packets have against replays.

    Within one second a packet can be repeated: real nodes send several with one stamp.
    """

    def __init__(self, skew: float) -> None:
        self.skew = skew  # seconds
        self._newest: OrderedDict[bytes, int] = OrderedDict()

    def admit(self, uuid: bytes, unix: int, wall: float) -> Reason | None:
        """Note a stamp, and say why its packet must not be used, if so."""
        if unix < wall - self.skew:
            return Reason.OLD
        if unix > wall + self.skew:
            return Reason.FUTURE
        newest = self._newest.get(uuid, 0)
        # A stamp that would be refused as too far ahead by now was let in before our clock was
        # set; it must not keep its sender out.
        if unix < newest <= wall + self.skew:
            return Reason.REPLAYED
        self._newest[uuid] = unix
        self._newest.move_to_end(uuid)
        if len(self._newest) > MAX_SENDERS:
            self._newest.popitem(last=False)
        return None


class CompatibleInbox:
    """Opens uWSGI's packets."""

    def __init__(self, legion: bytes, uuid: bytes, cipher: LegionCipher, skew: float) -> None:
        self.refused: Counter[Reason] = Counter()
        self._legion = legion
        self._uuid = uuid
        self._cipher = cipher
        self._stamps = Stamps(skew)

    def open(self, datagram: bytes, wall: float) -> Announcement | None:
        """What may be heard; ``wall`` is the time of day in seconds."""
        try:
            return self._open(datagram, wall)
        except Refused as refusal:
            self.refused[refusal.reason] += 1
            log.debug("%s: %s", self._legion.decode("utf-8", "replace"), refusal)
            return None

    def _open(self, datagram: bytes, wall: float) -> Announcement:
        refuse_other_mode(datagram, sealed.MODIFIER, "a sealed packet in a compatible legion")
        announcement = packet.decode(datagram, self._cipher)
        if announcement.legion != self._legion:
            raise Refused(Reason.OTHER_LEGION, f"a packet of legion {announcement.legion!r}")
        if announcement.uuid == self._uuid:
            raise Refused(Reason.OWN, "our own packet")
        reason = self._stamps.admit(announcement.uuid, announcement.unix, wall)
        if reason is not None:
            raise Refused(reason, f"stamped {announcement.unix - wall:+.0f} s from now")
        return announcement


class SealedInbox:
    """Opens sealed packets."""

    def __init__(self, legion: bytes, uuid: bytes, opener: Opener) -> None:
        self.refused: Counter[Reason] = Counter()
        self._legion = legion
        self._uuid = uuid
        self._opener = opener
        self._windows: OrderedDict[bytes, ReplayWindow] = OrderedDict()

    def open(self, datagram: bytes) -> Statement | None:
        """What may be heard."""
        try:
            return self._open(datagram)
        except Refused as refusal:
            self.refused[refusal.reason] += 1
            log.debug("%s: %s", self._legion.decode("utf-8", "replace"), refusal)
            return None

    def _open(self, datagram: bytes) -> Statement:
        refuse_other_mode(datagram, packet.MODIFIER, "a packet of uWSGI in a sealed legion")
        opened = self._opener.open(datagram)
        if opened.sender == self._uuid:
            raise Refused(Reason.OWN, "our own packet")
        window = self._windows.get(opened.sender) or ReplayWindow()
        reason = window.admit(opened.sequence)
        if reason is not None:
            raise Refused(reason, f"number {opened.sequence} again, or late")
        said = statement.decode(opened.sender, opened.sequence, opened.plaintext)
        self._windows[opened.sender] = window
        self._windows.move_to_end(opened.sender)
        if len(self._windows) > MAX_SENDERS:
            self._windows.popitem(last=False)
        return said


def refuse_other_mode(datagram: bytes, modifier: int, text: str) -> None:
    """Tell a mixed cluster apart from a broken packet.

    Raises:
        Refused: the datagram has the other mode's modifier1.
    """
    if len(datagram) >= HEADER.size and datagram[0] == modifier:
        raise Refused(Reason.OTHER_MODE, text)
