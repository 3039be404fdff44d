"""An sslrouter process: like a rawrouter's, but clients speak TLS."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

import trio

from uwgate.conf.start import Listener, Start
from uwgate.gateways import service
from uwgate.gateways.rawrouter.caller import Caller
from uwgate.gateways.rawrouter.process import RawGateway
from uwgate.gateways.rawrouter.session import Session
from uwgate.gateways.sslrouter.passthrough import PassedSession
from uwgate.gateways.sslrouter.session import TlsSession
from uwgate.gateways.tls.brought import BroughtCertificates
from uwgate.gateways.tls.ring import Ring

log = logging.getLogger("uwgate.sslrouter")

KIND = "sslrouter"
PASSTHROUGH = "sslrouter-passthrough"
RECORDS = 65536  # bytes decrypted at a time


class Sslrouter(RawGateway):
    """One sslrouter process.

    ``ring`` holds the certificates; None where TLS is only passed through. Beyond what all
    sessions use, its own use ``tls`` (options), ``handshake_timeout`` (seconds),
    ``looks_at_name``, ``protocols`` (of ALPN, that are part of keys) and ``records``, the buffer
    for what is decrypted.
    """

    def __init__(
        self, start: Start, ring: Ring | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(KIND, start, clock, logger=log)
        settings = start.settings
        own = settings.sslrouter
        self.tls = settings.https
        self.handshake_timeout = own.sslrouter_handshake_timeout
        self.looks_at_name = own.sslrouter_sni
        self.protocols = frozenset(text.encode("latin-1") for text in own.sslrouter_alpn_key)
        self.records = memoryview(bytearray(RECORDS))
        self._ring = ring
        self._brought: BroughtCertificates | None = None
        if ring is not None and self.corerouter.table is not None:
            ring.expect_names()
            folders = settings.subscriptions.subscription_sni_folder
            self._brought = BroughtCertificates(ring, self.tls.sni_dir_ciphers, folders)
            self.corerouter.on_certificate = self._brought.change

    def roles(self) -> tuple[str, ...]:
        return (KIND, PASSTHROUGH)

    async def serve(
        self, nursery: trio.Nursery, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        if self._brought is not None:
            nursery.start_soon(self._brought.run)
        await super().serve(nursery, task_status)

    def welcome(self, listener: Listener, client: socket.socket, caller: Caller) -> Session:
        if listener.role == PASSTHROUGH:
            return PassedSession(self, client, caller, listener.name)
        assert self._ring is not None
        context = self._ring.context(listener.endpoint)
        return TlsSession(self, client, caller, listener.name, context)

    def renew(self, name: str, material: bytes) -> None:
        if self._ring is not None:
            self._ring.take(name, material)


def main(fd: int) -> None:
    """Be an sslrouter that only passes through; ``fd`` is the memory file with the ``Start``."""
    start = Start.from_memory_file(fd)
    core = start.settings.sslrouter_corerouter
    service.run(KIND, start, Sslrouter, core.uid, core.gid, start.settings.mercy_of(KIND))
