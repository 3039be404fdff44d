"""A process that asks zerg servers for their sockets, and passes those that are good on.

``python -m uwgate.gateways.zerg.attach FD SECONDS PATH...``: the master starts it, so that it need
not read what strangers say. For each path in turn one packet goes to the SOCK_SEQPACKET socket
``FD``: the sockets, beside an empty object, or an object with an ``error``.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Sequence

from uwgate.conf.errors import ConfigError
from uwgate.conf.zergs import parse_server
from uwgate.gateways.wire import zerg

INT = array.array("i").itemsize
ROOM = socket.CMSG_SPACE(zerg.MAX_SOCKETS * INT)  # bytes


def ask(path: str, deadline: float) -> list[int]:
    """The descriptors of the listening sockets that the zerg server at ``path`` gives.

    ``deadline`` is a time of the monotonic clock.

    Raises:
        ConfigError: nobody is there, it takes too long, or what comes is of no use. Nothing
            of this call stays open then.
    """
    address = parse_server(path)
    received: list[int] = []
    with contextlib.ExitStack() as undo:
        undo.callback(_close, received)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            try:
                sock.settimeout(_left(deadline))
                sock.connect(address.sun_path)
                _receive(sock, deadline, received)
            except TimeoutError:
                raise ConfigError("it does not answer in time") from None
            except OSError as error:
                raise ConfigError(f"nothing to be had: {error.strerror or error}") from error
        for number, fd in enumerate(received):
            problem = unfitness(fd)
            if problem is not None:
                raise ConfigError(f"socket {number} that it gives is {problem}")
        undo.pop_all()
    return received


def _close(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _receive(sock: socket.socket, deadline: float, received: list[int]) -> None:
    """Receive a whole message; all descriptors that came are appended to ``received``."""
    data = b""
    count = None
    while count is None:
        sock.settimeout(_left(deadline))
        piece, ancillary, flags, _ = sock.recvmsg(
            zerg.SIZE + 1 - len(data), ROOM, socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, numbers in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = len(numbers) - len(numbers) % INT
                received += array.array("i", numbers[:whole])
        if flags & socket.MSG_CTRUNC:
            raise ConfigError("more descriptors than this process may have")
        if not piece:
            raise ConfigError(f"it ends after {len(data)} of {zerg.SIZE} bytes")
        data += piece
        count = zerg.decode(data)
    if len(received) != count:
        raise ConfigError(f"it announces {count} sockets, and gives {len(received)}")


def unfitness(fd: int) -> str | None:
    """Why nobody could accept connections on a descriptor; None if one can."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return "no socket"
    with socket.socket(fileno=os.dup(fd)) as sock:
        if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            return "neither of TCP nor a UNIX socket"
        if sock.type != socket.SOCK_STREAM:
            return "no stream socket"
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return "not listening"
    return None


def main(fd: int, seconds: float, paths: Sequence[str]) -> None:
    """Ask everybody; see the module."""
    deadline = time.monotonic() + seconds
    with socket.socket(fileno=fd) as link:
        for path in paths:
            sockets: list[int] = []
            answer = {}
            try:
                sockets = ask(path, deadline)
            except ConfigError as error:
                answer["error"] = str(error)
            packet = json.dumps(answer).encode()
            if sockets:
                socket.send_fds(link, [packet], sockets)
            else:
                link.send(packet)
            _close(sockets)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
