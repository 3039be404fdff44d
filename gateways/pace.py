"""How slow a client may be: a minimum rate, with a grace.

The grace is a number of seconds that a client spends by waiting, and earns back by moving bytes
faster than the rate. So a short stall is forgiven, and one byte now and then is not.
"""

from __future__ import annotations

import math
import os
import socket
import struct

EXHAUSTED = 0.5  # seconds of grace that are as good as none: the gateway's clock is that coarse
_ACKED = struct.Struct("=120xQ")  # tcpi_bytes_acked of struct tcp_info (linux/tcp.h)


class Pace:
    """One client in one direction. ``rate`` is in bytes a second, 0: any; ``grace`` in seconds."""

    __slots__ = ("_began", "_grace", "_left", "_rate")

    def __init__(self, rate: int, grace: float) -> None:
        self._rate = rate
        self._grace = grace
        self._left = grace
        self._began = 0.0

    def begin(self, now: float) -> float:
        """The client is waited for from now on; returns until when."""
        if not self._rate:
            return math.inf
        self._began = now
        return now + self._left if self._left > EXHAUSTED else now

    def moved(self, now: float, count: int) -> None:
        """Since ``begin`` it has moved this many bytes."""
        if self._rate:
            left = self._left - (now - self._began) + count / self._rate
            self._left = min(left, self._grace)


class Taking:
    """A client that takes a response, while the response fills the socket.

    How much it takes is what it has acknowledged; what the kernel has accepted from us says
    little. ``idle`` is the number of seconds in which at least one byte must move. Without TCP
    there are no acknowledgements, and ``idle`` is all the time that there is.
    """

    __slots__ = ("_fd", "_idle", "_moved", "_pace", "_taken")

    def __init__(self, fd: int, pace: Pace, idle: float, now: float) -> None:
        self._fd = fd
        self._pace = pace
        self._idle = idle
        self._moved = now
        self._taken = acknowledged(fd)

    def begin(self, now: float) -> float:
        """Until when to wait before ``goes_on`` is asked."""
        end = self._moved + self._idle
        return end if self._taken is None else min(self._pace.begin(now), end)

    def goes_on(self, now: float) -> bool:
        """Whether the client is fast enough."""
        taken = acknowledged(self._fd)
        if taken is not None and self._taken is not None:
            if taken > self._taken:
                self._moved = now
            self._pace.moved(now, taken - self._taken)
            self._taken = taken
        return self.begin(now) > now


def acknowledged(fd: int) -> int | None:
    """Bytes that the peer has received since the connection began; None if that is not TCP."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.size)
        except OSError:  # no TCP
            return None
    return int(_ACKED.unpack(info)[0]) if len(info) == _ACKED.size else None
