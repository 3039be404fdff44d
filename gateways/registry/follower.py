"""A registry that waits for its turn: it knows what the one that leads knows."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

import trio

from uwgate.gateways import streams
from uwgate.gateways.registry.book import Book
from uwgate.gateways.registry.census import Census
from uwgate.gateways.registry.frames import Decoder, FrameError, encode

log = logging.getLogger("uwgate.registry")

FIRST_WORD = 1.0  # seconds; perhaps nobody leads after all


async def follow(address: str, books: Mapping[str, Book], census: Census) -> bool:
    """Do as the registry at an address says for as long as it does.

    Returns whether everything was told.
    """
    complete = False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(f"\0{address}")
            await streams.send_all(sock, encode("hello", kind="registry", pid=os.getpid()))
            decoder = Decoder()
            with trio.fail_after(FIRST_WORD) as patience:
                while data := await streams.receive(sock):
                    patience.deadline = float("inf")
                    now = time.monotonic()
                    for message in decoder.feed(data):
                        complete |= message["type"] == "complete"
                        if message["type"] == "ledger":
                            census.take_over(message)
                            continue
                        book = books.get(message.get("kind", ""))
                        if book is not None:
                            book.follow(message, now)
                    await trio.lowlevel.checkpoint()
        except (OSError, FrameError, trio.TooSlowError) as error:
            log.info("not told by another registry: %s", error)
        finally:
            trio.lowlevel.notify_closing(sock)
            for book in books.values():
                book.mirror.interrupted()
    return complete
