"""How a listening socket leaves a group that shares its port (SO_REUSEPORT), and loses nobody.

The kernel gives each connection to one socket of the group as soon as its first packet comes. When
that socket is closed, who waits in its queue is reset, even if others listen. So first it takes
no new connections: a filter drops SYN packets, which clients send again after a second, and
then they reach another socket of the group. Handshakes that have begun are finished, the queue is
emptied by those who accept, and only then the socket leaves the group. It leaves in all processes
at once, whoever still has a descriptor: shutdown(2) does that.

With ``net.ipv4.tcp_migrate_req`` = 1 the kernel itself moves the queue and begun handshakes to
another socket of the group (since Linux 5.14), also when a process is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterable, Mapping

import trio

from uwgate.announcing.backlog import waiting
from uwgate.attaching import STEM
from uwgate.binding import Bound

SO_ATTACH_FILTER = 26  # socket(7)
INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter of linux/filter.h
# A TCP socket's filter sees packets from the TCP header on; byte 13 has the flags (RFC 9293
# section 3.1). Accepted connections have it too, where no packet is a bare SYN.
NO_SYN = b"".join(
    INSTRUCTION.pack(*one)
    for one in (
        (0x30, 0, 0, 13),  # load the byte
        (0x54, 0, 0, 0x12),  # keep SYN and ACK of it
        (0x15, 0, 1, 0x02),  # SYN alone?
        (0x06, 0, 0, 0),  # then drop the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
    )
)
PROGRAM = struct.Struct("@HP")  # struct sock_fprog
HANDSHAKE = 0.25  # seconds that a handshake which has begun may take to its end
LIMIT = 5.0  # seconds for a queue to become empty
STEP = 0.02  # seconds between two looks


def leavers(
    bound: Mapping[str, Bound], kept: Mapping[str, Bound], *, gives_away: bool
) -> list[socket.socket]:
    """The sockets that nobody is to accept on when ``bound`` is closed except for ``kept``.

    Not those that others have as well: sockets that came from outside, and with ``gives_away``
    all, for zergs may serve on them.
    """
    if gives_away:
        return []
    return [
        one.socket
        for key, one in bound.items()
        if not key.startswith(("fd://", STEM)) and key not in kept and _shares_port(one.socket)
    ]


def _shares_port(sock: socket.socket) -> bool:
    is_tcp = sock.type == socket.SOCK_STREAM and sock.family in (socket.AF_INET, socket.AF_INET6)
    return is_tcp and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))


async def leave(sockets: Iterable[socket.socket]) -> None:
    """Take the sockets out of their groups; others have to accept meanwhile.

    Afterwards accept(2) fails there with EINVAL. Returns after ``LIMIT`` seconds at the latest;
    who still waits then is lost.
    """
    leaving = list(sockets)
    if not leaving:
        return
    for sock in leaving:
        refuse_new(sock)
    with trio.move_on_after(LIMIT):
        await trio.sleep(HANDSHAKE)
        while any(map(waiting, leaving)):  # noqa: ASYNC110  the kernel tells nobody
            await trio.sleep(STEP)
    for sock in leaving:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def refuse_new(sock: socket.socket) -> None:
    """Drop the packets that begin connections, from now on."""
    program = ctypes.create_string_buffer(NO_SYN, len(NO_SYN))
    count = len(NO_SYN) // INSTRUCTION.size
    sock.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, PROGRAM.pack(count, ctypes.addressof(program))
    )
