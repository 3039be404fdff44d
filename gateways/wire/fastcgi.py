"""FastCGI 1.0: one request in the role of a responder on a connection of its own.

The specification is Open Market's of 29 April 1996; its sections are named below.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

RECORD = struct.Struct("!BBHHBx")  # version, type, request, bytes of content, bytes of padding
_LONG = struct.Struct("!I")
_END = struct.Struct("!IB3x")  # section 5.5: status of the application, of the protocol

VERSION = 1
REQUEST = 1  # the number of the only request; 0 is for management records
MAX_CONTENT = 0xFFFF  # bytes of one record; its length is 16 bits
MAX_ERRORS = 8192  # bytes of the error stream that are kept of one request

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
_RESPONDER = b"\0\1\0" + bytes(5)  # section 5.1; no flag: the backend closes the connection
_REFUSALS = {1: "it serves no second request", 2: "it is overloaded", 3: "it is no responder"}


class FastCgiError(ValueError):
    """A backend breaks the protocol, or refuses the request in it."""


def encode_head(variables: Iterable[tuple[bytes, bytes]]) -> bytes:
    """What goes before the body: the beginning, and all parameters."""
    parameters = b"".join(_encode_pair(name, value) for name, value in variables)
    begin = RECORD.pack(VERSION, BEGIN_REQUEST, REQUEST, len(_RESPONDER), 0) + _RESPONDER
    return begin + _records(PARAMS, parameters) + _records(PARAMS, b"")


def encode_body(data: bytes) -> bytes:
    """A piece of the body; the empty one ends it."""
    return _records(STDIN, data)


def _encode_pair(name: bytes, value: bytes) -> bytes:
    return b"".join((_encode_length(len(name)), _encode_length(len(value)), name, value))


def _encode_length(length: int) -> bytes:
    """Section 3.4: one byte, or four with the first bit set."""
    return bytes((length,)) if length < 0x80 else _LONG.pack(length | 0x80000000)


def _records(kind: int, data: bytes) -> bytes:
    if len(data) <= MAX_CONTENT:
        return RECORD.pack(VERSION, kind, REQUEST, len(data), 0) + data
    pieces = (data[start : start + MAX_CONTENT] for start in range(0, len(data), MAX_CONTENT))
    return b"".join(RECORD.pack(VERSION, kind, REQUEST, len(piece), 0) + piece for piece in pieces)


def shown(errors: bytes) -> str:
    """What came of the error stream as one line of a log, whatever is in it."""
    text = errors.rstrip().decode(errors="backslashreplace")
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class FastCgiDecoder:
    """Takes the response out of what a backend sends.

    ``done``: it has ended as it should. ``errors``: what came of the error stream, to be taken by
    the caller; what is more than ``MAX_ERRORS`` bytes of one request is dropped.
    """

    __slots__ = ("_buffer", "_closed", "_errors_left", "done", "errors")

    def __init__(self) -> None:
        self.done = False
        self.errors = b""
        self._buffer = bytearray()  # less than a record
        self._closed = False  # the response's stream
        self._errors_left = MAX_ERRORS

    def feed(self, data: bytes) -> bytes:
        """The bytes of the response that ``data`` completes; what stands behind its end is nothing.

        Raises:
            FastCgiError: a record is none, or says that the request is refused.
        """
        if self.done:
            return b""
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        start = 0
        while len(buffer) - start >= RECORD.size and not self.done:
            version, kind, request, size, padding = RECORD.unpack_from(buffer, start)
            if version != VERSION:
                raise FastCgiError(f"a record of version {version}, expected {VERSION}")
            if request not in (0, REQUEST):
                raise FastCgiError(f"a record of request {request}, which nobody made")
            content = start + RECORD.size
            end = content + size + padding
            if len(buffer) < end:
                break
            if request == REQUEST:  # what a backend says of itself was not asked
                self._take(kind, bytes(buffer[content : content + size]), found)
            start = end
        del buffer[:start]
        return b"".join(found)

    def _take(self, kind: int, content: bytes, found: list[bytes]) -> None:
        match kind:
            case _ if kind == STDOUT:
                if self._closed and content:
                    raise FastCgiError("a response goes on behind its end")
                self._closed = not content
                found.append(content)
            case _ if kind == STDERR:
                kept = content[: self._errors_left]
                self._errors_left -= len(kept)
                self.errors += kept
            case _ if kind == END_REQUEST:
                if len(content) < _END.size:
                    raise FastCgiError(f"an end of {len(content)} bytes, expected {_END.size}")
                _, status = _END.unpack_from(content)
                if status:
                    raise FastCgiError(_REFUSALS.get(status, f"it ends with status {status}"))
                self.done = True
            case _:
                raise FastCgiError(f"a record of type {kind}")
