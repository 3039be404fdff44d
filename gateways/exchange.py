"""One request and its response, between a session and whoever answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import trio


@dataclass(slots=True)
class Request:
    """A request as backends get it.

    ``block`` is the uwsgi block; ``body`` holds the bytes of the body that have arrived.
    ``length`` is the size of the whole body in bytes, None when it is chunked; ``complete``
    says that ``body`` is all of it. ``expects_continue``: the client holds the body back until
    it reads 100 Continue. ``minor`` is that of HTTP/1.x; ``keep_alive`` says that the client
    may send another request. ``secure``: it came encrypted.
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
    secure: bool = False

    def __str__(self) -> str:
        return f"{self.method.decode()} {self.target[:200].decode('latin-1')}"


class Reply(NamedTuple):
    """The beginning of a response: ``flags`` and ``head`` as in ``wire.lease``.

    ``body`` is what has arrived of the body, ``last`` that there is no more.
    """

    flags: int
    head: bytes
    body: bytes
    last: bool


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
        """
        ...

    async def read(self) -> tuple[bytes, bool]:
        """More of the response's body, and whether that was the end.

        Raises:
            BackendError: the response broke off.
        """
        ...

    def end(self) -> None:
        """Free what the exchange holds. Called once, however the exchange went."""
        ...
