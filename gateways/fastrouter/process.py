"""A fastrouter process."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

import trio

from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.door import connection_limit
from uwgate.gateways.fastrouter.body import Bodies
from uwgate.gateways.fastrouter.head import HeadReader
from uwgate.gateways.fastrouter.leased import leads_to_workers
from uwgate.gateways.fastrouter.session import Session
from uwgate.gateways.fastrouter.states import State
from uwgate.gateways.lane_gateway import LaneGateway
from uwgate.gateways.leases import LeasePool

log = logging.getLogger("uwgate.fastrouter")

KIND = "fastrouter"
MAX_PIECE = 65536  # bytes; memory for more takes longer to get than it takes to read twice
DESCRIPTORS = 2  # of a session; a third one for a body in a file


class Fastrouter(LaneGateway[Session]):
    """One process.

    Beyond what all sessions use, its own use ``options``, ``timeout`` (seconds), ``heads``,
    ``bodies``, ``answers``, ``buffer`` (what is received into, and sent on before anything else is
    received), ``piece`` (bytes received at a time without it), and ``leases``, with which our own
    workers are the only backend; None: there are others.
    """

    BRIEF = True

    def __init__(self, start: Start, clock: Callable[[], float] = time.monotonic) -> None:
        settings = start.settings
        self.options = options = settings.fastrouter
        descriptors = DESCRIPTORS + bool(options.fastrouter_post_buffering)
        most = connection_limit(options.fastrouter_max_connections, descriptors)
        super().__init__(KIND, start, clock, log, most)
        self.timeout = options.fastrouter_timeout
        self.answers = self.corerouter.answers
        self.heads = HeadReader(settings)
        self.bodies = Bodies(
            options.fastrouter_post_buffering,
            options.fastrouter_post_buffering_dir,
            options.fastrouter_post_buffers,
        )
        self.buffer = memoryview(bytearray(options.fastrouter_buffer_size))
        self.piece = min(options.fastrouter_buffer_size, MAX_PIECE)
        self.leases: LeasePool | None = None

    async def serve(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        start = self._start
        if leads_to_workers(start) and start.lease_address is not None:
            slots = start.settings.workers.processes * start.settings.workers.threads
            self.leases = LeasePool(
                start.lease_address, slots, len(self.buffer), self.lane, nursery
            )
        await super().serve(nursery, task_status)

    async def drained(self) -> None:
        await super().drained()
        if self.leases is not None:
            self.leases.close()

    def _receiver(self, listener: Listener) -> Callable[[socket.socket, object], None]:
        return self._admit

    def _admit(self, client: socket.socket, address: object) -> None:
        session = Session(self, client)
        self._sessions.add(session)
        session.receive_head(0)

    def _dismiss(self, session: Session, idle: float) -> None:
        """What runs is finished."""
        if session.is_idle:
            session.deadline = min(session.deadline, self.now + idle)
            if not idle:
                session.expire()

    def _look_at(self, session: Session) -> None:
        if session.state is not State.HEAD:
            session.watch()  # it takes so long that the client may leave meanwhile


def main(fd: int) -> None:
    """Be a fastrouter; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    core = start.settings.fastrouter_corerouter
    service.run(KIND, start, Fastrouter, core.uid, core.gid)
