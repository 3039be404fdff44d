"""One direction between two socket pairs."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from uwgate.gateways.flow import ROUNDS, Broken, Flow

BUFFER = 4096


class Ends:
    """``near`` sends into the flow, ``far`` receives out of it."""

    def __init__(self) -> None:
        self.near, self.source = socket.socketpair()
        self.sink, self.far = socket.socketpair()
        for sock in (self.near, self.source, self.sink, self.far):
            sock.setblocking(False)
        self.buffer = memoryview(bytearray(BUFFER))

    def flow(self, pending: bytes = b"", stock: Stock | None = None) -> Flow:
        return Flow(self.source, self.sink, self.buffer, pending, stock)

    def stuff(self, sock: socket.socket) -> int:
        """Send until the kernel takes no more; the bytes taken."""
        total = 0
        try:
            while True:
                total += sock.send(b"x" * BUFFER)
        except BlockingIOError:
            return total

    def received(self) -> int:
        """Take everything that has come out."""
        total = 0
        try:
            while data := self.far.recv(1 << 16):
                total += len(data)
        except BlockingIOError:
            pass
        return total


class Stock:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@pytest.fixture
def ends() -> Iterator[Ends]:
    found = Ends()
    yield found
    for sock in (found.near, found.source, found.sink, found.far):
        sock.close()


def test_what_comes_goes_on(ends: Ends) -> None:
    flow = ends.flow()
    ends.near.send(b"abc")
    assert not flow.pump()
    assert ends.far.recv(9) == b"abc"
    assert (flow.came, flow.went) == (3, 3)


def test_what_is_pending_and_in_stock_goes_first(ends: Ends) -> None:
    flow = ends.flow(b"one ", Stock(b"two ", b"three "))
    ends.near.send(b"four")
    assert not flow.pump()
    assert ends.far.recv(99) == b"one two three four"
    assert (flow.came, flow.went) == (4, 18)


def test_an_end_of_file_goes_on_behind_everything_else(ends: Ends) -> None:
    flow = ends.flow(b"a", Stock(b"b"))
    ends.near.send(b"c")
    ends.near.shutdown(socket.SHUT_WR)
    assert not flow.pump()
    assert flow.ended
    assert flow.is_done
    assert (ends.far.recv(99), ends.far.recv(99)) == (b"abc", b"")


def test_a_full_sink_stops_the_reading(ends: Ends) -> None:
    flow = ends.flow()
    ends.stuff(ends.sink)
    ends.near.send(b"x" * BUFFER * 2)
    assert not flow.pump()
    assert (flow.came, len(flow.pending)) == (BUFFER, BUFFER)
    assert not flow.pump()
    assert flow.came == BUFFER


def test_what_a_full_sink_left_is_not_overwritten_by_another_flow(ends: Ends) -> None:
    flow = ends.flow()
    ends.stuff(ends.sink)
    ends.near.send(b"precious")
    flow.pump()
    ends.buffer[:8] = b"????????"
    assert bytes(flow.pending) == b"precious"


def test_everything_arrives_through_a_slow_sink(ends: Ends) -> None:
    flow = ends.flow()
    sent = ends.stuff(ends.near)
    received = 0
    for _ in range(10000):
        flow.pump()
        received += ends.received()
        if received == sent:
            break
    assert (flow.came, flow.went, received) == (sent, sent, sent)


def test_a_fast_pair_gives_way_to_others(ends: Ends) -> None:
    flow = ends.flow()
    assert ends.stuff(ends.near) > BUFFER * (ROUNDS + 1)
    assert flow.pump()
    assert flow.came == BUFFER * ROUNDS


@pytest.mark.parametrize("pieces", range(2 * ROUNDS + 1))
def test_an_end_of_file_never_waits_for_a_turn_that_does_not_come(ends: Ends, pieces: int) -> None:
    flow = ends.flow()
    for _ in range(pieces):
        ends.near.send(b"x" * BUFFER)
    ends.near.shutdown(socket.SHUT_WR)
    while flow.pump():
        assert not flow.is_blocked  # or nobody would pump it again before the sink does something
    assert flow.is_done


def test_a_source_that_broke_is_told_apart(ends: Ends) -> None:
    flow = ends.flow()
    ends.source.send(b"unread")
    ends.near.close()  # with unread bytes: ECONNRESET at the other end
    assert not flow.pump()
    assert flow.broken is Broken.SOURCE


def test_a_sink_that_broke_is_told_apart(ends: Ends) -> None:
    flow = ends.flow()
    ends.far.close()
    ends.near.send(b"abc")
    assert not flow.pump()
    assert flow.broken is Broken.SINK


def test_without_a_sink_everything_is_thrown_away_to_the_end(ends: Ends) -> None:
    flow = ends.flow(b"pending", Stock(b"stock"))
    ends.near.send(b"abc")
    ends.near.shutdown(socket.SHUT_WR)
    flow.throw_away()
    assert not flow.pump()
    assert flow.is_done
    assert flow.came == 3
    with pytest.raises(BlockingIOError):
        ends.far.recv(1)
