"""A client connection whose TLS ends here: the handshake, then bytes for a plain backend."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from uwgate.conf import tls
from uwgate.gateways.flow import Flow, Stream
from uwgate.gateways.rawrouter.session import Session
from uwgate.gateways.rawrouter.states import State
from uwgate.gateways.sslrouter import tlvs
from uwgate.gateways.tls import variables
from uwgate.gateways.tls.connection import TlsError, TlsStream

if TYPE_CHECKING:
    from OpenSSL import SSL

    from uwgate.gateways.rawrouter.caller import Caller
    from uwgate.gateways.sslrouter.process import Sslrouter


class TlsSession(Session):
    """See the module. The backend is looked for as soon as the handshake is done."""

    __slots__ = ("_plain", "_router")

    sock: TlsStream

    def __init__(
        self,
        router: Sslrouter,
        sock: socket.socket,
        caller: Caller,
        key: str,
        context: SSL.Context,
    ) -> None:
        super().__init__(router, sock, caller, key)
        self._router = router
        self._plain = sock
        self.sock = TlsStream(context, sock)

    def begin(self) -> None:
        self.state = State.HANDSHAKE
        self.deadline = self.gateway.now + self._router.handshake_timeout
        self._shake_hands()

    def ready(self, mask: int) -> None:
        if self.state is State.HANDSHAKE:
            self._shake_hands()
        else:
            super().ready(mask)

    def _shake_hands(self) -> None:
        try:
            self.sock.handshake()
        except BlockingIOError:  # either way: the lane tells of both
            self.watch()
        except TlsError as error:
            reasons = error.reasons or ["unknown error"]
            verbose = self._router.tls.ssl_verbose
            self._fail("failed: %s", " < ".join(reasons) if verbose else reasons[-1])
            self.refuse(b"")  # OpenSSL has sent an alert
        except OSError as error:
            self._fail("broke off: %s", error.strerror or error)
            self.close()
        else:
            if self._router.looks_at_name:
                name = variables.server_name(self.sock.connection).decode("latin-1")
                self.key = tls.server_name(name) or self.key
            self.search()

    def _fail(self, how: str, *arguments: object) -> None:
        text = f"%s: TLS handshake {how}"
        self.gateway.counters.refuse(
            "tls-handshake", text, self.name, *arguments, level=logging.INFO
        )

    @property
    def _socket(self) -> socket.socket:
        return self._plain

    def tlvs(self) -> tuple[tuple[int, bytes], ...]:
        return tlvs.describe(self.sock.connection)

    def make_flow(self, source: Stream, sink: Stream, pending: bytes) -> Flow:
        return Flow(source, sink, self._router.records, pending)

    def expire(self) -> None:
        if self.state is State.HANDSHAKE:
            self._fail("timed out")
        super().expire()
