"""An answer that is there as a whole, for those who expect an exchange."""

from __future__ import annotations

import trio

from uwgate.gateways.exchange import BodySource, Reply, Request
from uwgate.gateways.tunnel import Side


class Whole:
    """The exchange of a request that has been answered already."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def begin(
        self, request: Request, source: BodySource, nursery: trio.Nursery | None
    ) -> Reply:
        """See Exchange."""
        return self._reply

    async def read(self) -> tuple[bytes, bool]:
        """See Exchange: nothing follows."""
        return b"", True

    @property
    def side(self) -> Side:
        """See Exchange."""
        raise ValueError("a whole answer opens no tunnel")

    def end(self) -> None:
        """See Exchange: there is nothing to free."""
