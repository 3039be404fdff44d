"""Chunked bodies (RFC 9112 section 7.1), read strictly: every line ends in CR LF."""

from __future__ import annotations

import re

from uwgate.conf.errors import ClientError

MAX_LINE = 256  # bytes of a chunk-size line with its extensions
MAX_TRAILER = 8192  # bytes of all trailer lines, which are dropped
# chunk-ext is dropped; control characters in it are refused.
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class ChunkedDecoder:
    """Turns received bytes into body bytes.

    ``done`` is True behind the last chunk and its trailer; ``rest`` then holds the bytes
    that follow the body.
    """

    __slots__ = ("_buffer", "_left", "_position", "_step", "_trailer", "done")

    def __init__(self) -> None:
        self.done = False
        self._buffer = b""
        self._position = 0  # while bytes are fed: those of the buffer before it are used
        self._left = 0
        self._step = self._size
        self._trailer = 0

    @property
    def rest(self) -> bytes:
        """Bytes received but not used; those behind the body once it is done."""
        return self._buffer

    def feed(self, data: bytes) -> bytes:
        """Take received bytes, give body bytes (perhaps none).

        Raises:
            ClientError: the coding is broken (400), or the trailer too large (431).
        """
        self._buffer += data
        out: list[bytes] = []
        while not self.done and self._step(out):
            pass
        # Cut once, not at every step: a body of tiny chunks would be copied for each of them.
        self._buffer = self._buffer[self._position :]
        self._position = 0
        return b"".join(out)

    def _line(self, limit: int) -> bytes | None:
        start = self._position
        end = self._buffer.find(b"\r\n", start, start + limit + 2)
        if end < 0:
            received = self._buffer[start : start + limit + 2]
            if b"\n" in received:
                raise ClientError(400, "chunked body: line ends in LF without CR")
            if len(received) > limit and received[limit:] != b"\r":
                raise ClientError(400, f"chunked body: line of more than {limit} bytes")
            return None
        self._position = end + 2
        return self._buffer[start:end]

    def _size(self, out: list[bytes]) -> bool:
        line = self._line(MAX_LINE)
        if line is None:
            return False
        match = SIZE_LINE.fullmatch(line)
        if match is None:
            raise ClientError(400, "chunked body: malformed chunk size")
        self._left = int(match[1], 16)
        self._step = self._data if self._left else self._end
        return True

    def _data(self, out: list[bytes]) -> bool:
        start = self._position
        piece = self._buffer[start : start + self._left]
        if not piece:
            return False
        self._position = start + len(piece)
        out.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = self._data_end
        return True

    def _data_end(self, out: list[bytes]) -> bool:
        end = self._buffer[self._position : self._position + 2]
        if end != b"\r\n":
            if end not in (b"", b"\r"):
                raise ClientError(400, "chunked body: data longer than its chunk size")
            return False
        self._position += 2
        self._step = self._size
        return True

    def _end(self, out: list[bytes]) -> bool:
        line = self._line(MAX_TRAILER)
        if line is None:
            return False
        self._trailer += len(line)
        if self._trailer > MAX_TRAILER:
            raise ClientError(431, f"chunked body: trailer of more than {MAX_TRAILER} bytes")
        if not line:
            self.done = True
        elif TRAILER_LINE.fullmatch(line) is None:
            raise ClientError(400, "chunked body: malformed trailer line")
        return True


def encode_chunk(data: bytes) -> bytes:
    """One chunk; ``data`` must not be empty, for that would end the body."""
    return b"%X\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
