"""Stores that rules speak to over the network: memcached and Redis, as far as rules need them.

Every call has one connection and one time limit, which counts for each wait.
"""

from __future__ import annotations

import re

from uwgate.conf.errors import BackendError
from uwgate.routing.results import Store
from uwgate.workers.backend import dial
from uwgate.workers.connection import Connection

MAX_VALUE = 16 << 20  # bytes
MAX_LINE = 1024
MAX_KEY = 250  # bytes; memcached's own limit
MAX_RELATIVE = 30 * 86400  # seconds; memcached takes larger numbers for a date
_UNSAFE = re.compile(rb"[\x00-\x20\x7f]")
_VALUE = re.compile(rb"VALUE [^ ]+ [0-9]+ ([0-9]{1,10})(?: [0-9]+)?")
_BULK = re.compile(rb"\$(-1|[0-9]{1,10})")


class StoreError(Exception):
    """The store cannot be asked, or does not say what it should."""


def get(store: Store, address: bytes, key: bytes, timeout: float) -> bytes | None:
    """The value of a key; None without one.

    Raises:
        StoreError: nobody knows.
    """
    with _Talk(store, address, timeout) as talk:
        if store is Store.REDIS:
            talk.send(_command(b"GET", key))
            line = talk.line()
            match = _BULK.fullmatch(line)
            if match is None:
                raise talk.error(line)
            return None if match[1] == b"-1" else talk.value(int(match[1]))
        talk.send(b"get %b\r\n" % _checked(key))
        line = talk.line()
        if line == b"END":
            return None
        match = _VALUE.fullmatch(line)
        if match is None:
            raise talk.error(line)
        return talk.value(int(match[1]))


def put(
    store: Store, address: bytes, key: bytes, value: bytes, expires: int, timeout: float
) -> None:
    """Set a key, for ``expires`` seconds, 0: for ever.

    Raises:
        StoreError: it is not known to be set.
    """
    with _Talk(store, address, timeout) as talk:
        if store is Store.REDIS:
            more = (b"EX", b"%d" % expires) if expires else ()
            talk.send(_command(b"SET", key, value, *more))
            wanted = b"+OK"
        else:
            seconds = min(expires, MAX_RELATIVE)
            talk.send(b"set %b 0 %d %d\r\n%b\r\n" % (_checked(key), seconds, len(value), value))
            wanted = b"STORED"
        line = talk.line()
        if line != wanted:
            raise talk.error(line)


def _command(*words: bytes) -> bytes:
    """RESP: an array of texts."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def _checked(key: bytes) -> bytes:
    """A key that is one word of memcached's protocol, and never a command of its own."""
    if not key or len(key) > MAX_KEY or _UNSAFE.search(key):
        raise StoreError(f"{key[:40]!r} is no key of memcached")
    return key


class _Talk:
    def __init__(self, store: Store, address: bytes, timeout: float) -> None:
        self._name = f"{store.value} {address.decode('latin-1')}"
        self._address = address.decode("latin-1")
        self._timeout = timeout
        self._connection: Connection | None = None
        self._buffer = b""

    def __enter__(self) -> _Talk:
        try:
            self._connection = dial(self._address, self._timeout)
        except BackendError as error:
            raise StoreError(str(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def send(self, data: bytes) -> None:
        assert self._connection is not None
        try:
            self._connection.send(data)
        except OSError as error:
            raise StoreError(f"{self._name}: {error}") from error

    def line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                raise StoreError(f"{self._name}: a line of more than {MAX_LINE} bytes")
            self._receive()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def value(self, size: int) -> bytes:
        """So many bytes."""
        if size > MAX_VALUE:
            raise StoreError(f"{self._name}: a value of {size} bytes, limit {MAX_VALUE}")
        parts = [self._buffer]
        have = len(self._buffer)
        while have < size:
            self._buffer = b""
            self._receive()
            parts.append(self._buffer)
            have += len(self._buffer)
        return b"".join(parts)[:size]

    def error(self, line: bytes) -> StoreError:
        return StoreError(f"{self._name}: answered {line[:80]!r}")

    def _receive(self) -> None:
        assert self._connection is not None
        try:
            data = self._connection.receive()
        except OSError as error:
            raise StoreError(f"{self._name}: {error}") from error
        if not data:
            raise StoreError(f"{self._name}: closed the connection")
        self._buffer += data
