"""Functions that others call over a worker's uwsgi socket: modifier1 173 (spec/workers.md 29).

modifier2 says how: 0 wants the result in a packet, 1 as it is; 2 is an HTTP request whose path
names the function and its arguments. As in uWSGI, whoever can reach the socket can call what the
application has registered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwgate.gateways.wire.lease import LENGTH
from uwgate.gateways.wire.uwsgi import HEADER, MAX_BLOCK, PacketError, encode
from uwgate.gateways.wire.uwsgi import LENGTH as SIZE
from uwgate.workers.log import say
from uwgate.workers.rpc import MAX_ARGUMENTS, MODIFIER, VALUE_BEHIND, Functions, RpcError

if TYPE_CHECKING:
    from uwgate.workers.environ import Environ

PACKET, RAW, WEB = 0, 1, 2  # values of modifier2
SERVED = (PACKET, RAW, WEB)

Answer = tuple[bytes, int, bytes]  # head, flags and body, as a ``wsgi.Output`` begins

_NOT_FOUND = b"404 Not Found\r\nContent-Type: text/plain\r\n", b"Not Found"
_FAILED = b"500 Internal Server Error\r\nContent-Type: text/plain\r\n", b"Internal Server Error"


def read_call(block: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """The name of the function, and its arguments.

    Raises:
        PacketError: it is no array of texts, or too long, or empty.
    """
    items: list[bytes] = []
    position = 0
    while position < len(block):
        start = position + SIZE.size
        if start > len(block):
            raise PacketError("rpc: an array cut short")
        position = start + SIZE.unpack_from(block, position)[0]
        if position > len(block):
            raise PacketError("rpc: an array cut short")
        items.append(block[start:position])
    if not items or len(items) > MAX_ARGUMENTS + 1:
        raise PacketError(f"rpc: {len(items)} texts, expected 1 to {MAX_ARGUMENTS + 1}")
    return items[0], tuple(items[1:])


def answer(functions: Functions, block: bytes, modifier2: int) -> bytes:
    """What is sent to a caller: nothing if there is no result, or an empty one.

    Raises:
        PacketError: as ``read_call``.
    """
    name, arguments = read_call(block)
    result = _call(functions, name, arguments)
    if not result or modifier2 == RAW:
        return result
    if len(result) <= MAX_BLOCK:
        return HEADER.pack(MODIFIER, len(result), PACKET) + result
    length = b"%d" % len(result)
    return encode(((b"CONTENT_LENGTH", length),), MODIFIER, VALUE_BEHIND) + result


def answer_web(functions: Functions, environ: Environ) -> Answer:
    """The response to a request for ``/function/argument/argument``."""
    words = [one for one in environ.get("PATH_INFO", "").encode("latin-1").split(b"/") if one]
    if not words:
        return _page(*_FAILED)
    result = _call(functions, words[0], words[1 : MAX_ARGUMENTS + 1])
    if not result:
        return _page(*_NOT_FOUND)
    accept = environ.get("HTTP_ACCEPT", "")
    # What a client says is a line of ours: only what can be one.
    kind = accept if accept.isascii() and accept.isprintable() and accept else None
    head = f"200 OK\r\nContent-Type: {kind or 'application/binary'}\r\n".encode("ascii")
    return _page(head, result)


def _page(head: bytes, body: bytes) -> Answer:
    return head + b"Content-Length: %d\r\n" % len(body), LENGTH, body


def _call(functions: Functions, name: bytes, arguments: tuple[bytes, ...] | list[bytes]) -> bytes:
    try:
        return functions.call(name, arguments)
    except RpcError as error:
        say(f"rpc {name[:100]!r}: {error}")
        return b""
