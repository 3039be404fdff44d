"""The client of a fastrouter session, until its request is here.

A packet is always taken in as a whole. So is the body with fastrouter-post-buffering, as far as
there is room for it.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from uwgate.gateways.fastrouter.body import Body
from uwgate.gateways.fastrouter.head import Head
from uwgate.gateways.fastrouter.states import BODY, CLOSED, HEAD
from uwgate.gateways.lane import ENDED
from uwgate.gateways.wire.uwsgi import PacketError

if TYPE_CHECKING:
    from uwgate.gateways.fastrouter.process import Fastrouter

HEADER_SIZE: Final = 4  # bytes
RECEIVE_SIZE: Final = 16384  # bytes asked for while a packet is awaited
AT_ONCE: Final = int(socket.MSG_DONTWAIT)  # for sockets of clients that are not watched


class Client:
    """See the module.

    ``deadline`` (trio's clock) is watched by the gateway. ``missing`` is how many bytes of the
    body have not come yet, None: that is not known. ``sock`` blocks until the lane watches it. What
    becomes of the request say ``_choose``, ``refuse`` and ``close``.
    """

    __slots__ = (
        "_body",
        "_data",
        "_has_more",
        "_head",
        "_is_watched",
        "deadline",
        "gateway",
        "missing",
        "sock",
        "state",
    )

    def __init__(self, gateway: Fastrouter, sock: socket.socket) -> None:
        self.gateway = gateway
        self.sock = sock
        self.state = HEAD
        self.deadline = gateway.now + gateway.timeout
        self._is_watched = False  # in the lane; not before that is needed
        self._has_more = False  # bytes, or its end, of which nobody will be told again
        self._data = b""  # the packet, and what came behind it, until somebody has it
        self._head: Head | None = None
        self.missing: int | None = 0
        self._body: Body | None = None

    @property
    def name(self) -> str:
        """Whose request it is, for the log."""
        if self._head is None:
            return "a client"
        head = self._head
        client = head.client.decode("ascii", "replace")  # which may be anything
        return f"{client if client.isprintable() else '?'} for {head.key or '-'}"

    @property
    def is_idle(self) -> bool:
        """Whether the client has said nothing yet."""
        return self.state is HEAD and not self._data

    @property
    def is_closed(self) -> bool:
        """Nobody waits for the backend any more."""
        return self.state is CLOSED

    def ready(self, mask: int) -> None:
        """The client has done something; see ``lane.Member``."""
        raise NotImplementedError

    def refuse(self, status: int, reason: str, *, name: str = "", retry_after: int = 1) -> None:
        """Answer in our own name; ``name`` is what is counted."""
        raise NotImplementedError

    def close(self) -> None:
        """End everything."""
        raise NotImplementedError

    def _choose(self, head: Head) -> None:
        """The request is here: find a backend for it."""
        raise NotImplementedError

    def watch(self) -> None:
        """Have the lane tell what the client does; what it has done already counts.

        From now on its socket does not block.
        """
        if not self._is_watched and self.state is not CLOSED:
            self._is_watched = True
            self.sock.setblocking(False)
            self.gateway.lane.add(self.sock.fileno(), self)

    def receive_head(self, mask: int) -> None:
        """Take in what there is of the packet; ``mask`` as in ``ready``."""
        try:
            data = self.sock.recv(RECEIVE_SIZE, AT_ONCE)
        except BlockingIOError:
            self.watch()
            return
        except OSError:
            self.close()
            return
        if not data:
            if self._data:
                self.gateway.counters.refuse(
                    "cut-short", "a client closed in the middle of a packet"
                )
            self.close()
            return
        if mask & ENDED or len(data) == RECEIVE_SIZE:
            self._has_more = True
        if self._data:
            data = self._data + data
        self._data = data
        if len(data) >= HEADER_SIZE:
            end = HEADER_SIZE + data[1] + (data[2] << 8)
            if len(data) >= end:
                self._begin(end)
                return
        if not self._is_watched:
            self.watch()
        elif self._has_more:
            self.gateway.lane.again(self)

    def _begin(self, end: int) -> None:
        """The packet is complete."""
        gateway = self.gateway
        data = self._data
        try:
            self._head = head = gateway.heads.read(data, end)
        except PacketError as error:
            self.refuse(400, f"malformed packet: {error}", name="malformed-packet")
            return
        self.missing = missing = head.length and head.missing(len(data) - end)
        if not head.key and gateway.leases is None:
            if not gateway.options.fastrouter_fallback_on_no_key:
                self.refuse(400, "no key", name="no-key")
                return
        elif missing and gateway.bodies.memory:
            self._body = Body(gateway.bodies, missing)
            self.state = BODY
            self.deadline = gateway.now + gateway.timeout
            self._receive_body()
            return
        self._choose(head)

    def _receive_body(self) -> None:
        """Take in the body, up to its end or as much as there is room for."""
        body = self._body
        assert body is not None
        gateway = self.gateway
        going_on = True
        moved = False
        while going_on and self.missing:
            try:
                data = self.sock.recv(RECEIVE_SIZE, AT_ONCE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                gateway.counters.refuse(
                    "cut-short", "%s: closed %d bytes before the end", self.name, self.missing
                )
                self.close()
                return
            moved = True
            self.missing = max(0, self.missing - len(data))
            going_on = body.add(data)
        if moved:
            self.deadline = gateway.now + gateway.timeout
        if going_on and self.missing:
            self.watch()
            return
        body.rewind()
        assert self._head is not None
        self._choose(self._head)
