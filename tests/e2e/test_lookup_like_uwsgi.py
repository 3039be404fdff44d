"""A router of uWSGI and ours get the same announcements, and have to know the same names
(subscriptions/lookup.py, spec/subscriptions.md section 12)."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from uwgate.subscriptions.packet import Packet, encode

from .backends import Backend
from .client import request
from .peers import program, running
from .processes import Process, free_port
from .statistics import read_raw, wait_for_stats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Address

POOLS = (".ex.example", ".example", "ex.example", "port.example:8000", "last")
NAMES = (
    "ex.example", "a.ex.example", "b.a.ex.example", "foo.example", "a.b.c.d.ex.example",
    "e.d.c.b.a.ex.example", "a.b.c.d.e.example", "example", "unknown", "port.example:8000",
    "port.example", "x.port.example:8000", ".ex.example", "..ex.example",
)  # fmt: skip


@pytest.fixture
def pools() -> Iterator[dict[str, Backend]]:
    """A backend for each pool, which says the pool's name."""
    with contextlib.ExitStack() as stack:
        found = {name: Backend(name) for name in POOLS}
        for backend in found.values():
            stack.callback(backend.close)
        yield found


def who(address: Address, name: str) -> str:
    """The pool that a name leads to; empty if it is none."""
    # uWSGI's router closes where ours says 503.
    received = read_raw(address, request("GET", "/", [("Connection", "close")], host=name))
    head, _, body = received.partition(b"\r\n\r\n")
    return body.decode() if b" 200 " in head else ""


@pytest.mark.parametrize(
    "options",
    [("--subscription-dotsplit",), ("--http-subscription-fallback-key", "last")],
    ids=["dotsplit", "fallback"],
)
def test_the_same_names_lead_to_the_same_pools(
    folder: Path, uwgate: Start, pools: dict[str, Backend], options: tuple[str, ...]
) -> None:
    common = ("--subscription-tolerance", "600", *options)
    port = free_port()
    argv = [program("uwsgi"), "--master", "--http", f"127.0.0.1:{port}", *place(folder, "real")]
    theirs = Process([*argv, *common], folder=folder, name="real")
    with running(theirs, stop=signal.SIGKILL):
        ours = uwgate("--http", "127.0.0.1:0", "--processes=0", *place(folder, "ours"), *common)
        for process, at in ((theirs, "real"), (ours, "ours")):
            wait_for_stats(process, f"{folder}/{at}.stats", lambda _: True)
            for name, backend in pools.items():
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                    packet = Packet(key=name, address=backend.address)
                    sender.sendto(encode(packet), f"{folder}/{at}.nodes")
            wait_for_stats(
                process, f"{folder}/{at}.stats", lambda found: len(found["subscriptions"]) == 5
            )
        expected = {name: who(("127.0.0.1", port), name) for name in NAMES}
        assert {name: who(ours.address, name) for name in NAMES} == expected
    assert len(set(expected.values())) > 2


def place(folder: Path, name: str) -> tuple[str, ...]:
    return (
        *("--http-subscription-server", f"{folder}/{name}.nodes"),
        *("--http-stats-server", f"{folder}/{name}.stats"),
    )
