"""WebSocket frames (RFC 6455 section 5), read strictly: messages out of a client's bytes.

No extension is negotiated, so the reserved bits stay 0. Whatever breaks a rule is a
``FrameError`` with the code to close with; nothing that follows it is looked at.
"""

from __future__ import annotations

import codecs
import enum
import struct
from typing import NamedTuple

MAX_CONTROL = 125  # bytes of payload in a control frame (section 5.5)
MAX_HEADER = 14  # bytes
_SHORT = 125  # bytes of payload whose length stands in the second byte
_LENGTH16 = struct.Struct(">H")
_LENGTH64 = struct.Struct(">Q")
_CODE = struct.Struct(">H")
_FIN = 0x80
_RESERVED = 0x70
_MASKED = 0x80


class Opcode(enum.IntEnum):
    """What a frame carries (section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Code(enum.IntEnum):
    """Why a connection is closed (section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NO_STATUS = 1005  # stands for a close frame without a code; never sent
    INVALID_DATA = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011


# Those of section 7.4.1 and IANA's registry that may be on the wire, and section 7.4.2's ranges.
_SENDABLE = frozenset((*range(1000, 1004), *range(1007, 1015)))
_PRIVATE = range(3000, 5000)


class FrameError(ValueError):
    """The peer broke the protocol. ``code``: what to close with."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Message(NamedTuple):
    """A whole message (TEXT or BINARY), or a control frame (CLOSE, PING or PONG)."""

    opcode: Opcode
    data: bytes


class MessageReader:
    """Turns received bytes into messages.

    ``max_size`` is the most bytes that a message may have, in all its fragments together.
    ``masked``: the peer is a client, which has to mask (section 5.1).
    """

    __slots__ = ("_buffer", "_end", "_kind", "_masked", "_max_size", "_message", "_text")

    def __init__(self, max_size: int, *, masked: bool = True) -> None:
        self._max_size = max_size
        self._masked = masked
        self._buffer = bytearray()
        self._end = 0  # of the frame that the buffer begins with, as far as is known
        self._kind: Opcode | None = None  # of the message whose fragments are being collected
        self._message = bytearray()
        self._text = codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        self._buffer += data

    @property
    def missing(self) -> int:
        """How many bytes more are needed at least, after ``next`` has returned None.

        Who receives no more than these never holds a message that nobody has asked for, and so
        may go on waiting for the socket.
        """
        return self._end - len(self._buffer)

    def next(self) -> Message | None:
        """The next message or control frame; None while bytes are missing.

        Raises:
            FrameError: the peer broke the protocol.
        """
        while True:
            frame = self._frame()
            if frame is None:
                return None
            final, opcode, payload = frame
            if opcode >= Opcode.CLOSE:
                return Message(opcode, payload)
            message = self._collect(final, opcode, payload)
            if message is not None:
                return message

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        """Take one frame off the buffer: whether it is final, its opcode and its payload."""
        buffer = self._buffer
        self._end = 6 if self._masked else 2
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & _RESERVED:
            raise FrameError(Code.PROTOCOL_ERROR, "a reserved bit without an extension")
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise FrameError(Code.PROTOCOL_ERROR, f"opcode {first & 0x0F}") from None
        final = bool(first & _FIN)
        if bool(second & _MASKED) is not self._masked:
            what = "an unmasked frame" if self._masked else "a masked frame"
            raise FrameError(Code.PROTOCOL_ERROR, what)
        size = second & 0x7F
        start = 2
        if opcode >= Opcode.CLOSE:
            if not final:
                raise FrameError(Code.PROTOCOL_ERROR, "a control frame in fragments")
            if size > MAX_CONTROL:
                raise FrameError(Code.PROTOCOL_ERROR, f"a control frame over {MAX_CONTROL} bytes")
        else:
            self._check_order(opcode)
            if size > _SHORT:
                length = _LENGTH16 if size == 126 else _LENGTH64
                start += length.size
                self._end = start + 4 if self._masked else start
                if len(buffer) < start:
                    return None
                (size,) = length.unpack_from(buffer, 2)
                if size < 126 or (length is _LENGTH64 and not 0xFFFF < size < 1 << 63):
                    raise FrameError(Code.PROTOCOL_ERROR, "a length not in its shortest form")
            if len(self._message) + size > self._max_size:
                raise FrameError(Code.TOO_BIG, f"a message over {self._max_size} bytes")
        key = b""
        if self._masked:
            key = bytes(buffer[start : start + 4])
            start += 4
        self._end = end = start + size
        if len(buffer) < end:
            return None
        payload = bytes(buffer[start:end])
        del buffer[:end]
        return final, opcode, mask(payload, key) if key else payload

    def _check_order(self, opcode: Opcode) -> None:
        """Fragments of one message follow each other (section 5.4)."""
        if opcode is Opcode.CONTINUATION and self._kind is None:
            raise FrameError(Code.PROTOCOL_ERROR, "a continuation of no message")
        if opcode is not Opcode.CONTINUATION and self._kind is not None:
            raise FrameError(Code.PROTOCOL_ERROR, "a message within the fragments of another")

    def _collect(self, final: bool, opcode: Opcode, payload: bytes) -> Message | None:
        """Add a fragment; the message, if that was its last."""
        kind = self._kind or opcode
        if kind is Opcode.TEXT:
            try:
                self._text.decode(payload, final)
            except UnicodeDecodeError:
                raise FrameError(Code.INVALID_DATA, "text that is not UTF-8") from None
        if final and self._kind is None:
            return Message(kind, payload)
        self._message += payload
        if not final:
            self._kind = kind
            return None
        data = bytes(self._message)
        self._message.clear()
        self._kind = None
        return Message(kind, data)


def encode_frame(
    opcode: Opcode, payload: bytes = b"", *, final: bool = True, key: bytes = b""
) -> bytes:
    """One frame; ``key`` is the 4 bytes that a client masks with, empty for a server's frame."""
    size = len(payload)
    first = opcode | _FIN if final else opcode
    bit = _MASKED if key else 0
    if size <= _SHORT:
        header = bytes((first, bit | size))
    elif size <= 0xFFFF:
        header = bytes((first, bit | 126)) + _LENGTH16.pack(size)
    else:
        header = bytes((first, bit | 127)) + _LENGTH64.pack(size)
    return b"%b%b%b" % (header, key, mask(payload, key) if key else payload)


def encode_close(code: int, reason: str = "") -> bytes:
    """A server's close frame; a reason that is too long is cut. NO_STATUS: without a code."""
    if code == Code.NO_STATUS:
        return encode_frame(Opcode.CLOSE)
    text = reason.encode()[: MAX_CONTROL - _CODE.size].decode("utf-8", "ignore")
    return encode_frame(Opcode.CLOSE, _CODE.pack(code) + text.encode())


def decode_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; ``NO_STATUS`` where it has none.

    Raises:
        FrameError: neither may be on the wire.
    """
    if not payload:
        return Code.NO_STATUS, ""
    if len(payload) < _CODE.size:
        raise FrameError(Code.PROTOCOL_ERROR, "a close frame of one byte")
    (code,) = _CODE.unpack_from(payload)
    if code not in _SENDABLE and code not in _PRIVATE:
        raise FrameError(Code.PROTOCOL_ERROR, f"close code {code}")
    try:
        return code, payload[_CODE.size :].decode()
    except UnicodeDecodeError:
        raise FrameError(Code.INVALID_DATA, "a close reason that is not UTF-8") from None


def mask(data: bytes, key: bytes) -> bytes:
    """Mask or unmask (section 5.3)."""
    size = len(data)
    # As two large numbers: the only way to have C do the work.
    number = int.from_bytes(data, "little") ^ int.from_bytes(
        (key * (size // 4 + 1))[:size], "little"
    )
    return number.to_bytes(size, "little")
