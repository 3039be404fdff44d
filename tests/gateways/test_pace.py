"""Minimum rates (gateways/pace.py)."""

from __future__ import annotations

import math
import socket

from uwgate.gateways.pace import Pace, Taking, acknowledged


def test_a_client_may_stall_for_the_grace() -> None:
    assert Pace(100, 10).begin(1000) == 1010


def test_waiting_spends_the_grace_and_bytes_earn_it_back() -> None:
    pace = Pace(100, 10)
    pace.begin(0)
    pace.moved(6, 200)  # 6 s spent, 2 s earned
    assert pace.begin(100) == 106


def test_no_more_than_the_grace_is_ever_earned() -> None:
    pace = Pace(100, 10)
    pace.begin(0)
    pace.moved(1, 1_000_000)
    assert pace.begin(5) == 15


def test_one_byte_now_and_then_ends_with_the_grace() -> None:
    pace = Pace(100, 10)
    for second in range(10):
        assert pace.begin(second) > second
        pace.moved(second + 1, 1)
    assert pace.begin(10) == 10


def test_exactly_the_rate_goes_on_for_ever() -> None:
    pace = Pace(100, 10)
    for second in range(1000):
        pace.begin(second)
        pace.moved(second + 1, 100)
    assert pace.begin(1000) == 1010


def test_without_a_rate_there_is_no_end() -> None:
    pace = Pace(0, 10)
    assert pace.begin(0) == math.inf
    pace.moved(1000, 0)
    assert pace.begin(1000) == math.inf


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        one = socket.create_connection(door.getsockname())
        other, _ = door.accept()
    return one, other


def test_what_a_peer_has_received_is_known_for_tcp_alone() -> None:
    one, other = tcp_pair()
    with one, other:
        before = acknowledged(one.fileno())
        assert before is not None
        one.sendall(b"x" * 1000)
        assert len(other.recv(2000)) == 1000
        other.sendall(b"y")  # carries the acknowledgement
        assert one.recv(1) == b"y"
        assert acknowledged(one.fileno()) == before + 1000
    one, other = socket.socketpair()
    with one, other:
        assert acknowledged(one.fileno()) is None


def test_a_reader_that_takes_nothing_ends_with_the_grace_or_the_idle_time() -> None:
    one, other = tcp_pair()
    with one, other:
        taking = Taking(one.fileno(), Pace(100, 10), 60, 0)
        assert taking.begin(0) == 10
        assert taking.goes_on(5)
        assert taking.begin(5) == 10
        assert not taking.goes_on(10)
        taking = Taking(one.fileno(), Pace(100, 100), 60, 0)
        assert taking.begin(0) == 60
        assert not taking.goes_on(60)


def test_a_reader_that_takes_enough_goes_on() -> None:
    one, other = tcp_pair()
    with one, other:
        taking = Taking(one.fileno(), Pace(100, 10), 60, 0)
        taking.begin(0)
        one.sendall(b"x" * 1000)
        assert len(other.recv(2000)) == 1000
        other.sendall(b"y")
        assert one.recv(1) == b"y"
        assert taking.goes_on(10)
        assert taking.begin(10) == 20


def test_without_tcp_only_the_idle_time_counts() -> None:
    one, other = socket.socketpair()
    with one, other:
        taking = Taking(one.fileno(), Pace(100, 10), 60, 0)
        assert taking.begin(0) == 60
        assert taking.goes_on(30)
        assert not taking.goes_on(60)
