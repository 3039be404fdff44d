"""memcached and Redis, as far as rules ask them: one value, one connection.

Addresses and keys have been checked for what would end a command (``routing.actions.stores``).
"""

from __future__ import annotations

import re
import socket

import trio

from uwgate.conf.address import parse_backend
from uwgate.conf.errors import ConfigError
from uwgate.gateways import streams
from uwgate.gateways.connecting import ConnectError, connect
from uwgate.routing.results import Store

TIMEOUT = 3.0  # seconds for one question, all in all
MAX_VALUE = 16 << 20  # bytes
_VALUE = re.compile(rb"VALUE [^ ]+ [0-9]+ ([0-9]{1,9})(?: [0-9]+)?")
_BULK = re.compile(rb"\$([0-9]{1,9})")


class StoreError(Exception):
    """A store could not be asked, or answered something else."""


async def get(store: Store, address: bytes, key: bytes) -> bytes | None:
    """The value of a key; None if there is none.

    Raises:
        StoreError: see there.
    """
    if store is Store.MEMCACHED:
        return await _ask(address, b"get %b\r\n" % key, _VALUE)
    return await _ask(address, _resp(b"GET", key), _BULK)


async def put(store: Store, address: bytes, key: bytes, value: bytes, expires: int) -> None:
    """Store a value. ``expires`` in seconds, 0: never.

    Raises:
        StoreError: see there.
    """
    if store is Store.MEMCACHED:
        command = b"set %b 0 %d %d\r\n%b\r\n" % (key, expires, len(value), value)
        wanted = re.compile(rb"STORED")
    else:
        more = (b"EX", b"%d" % expires) if expires else ()
        command = _resp(b"SET", key, value, *more)
        wanted = re.compile(rb"\+OK")
    await _ask(address, command, wanted)


def _resp(*words: bytes) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


async def _ask(address: bytes, command: bytes, wanted: re.Pattern[bytes]) -> bytes | None:
    name = address.decode(errors="surrogateescape")
    try:
        with trio.fail_after(TIMEOUT):
            sock = await connect(parse_backend(name), TIMEOUT, 0.0)
            try:
                await streams.send_all(sock, command)
                return await _answer(sock, wanted)
            finally:
                streams.close(sock)
    except (ConnectError, ConfigError) as error:
        raise StoreError(f"{name}: {error}") from error
    except OSError as error:
        raise StoreError(f"{name}: {error.strerror}") from error
    except trio.TooSlowError as error:
        raise StoreError(f"{name}: no answer within {TIMEOUT:g} s") from error


async def _answer(sock: socket.socket, wanted: re.Pattern[bytes]) -> bytes | None:
    buffer = bytearray()
    while buffer.find(b"\r\n") < 0:
        if len(buffer) > 1024:
            raise StoreError("a line without an end")
        await _receive(sock, buffer)
    head, _, rest = buffer.partition(b"\r\n")
    line = bytes(head)
    if line in (b"END", b"$-1"):
        return None
    match = wanted.fullmatch(line)
    if match is None:
        raise StoreError(f"answered {line[:80]!r}")
    if not wanted.groups:
        return b""
    size = int(match[1])
    if size > MAX_VALUE:
        raise StoreError(f"a value of {size} bytes, limit {MAX_VALUE}")
    while len(rest) < size:
        await _receive(sock, rest)
    return bytes(rest[:size])


async def _receive(sock: socket.socket, buffer: bytearray) -> None:
    data = await streams.receive(sock)
    if not data:
        raise StoreError("closed without an answer")
    buffer += data
