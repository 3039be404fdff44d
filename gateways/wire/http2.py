"""HTTP/2 frames (RFC 9113 section 4): from received bytes to whole frames.

A header block and its CONTINUATION frames come out as one. What is inside a frame is not
looked at here, but for its header.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

from h2.errors import ErrorCodes

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # section 3.4
MAX_FRAME = 16384  # bytes of payload; the smallest that SETTINGS_MAX_FRAME_SIZE may say
HEADER_SIZE = 9
_HEADER = struct.Struct(">HBBBL")  # length (24 bits), type, flags, stream

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20


class Kind(enum.IntEnum):
    """Frame types (section 6)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class ConnectionFault(ValueError):
    """The peer broke a rule in a way that ends the connection (section 5.4.1)."""

    def __init__(self, code: ErrorCodes, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Frame(NamedTuple):
    """A whole frame. ``data`` begins with the frame's header.

    A header block of several frames is one: ``data`` then holds all of them.
    """

    kind: int
    flags: int
    stream: int
    data: bytes

    @property
    def payload(self) -> bytes:
        return self.data[HEADER_SIZE:]


def encode_frame(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame; the payload must be as small as the receiver wants it."""
    length = len(payload)
    return _HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


class FrameSplitter:
    """Cuts what a client sends into frames, behind the preface.

    ``max_block`` bounds a header block in bytes, ``max_continuations`` the frames behind its
    first. ``is_waiting``: a frame or a header block has begun and is not complete.
    """

    __slots__ = ("_block", "_buffer", "_max_block", "_max_continuations", "_preface", "_size")

    def __init__(self, max_block: int, max_continuations: int) -> None:
        self._max_block = max_block
        self._max_continuations = max_continuations
        self._buffer = b""
        self._preface = True  # it is still to come
        self._block: list[Frame] = []  # of a header block that is not complete
        self._size = 0  # bytes of it

    @property
    def is_waiting(self) -> bool:
        return bool(self._buffer or self._block or self._preface)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes. To be used up before more is fed.

        Raises:
            ConnectionFault: what follows cannot be read.
        """
        buffer = self._buffer + data if self._buffer else data
        position = 0
        if self._preface:
            if not PREFACE.startswith(buffer[: len(PREFACE)]):
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "no HTTP/2 preface")
            if len(buffer) < len(PREFACE):
                self._buffer = buffer
                return
            self._preface = False
            position = len(PREFACE)
        size = len(buffer)
        while size - position >= HEADER_SIZE:
            high, low, kind, flags, stream = _HEADER.unpack_from(buffer, position)
            length = (high << 8) + low
            if length > MAX_FRAME:
                raise ConnectionFault(
                    ErrorCodes.FRAME_SIZE_ERROR, f"frame of {length} bytes, limit {MAX_FRAME}"
                )
            end = position + HEADER_SIZE + length
            if self._block or kind == Kind.CONTINUATION:
                self._check_continuation(kind, stream & 0x7FFFFFFF)
            if end > size:
                break
            frame = Frame(kind, flags, stream & 0x7FFFFFFF, buffer[position:end])
            position = end
            if self._block or (kind == Kind.HEADERS and not flags & END_HEADERS):
                whole = self._collect(frame)
                if whole is None:
                    continue
                frame = whole
            self._buffer = b""
            yield frame
        self._buffer = buffer[position:]

    def _check_continuation(self, kind: int, stream: int) -> None:
        """Section 6.10: a header block comes in one piece."""
        if not self._block:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        if kind != Kind.CONTINUATION or stream != self._block[0].stream:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "frame within a header block")

    def _collect(self, frame: Frame) -> Frame | None:
        block = self._block
        block.append(frame)
        self._size += len(frame.data)
        if self._size > self._max_block or len(block) > self._max_continuations + 1:
            raise ConnectionFault(
                ErrorCodes.ENHANCE_YOUR_CALM,
                f"header block of {self._size} bytes in {len(block)} frames, "
                f"limit {self._max_block} in {self._max_continuations + 1}",
            )
        if not frame.flags & END_HEADERS:
            return None
        first = block[0]
        whole = Frame(first.kind, first.flags, first.stream, b"".join(one.data for one in block))
        self._block = []
        self._size = 0
        return whole
