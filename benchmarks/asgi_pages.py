"""The same pages for hypercorn: its own bridge to WSGI, which on trio fails at the lifespan."""

from __future__ import annotations

from typing import Any

import pages  # type: ignore[import-not-found]  # beside this file, which hypercorn imports
from hypercorn.middleware import TrioWSGIMiddleware
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, LifespanScope

bridge = TrioWSGIMiddleware(pages.application)


async def application(
    scope: HTTPScope | LifespanScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """The lifespan here, everything else over the bridge."""
    if scope["type"] != "lifespan":
        await bridge(scope, receive, send)
        return
    for step in ("startup", "shutdown"):
        await receive()
        done: Any = {"type": f"lifespan.{step}.complete"}
        await send(done)
