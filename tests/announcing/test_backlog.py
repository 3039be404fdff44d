"""How many connections wait (announcing/backlog.py)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from uwgate.announcing.backlog import backlog, waiting

PLACES: list[tuple[socket.AddressFamily, object]] = [
    (socket.AF_INET, ("127.0.0.1", 0)),
    (socket.AF_INET6, ("::1", 0)),
    (socket.AF_UNIX, ""),
]


@pytest.fixture(params=PLACES, ids=lambda place: place[0].name)
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family, address = request.param
    with socket.socket(family) as sock:
        sock.bind(address)
        sock.listen(8)
        yield sock


def test_connections_that_nobody_has_accepted_wait(listener: socket.socket) -> None:
    assert waiting(listener) == 0
    with (
        socket.socket(listener.family) as first,
        socket.socket(listener.family) as second,
    ):
        first.connect(listener.getsockname())
        second.connect(listener.getsockname())
        assert waiting(listener) == 2
        accepted, _ = listener.accept()
        with accepted:
            assert waiting(listener) == 1
            assert backlog([listener, listener]) == 2


def test_what_cannot_be_asked_counts_as_nothing() -> None:
    gone = socket.socket()
    gone.close()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with datagrams:
        assert waiting(gone) is None
        assert backlog([gone, datagrams]) == 0
