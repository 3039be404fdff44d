"""Answers that come in the records of FastCGI."""

from __future__ import annotations

from uwgate.conf.errors import BackendError
from uwgate.gateways.wire.fastcgi import FastCgiDecoder, FastCgiError, shown
from uwgate.workers.connection import RECEIVE_SIZE, Connection
from uwgate.workers.log import say


class RecordConnection:
    """Reads as from the connection, but what the records hold. The connection stays its owner's."""

    def __init__(self, connection: Connection, address: str) -> None:
        self._connection = connection
        self._address = address
        self._decoder = FastCgiDecoder()
        self._held = b""

    def receive(self) -> bytes:
        """More of the answer, empty at its end.

        Raises:
            BackendError: the records are broken, or cut short.
            OSError: as Connection.receive.
        """
        found, self._held = self._held, b""
        while not found and not self._decoder.done:
            data = self._connection.receive()
            if not data:
                raise self._error("closed within its records")
            found = self._feed(data)
        return found

    def has_answered(self) -> bool:
        """Whether the answer has begun, or is over: the error stream alone says nothing of that.

        To be asked when the connection is readable; nothing is waited for.

        Raises:
            BackendError: as ``receive``.
        """
        try:
            data = self._connection.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if data:
            self._held += self._feed(data)
        return bool(self._held) or self._decoder.done or not data

    def _feed(self, data: bytes) -> bytes:
        decoder = self._decoder
        try:
            return decoder.feed(data)
        except FastCgiError as error:
            raise self._error(str(error)) from error
        finally:
            if decoder.errors:
                say(f"{self._address}: {shown(decoder.errors)}")
                decoder.errors = b""

    def _error(self, reason: str) -> BackendError:
        return BackendError(self._address, reason, sent=True)
