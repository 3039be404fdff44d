"""TLS that is passed through: the client's hello says where to, the rest is its own affair."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from uwgate.conf.tls import server_name
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.rawrouter.session import Session
from uwgate.gateways.rawrouter.states import State
from uwgate.gateways.wire import client_hello
from uwgate.gateways.wire.client_hello import ClientHello, HelloError, HelloReader

if TYPE_CHECKING:
    from uwgate.gateways.rawrouter.caller import Caller
    from uwgate.gateways.sslrouter.process import Sslrouter

RECEIVE_SIZE = 4096  # bytes; hellos have hundreds, those with hybrid key shares 2,000


def key_of(hello: ClientHello, address: str, protocols: frozenset[bytes]) -> str:
    """What a client's backend is looked up by: the name that it asks for, else ``address``.

    The first protocol that it offers among ``protocols`` goes behind that.

    Raises:
        HelloError: the name is none.
    """
    key = address
    if hello.server_name:
        name = server_name(hello.server_name.decode("latin-1"))
        if name is None or name.startswith("*"):
            raise HelloError(f"{hello.server_name[:100]!r} is no server name")
        key = name
    for protocol in hello.protocols:
        if protocol in protocols:
            return f"{key}@{protocol.decode('latin-1')}"
    return key


class PassedSession(Session):
    """A session that begins with a look at the hello."""

    __slots__ = ("_reader", "_router")

    def __init__(self, router: Sslrouter, sock: socket.socket, caller: Caller, key: str) -> None:
        super().__init__(router, sock, caller, key)
        self._router = router
        self._reader: HelloReader | None = HelloReader()

    def begin(self) -> None:
        self.state = State.HELLO
        self.deadline = self.gateway.now + self._router.handshake_timeout
        self._read()

    def ready(self, mask: int) -> None:
        if self.state is State.HELLO:
            self._read()
        else:
            super().ready(mask)

    def _read(self) -> None:
        reader = self._reader
        assert reader is not None
        try:
            while True:
                data = self._socket.recv(RECEIVE_SIZE)
                if not data:
                    if reader.received:
                        self._count("client-hello", "closed in the middle of its hello")
                    self.close()
                    return
                hello = reader.feed(data)
                if hello is not None:
                    self.key = key_of(hello, self.key, self._router.protocols)
                    break
        except BlockingIOError:
            self.watch()
            return
        except HelloError as error:
            self._count("client-hello", str(error))
            self.refuse(client_hello.fatal_alert(error.alert))
            return
        except OSError:
            self.close()
            return
        self.search()

    def first_bytes(self) -> bytes:
        assert self._reader is not None
        received = bytes(self._reader.received)
        self._reader = None
        return self._proxy_header() + received

    def turn_away(self, outcome: Outcome) -> None:
        nobody = outcome is Outcome.NOBODY
        code = client_hello.UNRECOGNIZED_NAME if nobody else client_hello.INTERNAL_ERROR
        self.refuse(client_hello.fatal_alert(code))

    def expire(self) -> None:
        if self.state is State.HELLO:
            self._count("client-hello", "timed out")
        super().expire()

    def _count(self, name: str, reason: str) -> None:
        self.gateway.counters.refuse(name, "%s: %s", self.caller, reason, level=logging.INFO)
