"""Reads stats servers."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

from .processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .processes import Address, Process


def read_raw(address: Address, says: bytes = b"") -> bytes:
    """Everything that is said there."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address)
        sock.sendall(says)
        return sock.makefile("rb").read()


def read_stats(address: Address) -> dict[str, Any]:
    """The document."""
    document: dict[str, Any] = json.loads(read_raw(address))
    return document


def wait_for_stats(
    process: Process, address: Address, condition: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Read until what is said fulfils a condition; returns that."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            document = read_stats(address)
        except OSError as error:  # nobody serves it yet
            document = {"error": str(error)}
        if "error" not in document and condition(document):
            return document
        assert time.monotonic() < deadline, f"{document}\n{process.log}"
        time.sleep(0.02)


def nodes_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """All nodes of all keys."""
    return [node for slot in document["subscriptions"] for node in slot["nodes"]]
