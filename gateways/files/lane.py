"""Files in the lane: what a socket takes at once is sent without a task."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from uwgate.files.plan import Extent, Plan
from uwgate.files.resident import ShortenedError, is_resident

PIECE = 1048576  # bytes of a file sent at a time; with more, others would wait too long


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left to send: of the head, then from byte ``done`` of piece ``number`` on."""

    head: bytes = b""
    number: int = 0
    done: int = 0


def push(sock: socket.socket, start: bytes, plan: Plan) -> Rest | None:
    """Send a head and a plan as far as the socket takes them; None: all of it.

    What is not in memory is left, too: it would have to be waited for.

    Raises:
        ShortenedError: the file has become shorter.
        OSError: the connection broke.
    """
    try:
        sent = sock.send(start, socket.MSG_MORE)
    except BlockingIOError:
        sent = 0
    if sent < len(start):
        return Rest(start[sent:])
    left = PIECE
    last = len(plan.pieces) - 1
    for number, piece in enumerate(plan.pieces):
        if isinstance(piece, Extent):
            done = _push_extent(sock, piece, left)
            left -= done
            length = piece.length
        else:
            done = _push_bytes(sock, piece, 0 if number == last else socket.MSG_MORE)
            length = len(piece)
        if done < length:
            return Rest(b"", number, done)
    return None


def _push_extent(sock: socket.socket, extent: Extent, most: int) -> int:
    """How many bytes were sent; no more than ``most``."""
    done = 0
    length = min(extent.length, most)
    while done < length:
        offset, count = extent.offset + done, length - done
        if not is_resident(extent.descriptor, offset, count):
            break
        try:
            sent = os.sendfile(sock.fileno(), extent.descriptor, offset, count)
        except BlockingIOError:
            break
        if not sent:
            raise ShortenedError
        done += sent
    return done


def _push_bytes(sock: socket.socket, data: bytes, flags: int) -> int:
    try:
        return sock.send(data, flags)
    except BlockingIOError:
        return 0
