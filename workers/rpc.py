"""Functions that are called by name: by rules, by ``uwsgi.call``, and in other instances.

A call between instances is a uwsgi packet with modifier1 173 and an array of texts, the name
first; the answer is a packet with the result.
"""

from __future__ import annotations

import re
import struct
import traceback
from collections.abc import Callable, Sequence

from uwgate.conf.errors import BackendError
from uwgate.gateways.wire.uwsgi import HEADER, MAX_BLOCK, PacketError, decode_block
from uwgate.workers.backend import dial
from uwgate.workers.log import say

MODIFIER = 173
MAX_FUNCTIONS = 1024
MAX_ARGUMENTS = 255
MAX_RESULT = 16 << 20  # bytes
VALUE_BEHIND = 5  # modifier2 of an answer whose value stands behind a block with its length
_NUMBER = re.compile(rb"[0-9]{1,18}")
_LENGTH = struct.Struct("<H")

Function = Callable[..., object]


class RpcError(Exception):
    """There is no such function, or it failed; the text says why."""


class Functions:
    """What the application has registered."""

    def __init__(self) -> None:
        self._functions: dict[bytes, tuple[Function, int | None]] = {}

    def register(self, name: bytes, function: Function, count: int | None = None) -> None:
        """Let a function be called by name, with ``count`` arguments; None: any number.

        Raises:
            ValueError: it cannot be called, or there are too many.
        """
        if not callable(function):
            raise ValueError(f"rpc {name!r}: {function!r} cannot be called")
        if name not in self._functions and len(self._functions) >= MAX_FUNCTIONS:
            raise ValueError(f"more than {MAX_FUNCTIONS} rpc functions")
        self._functions[name] = function, count

    def names(self) -> tuple[bytes, ...]:
        """What can be called."""
        return tuple(self._functions)

    def call(self, name: bytes, arguments: Sequence[bytes]) -> bytes:
        """The result of a function of this process; None counts as an empty one.

        Raises:
            RpcError: it does not exist, does not take that, or raised something.
        """
        found = self._functions.get(name)
        if found is None:
            raise RpcError("there is no such function")
        function, count = found
        if count is not None and count != len(arguments):
            raise RpcError(f"takes {count} arguments, got {len(arguments)}")
        try:
            result = function(*arguments)
        except Exception as error:  # the application's: its caller goes on without a result
            say("".join(traceback.format_exception(error)).rstrip())
            raise RpcError(f"{type(error).__name__}: {error}") from error
        if result is None:
            return b""
        if isinstance(result, str):
            return result.encode()
        if isinstance(result, bytes | bytearray | memoryview):
            return bytes(result)
        raise RpcError(f"gave {type(result).__name__}, expected bytes or str")


def call_remote(address: str, name: bytes, arguments: Sequence[bytes], timeout: float) -> bytes:
    """The result of a function of another instance, within ``timeout`` seconds for each wait.

    Raises:
        RpcError: there is no answer.
    """
    items = (name, *arguments)
    if len(items) > MAX_ARGUMENTS + 1 or any(len(item) > MAX_BLOCK for item in items):
        raise RpcError("more than a packet can hold")
    block = b"".join(_LENGTH.pack(len(item)) + item for item in items)
    if len(block) > MAX_BLOCK:
        raise RpcError(f"arguments of {len(block)} bytes, limit {MAX_BLOCK}")
    try:
        connection = dial(address, timeout)
    except BackendError as error:
        raise RpcError(str(error)) from error
    try:
        connection.send(HEADER.pack(MODIFIER, len(block), 0) + block)
        data = b""
        while len(data) < (size := _answer_size(data)):
            more = connection.receive()
            if not more:
                raise RpcError(f"{address}: no result")
            data += more
    except (OSError, PacketError) as error:
        raise RpcError(f"{address}: {error}") from error
    finally:
        connection.close()
    begin = HEADER.size
    if data[3] == VALUE_BEHIND:
        begin += HEADER.unpack_from(data)[1]
    return data[begin:size]


def _answer_size(data: bytes) -> int:
    """Bytes of a whole answer; as long as that is not known, more than there are.

    Raises:
        PacketError: it is none, or too long.
    """
    if len(data) < HEADER.size:
        return HEADER.size
    _, size, modifier2 = HEADER.unpack_from(data)
    end: int = HEADER.size + size
    if modifier2 != VALUE_BEHIND or len(data) < end:
        return end
    length = dict(decode_block(data[HEADER.size : end])).get(b"CONTENT_LENGTH", b"")
    if not _NUMBER.fullmatch(length) or int(length) > MAX_RESULT:
        raise PacketError(f"a result of {length[:20]!r} bytes, limit {MAX_RESULT}")
    return end + int(length)
