"""A rawrouter process. The sslrouter is one as well."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.door import connection_limit
from uwgate.gateways.lane_gateway import LaneGateway
from uwgate.gateways.rawrouter import pipes
from uwgate.gateways.rawrouter.caller import Caller
from uwgate.gateways.rawrouter.pipes import Pipes
from uwgate.gateways.rawrouter.session import RESET, Session
from uwgate.gateways.rawrouter.states import UNHEARD

log = logging.getLogger("uwgate.rawrouter")

KIND = "rawrouter"
DESCRIPTORS = 2  # of a session


class RawGateway(LaneGateway[Session]):
    """One process of a kind of gateway that carries bytes and knows nothing of them.

    Beyond what all sessions use, its own use ``options``, ``timeout`` and ``lifetime`` (seconds;
    0: any), ``asks_for_greeting``, ``pipes``, and ``buffer`` (what is received into, and sent on
    before anything else is received).
    """

    asks_for_greeting = False

    def __init__(
        self,
        kind: str,
        start: Start,
        clock: Callable[[], float] = time.monotonic,
        *,
        logger: logging.Logger = log,
    ) -> None:
        self.options = options = start.settings.relay(kind)
        reserved = options.pipes * pipes.DESCRIPTORS
        most = connection_limit(options.max_connections, DESCRIPTORS, reserved=reserved)
        super().__init__(kind, start, clock, logger, most)
        self.timeout = options.timeout
        self.lifetime = options.total_timeout
        self.pipes = Pipes(options.pipes)
        self.buffer = memoryview(bytearray(options.buffer_size))

    def welcome(self, listener: Listener, client: socket.socket, caller: Caller) -> Session:
        """The session of a client that came in there."""
        return Session(self, client, caller, listener.name)

    async def drained(self) -> None:
        await super().drained()
        self.pipes.close()

    def _receiver(self, listener: Listener) -> Callable[[socket.socket, object], None]:
        def receive(client: socket.socket, address: object) -> None:
            if len(self._sessions) >= self._most:
                self._refuse(listener, client)
                return
            session = self.welcome(listener, client, Caller.of(address))
            self._sessions.add(session)
            session.begin()

        return receive

    @property
    def is_full(self) -> bool:
        """Never: connections may last for ever, so that others would wait for ever."""
        return False

    def _refuse(self, listener: Listener, client: socket.socket) -> None:
        self.counters.refuse(
            "full",
            "%s: %d connections, the limit (%s-max-connections, descriptors): others are refused",
            listener.name,
            self._most,
            self._kind,
            level=logging.ERROR,
        )
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()

    def _dismiss(self, session: Session, idle: float) -> None:
        """Connections live on, unless nobody comes after us."""
        if not idle:
            session.close()
        elif session.state in UNHEARD:
            session.deadline = min(session.deadline, self.now + idle)


class Rawrouter(RawGateway):
    """One rawrouter process."""

    def __init__(self, start: Start, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(KIND, start, clock)
        self.asks_for_greeting = start.settings.rawrouter.rawrouter_xclient


def main(fd: int) -> None:
    """Be a rawrouter; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    core = start.settings.rawrouter_corerouter
    mercy = start.settings.mercy_of(KIND)
    service.run(KIND, start, Rawrouter, core.uid, core.gid, mercy)
