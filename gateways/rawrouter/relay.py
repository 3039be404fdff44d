"""Both directions of a connection, and how they end.

What ends: an end of file goes on to the other side, and both directions end by themselves. A
connection that broke breaks the other one (reset), behind what came before; so nobody
takes a part for the whole.
"""

from __future__ import annotations

import errno
import select
from typing import TYPE_CHECKING

from uwgate.gateways.flow import Broken, Flow

if TYPE_CHECKING:
    from uwgate.gateways.rawrouter.session import Session


class Relay:
    """Carries bytes for a session, which it tells what has become of them.

    ``up`` goes from the client to the backend, ``down`` back.
    """

    __slots__ = ("_cut", "_down_again", "_moved", "_session", "_up_again", "_waits", "down", "up")

    def __init__(self, session: Session, up: Flow, down: Flow) -> None:
        self.up = up
        self.down = down
        self._session = session
        self._up_again = False  # the lane calls us again for that
        self._down_again = False
        self._cut: Flow | None = None  # what is left to go on when the other direction broke
        self._moved = 0  # bytes that came and went until the last look
        self._waits = False  # the lane knows that more is expected at once

    def begin(self) -> None:
        """What is there already has been told by events that meant something else."""
        self._again(self.up)
        self._again(self.down)

    def client_ready(self, mask: int) -> None:
        """The client has done something; see ``lane.Member``."""
        if not mask:
            self._up_again = False
        self._pump(mask, self.up, self.down, wait=self._up_again)

    def backend_ready(self, mask: int) -> None:
        """The backend has done something; see ``lane.Member``."""
        if not mask:
            self._down_again = False
        self._pump(mask, self.down, self.up, wait=self._down_again)

    @property
    def is_stuck(self) -> bool:
        """Whether closing would lose something."""
        return self.up.is_blocked or self.down.is_blocked

    def close(self) -> None:
        """Nothing is carried any more; what was on its way is lost."""
        self._wait(False)
        self.up.close()
        self.down.close()

    def _pump(self, mask: int, came: Flow, goes: Flow, *, wait: bool) -> None:
        """A peer has done something: ``came`` is read from it, ``goes`` is sent to it.

        ``wait``: it is read soon anyway, when it is its turn again.
        """
        if goes.is_blocked and self._goes_on(goes) and goes.pump():
            self._again(goes)
        if came.is_blocked:
            if mask & select.EPOLLERR and came is self.up:
                came.broken = Broken.SOURCE  # or nobody would notice while the backend stalls
        elif not wait and self._goes_on(came) and came.pump():
            self._again(came)
        self._look()

    def _goes_on(self, flow: Flow) -> bool:
        return not self._session.lingers and (self._cut is None or flow is self._cut)

    def _again(self, flow: Flow) -> None:
        session = self._session
        if flow is self.up:
            if not self._up_again:
                self._up_again = True
                session.gateway.lane.again(session)
        elif not self._down_again:
            self._down_again = True
            session.gateway.lane.again(session.backend)

    def _look(self) -> None:
        """See what has become of both directions."""
        up, down = self.up, self.down
        moved = up.came + up.went + down.came + down.went
        if moved != self._moved:
            self._moved = moved
            self._session.moved()
            if down.came:
                self._session.answered(good=True)
            self._wait(up.is_bulk or down.is_bulk)
        cut = self._cut
        if cut is not None:
            if cut.broken is not None or cut.is_done:
                self._linger(cut)
        elif up.broken is not None or down.broken is not None:
            self._mourn(up, down)
        elif up.is_done and down.is_done:
            self._session.close()

    def _wait(self, waits: bool) -> None:
        """To be woken for every piece of a stream takes longer than to look for it."""
        if waits is not self._waits:
            self._waits = waits
            self._session.gateway.lane.expected += 1 if waits else -1

    def _mourn(self, up: Flow, down: Flow) -> None:
        """A direction broke.

        Where it was the sink that broke off, what that has said before still goes the other
        way; then the other side is told as well.
        """
        if down.broken is Broken.SOURCE:
            self._session.answered(good=False)
        broken, other = (up, down) if up.broken is not None else (down, up)
        if broken.broken is Broken.SOURCE or other.broken is not None:
            self._linger(broken)
            return
        # EPIPE: it had sent its end of file before it broke off. ECONNRESET: it had not (tcp(7)).
        other.ends_badly = broken.code != errno.EPIPE
        self._cut = other
        broken.close()
        self._again(other)

    def _linger(self, flow: Flow) -> None:
        """Nothing goes on: reset, as soon as what went to the sink of ``flow`` has arrived."""
        if not self._session.lingers:
            self._cut = flow
            self._session.linger(at_backend=flow is self.up)
