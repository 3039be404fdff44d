"""Transformations that encode: compression and chunks (spec/internal-routing.md section 7)."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from uwgate.routing.outside import Outside
from uwgate.routing.transaction import Header, Transaction
from uwgate.routing.transformations.stream import Stream, has_header, replace_header

_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
_GZIP_LEVEL = 9


class _Compressor(Protocol):
    """What makes of a body's bytes something shorter, piece by piece."""

    def compress(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...


class Gzip:
    """A gzip file with every piece flushed, as uWSGI makes it."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._checksum = 0
        self._length = 0

    def compress(self, data: bytes) -> bytes:
        head = b"" if self._length else _GZIP_HEAD
        self._checksum = zlib.crc32(data, self._checksum)
        self._length += len(data)
        return head + self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def flush(self) -> bytes:
        trailer = self._checksum.to_bytes(4, "little")
        return self._deflate.flush() + trailer + (self._length & 0xFFFFFFFF).to_bytes(4, "little")


class _BrotliCompressor(Protocol):
    def process(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...
    def finish(self) -> bytes: ...


class _Brotli:
    def __init__(self) -> None:
        self._compressor: _BrotliCompressor = importlib.import_module("brotli").Compressor(
            quality=5
        )

    def compress(self, data: bytes) -> bytes:
        return self._compressor.process(data) + self._compressor.flush()

    def flush(self) -> bytes:
        return self._compressor.finish()


class _ZstdCompressor(Protocol):
    def compress(self, data: bytes) -> bytes: ...
    def flush(self, mode: int = ...) -> bytes: ...


class _Zstd:
    def __init__(self) -> None:
        library = importlib.import_module("zstandard")
        # No window that RFC 9659 section 3 does not want decoders to have.
        parameters = library.ZstdCompressionParameters.from_level(3, window_log=23)
        compressor = library.ZstdCompressor(compression_params=parameters)
        self._compressor: _ZstdCompressor = compressor.compressobj()
        self._block: int = library.COMPRESSOBJ_FLUSH_BLOCK

    def compress(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(self._block)

    def flush(self) -> bytes:
        return self._compressor.flush()


CODINGS: dict[str, tuple[bytes, Callable[[], _Compressor]]] = {
    "gzip": (b"gzip", Gzip),
    "brotli": (b"br", _Brotli),
    "zstd": (b"zstd", _Zstd),
}
LIBRARIES = {"gzip": "zlib", "brotli": "brotli", "zstd": "zstandard"}


@dataclass(frozen=True, slots=True)
class Compress:
    """``gzip:`` and its like. A body that is encoded already stays as it is."""

    name: str
    buffers: bool = False

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        del outside
        encoded = has_header(transaction.headers, b"Content-Encoding")
        coding, make = CODINGS[self.name]
        return _Compressing(coding, None if encoded else make())


class _Compressing:
    def __init__(self, coding: bytes, compressor: _Compressor | None) -> None:
        self._coding = coding
        self._compressor = compressor
        self._begun = False

    def begin(self, headers: list[Header]) -> None:
        self._begun = True
        if self._compressor is None:
            return
        replace_header(headers, b"Content-Length", None)  # it counted the bytes before
        headers.append((b"Content-Encoding", self._coding))
        if not _varies(headers):  # RFC 9110 section 12.5.5: caches must not give it to everybody
            headers.append((b"Vary", b"Accept-Encoding"))

    def feed(self, data: bytes) -> bytes:
        return data if self._compressor is None else self._compressor.compress(data)

    def finish(self, headers: list[Header], *, complete: bool) -> bytes:
        del headers
        if self._compressor is None or not self._begun or not complete:
            return b""
        return self._compressor.flush()


def _varies(headers: list[Header]) -> bool:
    """Whether the head says already that it depends on the codings that a client takes."""
    named = [
        one.strip(b" \t").lower()
        for name, value in headers
        if name.lower() == b"vary"
        for one in value.split(b",")
    ]
    return b"accept-encoding" in named or b"*" in named


@dataclass(frozen=True, slots=True)
class Chunked:
    """``chunked:``, but not for clients of HTTP/1.0, which do not know it."""

    name: str = "chunked"
    buffers: bool = False

    def open(self, transaction: Transaction, outside: Outside) -> Stream:
        """The stream."""
        del outside
        return _Chunking(on=transaction.get(b"SERVER_PROTOCOL") != b"HTTP/1.0")


class _Chunking:
    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._begun = False

    def begin(self, headers: list[Header]) -> None:
        self._begun = True
        if self._on:
            replace_header(headers, b"Content-Length", None)  # RFC 9112 section 6.2
            replace_header(headers, b"Transfer-Encoding", b"chunked")

    def feed(self, data: bytes) -> bytes:
        if not self._on or not data:
            return data
        return b"%X\r\n%b\r\n" % (len(data), data)

    def finish(self, headers: list[Header], *, complete: bool) -> bytes:
        del headers
        return b"0\r\n\r\n" if self._on and self._begun and complete else b""
