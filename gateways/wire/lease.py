"""Leases: how our own gateways and workers share a kept connection.

A gateway connects to the workers' lease socket. A worker slot that accepts the connection
says HELLO; from then on the slot serves one request after the other on it, until one of
them leaves. The gateway sends nothing before the HELLO, so a connection that waits in the
accept queue holds no request.

From the gateway: a uwsgi packet (modifier1 0), then the body. modifier2 is a set of flags:
``BODY_FRAMED`` (the body has no CONTENT_LENGTH: it comes as chunks, each a ``CHUNK`` length
and that many bytes, ended by an empty chunk; else it is CONTENT_LENGTH plain bytes),
``ACKNOWLEDGE`` (more of the body than was sent with the packet is held back until the worker
has sent TAKEN), ``EXPECT`` (the client waits for 100 Continue: the worker sends CONTINUE when
the application first reads the body; nothing of the body is sent before).

From the worker: frames. Each is a header (``FRAME``: flags, head size, body size), a head and
a body. ``HELLO``, ``TAKEN`` and ``CONTINUE`` stand alone, without head or body. The first
other frame of a response carries ``HEAD`` and the head: status code and reason, CR LF, header
lines, each with CR LF, no empty line; for example ``200 OK\\r\\nContent-Type: text/plain\\r\\n``.
The worker has checked it: no control characters, no hop-by-hop fields, at most one
Content-Length. ``LENGTH`` says that a Content-Length is there, ``NO_BODY`` that the
response has no body whatever its fields say (HEAD, 1xx, 204, 304), ``DATE`` and ``SERVER``
that those fields are there, ``ENCODING`` that uWSGI-Encoding is, ``NAMES_FILE`` that X-Sendfile or
X-Accel-Redirect is. The last frame of a response
carries ``LAST``; one frame can be first and last. ``ABORTED`` with LAST: the application broke
off, the body is incomplete. ``CHUNKED`` never goes over a lease: the gateway's own rules want the
body to go to the client in chunks.
``GOODBYE``: the worker leaves after this frame. GOODBYE with LAST ends a response; alone it
means that whatever the gateway has sent on this lease since the last LAST was not and will
not be run, so it may go elsewhere.

The queue: HELLO with ``QUEUE`` says that the worker also reads requests from a queue that all
slots of the gateway share. The gateway then first sends a packet with modifier1 ``ATTACH``, no
block, and with it the descriptor of the queue's end (SCM_RIGHTS; a SOCK_SEQPACKET socket). Each
message there is a ``NUMBER`` and a packet of at most ``MAX_QUEUED`` bytes with modifier2
``MAY_TAKE``. Only when it answers such a request, and in a single frame with a body of at most
``MAX_WHOLE`` bytes, a worker may take the next one from the queue; the frame then carries
``QUEUE`` too, and the number of what was taken follows it. A worker with nothing to do does not
look into the queue: the gateway hands it what is left there.

A tunnel: with ``MAY_TUNNEL`` in modifier2 the request asks for a WebSocket. A worker that agrees
answers with a frame of ``HEAD`` and ``TUNNEL``, the head with status 101 and without the fields
Upgrade and Connection. From there on the lease carries bytes of the two peers in both
directions, without frames, until one side closes; it is never used again.

Packets of others: with ``FOREIGN`` in modifier2 the block is what a web server has sent to a
uwsgi socket, and is treated as if it had come there; modifier1 is the web server's. The head of the
response is then the whole text in front of the body: status line, header lines, an empty line.
With ``HANDED_OVER`` as well the lease becomes a connection to a uwsgi socket, behind the packet and
a TAKEN: it carries bytes without frames until both sides close, and is never used again.

End of file without GOODBYE: the worker died.
"""

from __future__ import annotations

import struct

from uwgate.gateways.wire.uwsgi import HEADER

FRAME = struct.Struct("<HHI")  # flags, size of the head, size of the body
CHUNK = struct.Struct("<I")
MAX_HEAD = 0xFFFF  # bytes; the size field has 16 bits
MAX_CHUNK = 1 << 20  # bytes in one chunk or frame body; larger ones are refused
NUMBER = struct.Struct("<I")  # of a request in the queue
MAX_QUEUED = 4096  # bytes of a packet in the queue
MAX_WHOLE = 16384  # bytes of body in a frame behind which a request may be taken from the queue

# modifier1 of a request is 0, or that of a web server
ATTACH = 255

# modifier2 of a request
BODY_FRAMED = 1
ACKNOWLEDGE = 2
EXPECT = 4
MAY_TAKE = 8
MAY_TUNNEL = 16
FOREIGN = 32
HANDED_OVER = 64

# flags of a frame
HELLO = 1
TAKEN = 2
CONTINUE = 4
HEAD = 8
LAST = 16
GOODBYE = 32
ABORTED = 64
LENGTH = 128
NO_BODY = 256
DATE = 512
SERVER = 1024
QUEUE = 2048
ENCODING = 4096
TUNNEL = 8192
NAMES_FILE = 16384
CHUNKED = 32768


class LeaseError(ValueError):
    """A frame breaks the format."""


def encode_frame(flags: int, head: bytes = b"", body: bytes = b"") -> bytes:
    """One frame.

    Raises:
        LeaseError: the head or the body is too large for a frame.
    """
    if len(head) > MAX_HEAD or len(body) > MAX_CHUNK:
        raise LeaseError(
            f"frame of {len(head)} + {len(body)} bytes, limit {MAX_HEAD} + {MAX_CHUNK}"
        )
    return FRAME.pack(flags, len(head), len(body)) + head + body


def encode_request(block: bytes, body: bytes = b"") -> tuple[bytes, bytes]:
    """The packet of a request with its whole body, and what of it may go into the queue.

    The second is the packet again, or empty where it is too large for the queue.
    """
    queueable = HEADER.size + len(block) + len(body) <= MAX_QUEUED
    packet = HEADER.pack(0, len(block), MAY_TAKE if queueable else 0) + block + body
    return packet, packet if queueable else b""


def encode_foreign(data: bytes) -> tuple[bytes, bytes]:
    """The packet of a web server with its whole body; returns what ``encode_request`` does."""
    if len(data) <= MAX_QUEUED:
        packet = mark(data, FOREIGN | MAY_TAKE)
        return packet, packet
    return mark(data, FOREIGN), b""


def mark(data: bytes, flags: int) -> bytes:
    """The packet that begins ``data`` with these flags."""
    return b"%b%c%b" % (data[:3], flags, data[4:])


def decode_header(buffer: bytes | bytearray) -> tuple[int, int, int] | None:
    """Flags, head size and body size of the frame that begins ``buffer``.

    None while bytes of the 8-byte header are missing.

    Raises:
        LeaseError: the sizes are out of bounds.
    """
    if len(buffer) < FRAME.size:
        return None
    flags, head_size, body_size = FRAME.unpack_from(buffer)
    if body_size > MAX_CHUNK:
        raise LeaseError(f"frame body of {body_size} bytes, limit {MAX_CHUNK}")
    return flags, head_size, body_size


HELLO_FRAME = encode_frame(HELLO | QUEUE)
TAKEN_FRAME = encode_frame(TAKEN)
CONTINUE_FRAME = encode_frame(CONTINUE)
GOODBYE_FRAME = encode_frame(GOODBYE)
