"""One request and its response, between a session and whoever answers it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import trio

from uwgate.conf.errors import UwgateError
from uwgate.files.plan import Plan
from uwgate.gateways.corerouter.target import Asked
from uwgate.gateways.tunnel import Side


class Raw(enum.Enum):
    """How a body passes whose framing is left to the backend."""

    CHUNKS = "with the chunks of the client, checked"
    ENDLESS = "until the client's end of file"


@dataclass(slots=True)
class Request:
    """A request as backends get it.

    ``block`` is the uwsgi block; ``body`` holds the bytes of the body that have arrived.
    ``length`` is the size of the whole body in bytes, None when it is chunked; ``complete``
    says that ``body`` is all of it. ``expects_continue``: the client holds the body back until
    it reads 100 Continue. ``minor`` is that of HTTP/1.x; ``keep_alive`` says that the client
    may send another request. ``websocket_key`` is the Sec-WebSocket-Key of a request that asks
    for a WebSocket (wire.upgrade); then there is no body. ``raw`` goes with a ``length`` of None.
    ``secure``: it came encrypted. ``path`` is PATH_INFO, ``wishes`` are the fields that matter to
    files (``gateways/files``), by their names in small letters. ``asked`` says where it wants to
    go; None where that is not a question. ``modifiers``: those that a rule has set, before all
    others.
    """

    method: bytes
    target: bytes
    block: bytes
    length: int | None
    minor: int
    keep_alive: bool
    expects_continue: bool
    body: bytes = b""
    complete: bool = True
    websocket_key: bytes = b""
    raw: Raw | None = None
    secure: bool = False
    asked: Asked | None = None
    path: bytes = b""
    wishes: tuple[tuple[bytes, bytes], ...] = ()
    modifiers: tuple[int | None, int | None] = (None, None)

    def __str__(self) -> str:
        return f"{self.method.decode()} {self.target[:200].decode('latin-1')}"


class UnansweredError(UwgateError):
    """The request is over without a word to the client: its connection, or stream, just ends."""


class Reply(NamedTuple):
    """The beginning of a response: ``flags`` and ``head`` as in ``wire.lease``.

    ``body`` is what has arrived of the body, ``last`` that there is no more. With TUNNEL in
    ``flags`` the backend has opened a WebSocket; the rest goes through ``Exchange.side``.
    ``plan``: what ``Exchange.read`` would give are the pieces of this file, nothing before or
    behind them, and it may be sent by the kernel instead. It stays the exchange's.
    """

    flags: int
    head: bytes
    body: bytes
    last: bool
    plan: Plan | None = None


class BodySource(Protocol):
    """Where the rest of a request's body comes from: the client."""

    async def read_body(self) -> bytes:
        """The next bytes of the body; empty behind its end.

        Raises:
            ClientError: the body breaks its framing.
        """
        ...

    async def send_continue(self) -> None:
        """Tell the client to send the body that it holds back."""
        ...


async def collect(request: Request, source: BodySource, size: int) -> None:
    """Wait until ``request.body`` is all of the body, or this many bytes of it.

    A worker is busy as long as it has a request: it shall not wait for a slow client. Whom
    the client itself waits for (Expect) is only found out by asking, and who sends a raw body
    may want an answer to its beginning.

    Raises:
        ClientError: as ``BodySource.read_body``.
    """
    if request.complete or request.expects_continue or request.raw is not None:
        return
    pieces = [request.body]
    missing = size - len(request.body)
    while missing > 0 and (piece := await source.read_body()):
        pieces.append(piece)
        missing -= len(piece)
    request.body = b"".join(pieces)


class Exchange(Protocol):
    """A request that is being answered."""

    async def begin(
        self, request: Request, source: BodySource, nursery: trio.Nursery | None
    ) -> Reply:
        """Hand over the request; returns when the response begins.

        ``nursery`` runs the task that forwards the rest of the body; None is enough for a
        complete request.

        Raises:
            BackendError: nobody answered, or not in HTTP.
            UnansweredError: there is to be no answer.
        """
        ...

    async def read(self) -> tuple[bytes, bool]:
        """More of the response's body, and whether that was the end.

        Raises:
            BackendError: the response broke off.
        """
        ...

    @property
    def side(self) -> Side:
        """The backend's end of a tunnel, after a reply with TUNNEL."""
        ...

    def end(self) -> None:
        """Free what the exchange holds, however it went; again is the same as once."""
        ...
