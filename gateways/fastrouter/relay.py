"""Both directions of a session that takes more than a packet and an answer of one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwgate.gateways.fastrouter.states import CLOSED, LINGER, RELAY
from uwgate.gateways.flow import Broken, Flow, Stock, Stream

if TYPE_CHECKING:
    from uwgate.gateways.fastrouter.session import Session


class Relay:
    """``up`` goes from the client to ``backend``, or without one into nothing.

    ``unsent`` and ``body`` are what the backend gets before anything that the client is still
    to send. ``down`` begins with ``answer``.
    """

    __slots__ = ("_session", "down", "up")

    def __init__(
        self,
        session: Session,
        backend: Stream | None,
        unsent: bytes = b"",
        body: Stock | None = None,
    ) -> None:
        self._session = session
        self.up = Flow(session.sock, backend, session.gateway.buffer, unsent, body)
        self.down: Flow | None = None

    @property
    def is_answered(self) -> bool:
        """The client has got the whole answer, and knows it."""
        return self.down is not None and self.down.is_done

    def expects_more(self, missing: int | None) -> bool:
        """Whether the client may have something to send; ``missing`` as in ``Session``."""
        up = self.up
        return not up.ended and (missing is None or up.came < missing)

    def answer(self, backend: Stream, begun: bytes) -> None:
        """The answer goes on; ``begun`` is what the client has not taken of it yet."""
        session = self._session
        self.down = down = Flow(backend, session.sock, session.gateway.buffer, begun)
        self._carry_down(down)

    def client_ready(self) -> None:
        """The client may have sent something, or take something."""
        down = self.down
        if down is not None and down.pending:
            self._carry_down(down)
        if self._session.state is not CLOSED:
            self.carry_up()

    def backend_ready(self) -> None:
        """The same for the backend. Its first bytes are not ours: ``answer`` has them."""
        if self.up.pending:
            self.carry_up()
        if self.down is not None and self._session.state is RELAY:
            self._carry_down(self.down)

    def carry_up(self) -> None:
        """Carry what the client sends to the backend, or throw it away when nobody wants it."""
        session = self._session
        gateway = session.gateway
        up = self.up
        before = up.came + up.went
        more = up.pump()
        if up.came + up.went != before and session.state is not LINGER:
            session.deadline = gateway.now + gateway.timeout
        if up.broken is Broken.SOURCE:
            session.close()
        elif up.broken is Broken.SINK:
            up.throw_away()
            if self.is_answered:
                session.linger()
                return
            # What it has said before it stopped listening comes first.
            assert session.backend is not None
            gateway.lane.again(session.backend)
            gateway.lane.again(session)
        elif up.is_done and (session.state is LINGER or self.is_answered):
            session.close()
        elif up.pending:
            assert session.backend is not None
            assert session.backend.sock is not None
            gateway.lane.await_room(session.backend.sock.fileno())
        elif more:
            gateway.lane.again(session)

    def _carry_down(self, down: Flow) -> None:
        session = self._session
        gateway = session.gateway
        backend = session.backend
        assert backend is not None
        before = down.came + down.went
        more = down.pump()
        if down.came + down.went != before:
            session.deadline = gateway.now + gateway.timeout
        if down.broken is Broken.SOURCE:
            session.break_off()
        elif down.broken is Broken.SINK:
            session.close()
        elif down.is_done:
            if not self.expects_more(session.missing):
                session.close()
        elif down.pending:
            gateway.lane.await_room(session.sock.fileno())
        elif more:
            gateway.lane.again(backend)
