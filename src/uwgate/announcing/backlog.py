"""How many connections wait in the accept queue of a listening socket.

TCP: ``tcpi_unacked`` of TCP_INFO, which is the length of that queue for a listener (tcp(7)). UNIX:
``UNIX_DIAG_RQLEN`` of sock_diag(7); the kernel answers a question for one inode before sendto(2)
returns. Both are Linux's own; where they are not to be had, the answer is None.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable

TCP_UNACKED = struct.Struct("=24xI")  # struct tcp_info of linux/tcp.h
SOCK_DIAG_BY_FAMILY = 20  # linux/sock_diag.h
NETLINK_SOCK_DIAG = 4
NLM_F_REQUEST = 1
UDIAG_SHOW_RQLEN = 0x10  # linux/unix_diag.h
UNIX_DIAG_RQLEN = 4
ANY_STATE = 0xFFFFFFFF
NO_COOKIE = 0xFFFFFFFF
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
REQUEST = struct.Struct("=BBHIIIII")  # struct unix_diag_req
ANSWER = struct.Struct("=BBBBIII")  # struct unix_diag_msg
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
LENGTHS = struct.Struct("=II")  # struct unix_diag_rqlen
BUFFER = 4096  # bytes; an answer about one socket has less than a hundred


def backlog(listeners: Iterable[socket.socket]) -> int:
    """Connections that wait at listening sockets; those that cannot be asked count as 0."""
    return sum(waiting(one) or 0 for one in listeners)


def waiting(listener: socket.socket) -> int | None:
    """Connections that wait at one listening socket; None if the kernel does not tell."""
    try:
        if listener.family == socket.AF_UNIX:
            return _waiting_unix(os.fstat(listener.fileno()).st_ino)
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_UNACKED.size)
        unacked: int = TCP_UNACKED.unpack(info)[0]
        return unacked
    except (OSError, struct.error):
        return None


def _waiting_unix(inode: int) -> int | None:
    request = REQUEST.pack(
        socket.AF_UNIX, 0, 0, ANY_STATE, inode, UDIAG_SHOW_RQLEN, NO_COOKIE, NO_COOKIE
    )
    size = HEADER.size + len(request)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as sock:
        sock.setblocking(False)
        sock.sendto(HEADER.pack(size, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0) + request, (0, 0))
        return _read_length(sock.recv(BUFFER))


def _read_length(answer: bytes) -> int | None:
    _, kind, *_ = HEADER.unpack_from(answer)
    if kind != SOCK_DIAG_BY_FAMILY:
        return None  # an error message
    position = HEADER.size + ANSWER.size
    while position + ATTRIBUTE.size <= len(answer):
        size, kind = ATTRIBUTE.unpack_from(answer, position)
        if kind == UNIX_DIAG_RQLEN:
            length: int = LENGTHS.unpack_from(answer, position + ATTRIBUTE.size)[0]
            return length
        position += max(ATTRIBUTE.size, (size + 3) & ~3)
    return None
