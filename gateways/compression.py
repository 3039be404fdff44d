"""Response bodies encoded for the client where the backend asks for it (``http-auto-gzip``).

Each piece that the backend sends becomes a piece that the client can decode at once, so a
stream stays a stream. ``wire.coding`` decides whether and how; whoever serves a request, in
HTTP/1 or HTTP/2, comes here only when a response head has the flag ``ENCODING``.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from functools import partial
from weakref import WeakSet

from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.exchange import Reply, Request
from uwgate.gateways.spool import Read
from uwgate.gateways.wire.coding import AskingHead, choose
from uwgate.gateways.wire.lease import ENCODING, LENGTH, NO_BODY
from uwgate.gateways.wire.uwsgi import decode_block

# What one encoder may remember decides its memory: about 270 KiB for gzip, and at the default
# levels (the highest) 0.7 MiB (2.7) for brotli, 0.6 MiB (4) for zstd.
GZIP = 31  # wbits of zlib: a window of 2**15 bytes, in gzip's format (RFC 1952)
WINDOW = 18  # 2**18 bytes, for brotli and zstd; receivers of zstd take 2**23 (RFC 9659)


class Encoder:
    """One body on its way through a compressor.

    ``feed`` takes some of it and gives what is ready, ``flush`` gives what is needed to decode
    all that was fed so far, ``end`` gives the rest, checksum and size included.
    """

    __slots__ = ("__weakref__", "end", "feed", "flush")

    def __init__(
        self,
        feed: Callable[[bytes], bytes],
        flush: Callable[[], bytes],
        end: Callable[[], bytes],
    ) -> None:
        self.feed = feed
        self.flush = flush
        self.end = end


def gzip_encoder(level: int) -> Encoder:
    """RFC 1952."""
    stream = zlib.compressobj(level, zlib.DEFLATED, GZIP)
    return Encoder(stream.compress, partial(stream.flush, zlib.Z_SYNC_FLUSH), stream.flush)


def brotli_encoder(level: int) -> Encoder:
    """RFC 7932."""
    import brotli

    stream = brotli.Compressor(quality=level, lgwin=WINDOW)
    return Encoder(stream.process, stream.flush, stream.finish)


def zstd_encoder(level: int) -> Encoder:
    """RFC 8878."""
    import zstandard

    # The size is a lie that makes the tables, too, no larger than the window needs.
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, source_size=1 << WINDOW, window_log=WINDOW
    )
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return Encoder(
        stream.compress, partial(stream.flush, zstandard.COMPRESSOBJ_FLUSH_BLOCK), stream.flush
    )


class Compression:
    """Encodes the responses of one gateway process."""

    def __init__(self, options: HttpOptions) -> None:
        self._makers: dict[bytes, Callable[[], Encoder]] = {}
        if options.http_auto_gzip:
            self._makers[b"gzip"] = partial(gzip_encoder, options.http_gzip_level)
        if options.http_auto_brotli:
            self._makers[b"br"] = partial(brotli_encoder, options.http_brotli_level)
            importlib.import_module("brotli")  # now, not while a request waits
        if options.http_auto_zstd:
            self._makers[b"zstd"] = partial(zstd_encoder, options.http_zstd_level)
            importlib.import_module("zstandard")
        self._most = options.http_encoded_streams
        self._streams: WeakSet[Encoder] = WeakSet()  # memory counts, so: those that exist

    def whole(
        self, request: Request, flags: int, head: bytes, body: bytes
    ) -> tuple[int, bytes, bytes]:
        """Flags, head and body of a response that is there as a whole, for the client."""
        flags, head, make = self._head(request, flags, head, is_empty=not body)
        if make is not None:
            encoder = make()
            body = encoder.feed(body) + encoder.end()
        return flags, head, body

    def begin(self, request: Request, reply: Reply, read: Read) -> tuple[Reply, Read]:
        """The beginning of a response for the client, and how to read on."""
        if reply.last:
            flags, head, body = self.whole(request, reply.flags, reply.head, reply.body)
            return Reply(flags, head, body, last=True), read
        is_full = len(self._streams) >= self._most
        flags, head, make = self._head(request, reply.flags, reply.head, is_full=is_full)
        if make is None:
            return Reply(flags, head, reply.body, last=False), read
        encoder = make()
        self._streams.add(encoder)
        # Nothing of the body yet: nothing has to be flushed, a compressor's header included.
        body = encoder.feed(reply.body) + encoder.flush() if reply.body else b""

        async def read_encoded() -> tuple[bytes, bool]:
            piece, last = await read()
            if last:
                return encoder.feed(piece) + encoder.end(), True
            return encoder.feed(piece) + encoder.flush(), False

        return Reply(flags, head, body, last=False), read_encoded

    def _head(
        self,
        request: Request,
        flags: int,
        head: bytes,
        *,
        is_empty: bool = False,
        is_full: bool = False,
    ) -> tuple[int, bytes, Callable[[], Encoder] | None]:
        """Flags and head for the client, and what makes the encoder, if there is a body for it.

        The flag ENCODING stays where there is one. ``is_empty``: there is nothing to encode;
        ``is_full``: nothing to encode it with.
        """
        flags &= ~ENCODING
        if not self._makers:  # another gateway in front may do it
            return flags, head, None
        asking = AskingHead.read(head)
        coding = None
        # HTTP/1.0 has no chunks: without a length, a body that breaks off would look complete.
        if asking.is_open and request.minor:
            accept = dict(decode_block(request.block)).get(b"HTTP_ACCEPT_ENCODING", b"")
            coding = choose(accept, (name for name in asking.codings if name in self._makers))
        if flags & NO_BODY:
            # HEAD tells what GET would; there, nobody knows the length before the end.
            if coding is None:
                return flags, asking.plain(), None
            return flags & ~LENGTH, asking.encoded(coding), None
        if coding is None or is_empty or is_full:
            return flags, asking.plain(), None
        return flags & ~LENGTH | ENCODING, asking.encoded(coding), self._makers[coding]
