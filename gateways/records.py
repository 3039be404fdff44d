"""Answers that come in the records of FastCGI."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from trio.lowlevel import checkpoint

from uwgate.gateways.wire.fastcgi import FastCgiDecoder, FastCgiError, shown

log = logging.getLogger("uwgate.route")


async def receive(
    decoder: FastCgiDecoder, read: Callable[[], Awaitable[bytes]], name: str
) -> bytes:
    """More of an answer, empty at its end. ``name``: of the backend, for its error stream's lines.

    Raises:
        FastCgiError: the records are broken, or cut short.
    """
    found = b""
    while not found and not decoder.done:
        data = await read()
        if not data:
            raise FastCgiError("closed within its records")
        try:
            found = decoder.feed(data)
        finally:
            if decoder.errors:
                log.warning("%s: %s", name, shown(decoder.errors))
                decoder.errors = b""
        if not found:
            await checkpoint()  # a backend that says much, and answers nothing, is not alone here
    return found
