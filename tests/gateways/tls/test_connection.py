"""gateways/tls/connection.py over socket pairs, with OpenSSL's client at the other end."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from uwgate.gateways.tls.connection import TlsError, TlsSocket

from .conftest import ADDRESS, MakeRing

WAITING = (SSL.WantReadError, SSL.WantWriteError)


class Pair:
    """A server's and a client's end, neither of which blocks."""

    def __init__(self, context: SSL.Context, version: int = SSL.TLS1_3_VERSION) -> None:
        ours, self.raw = socket.socketpair()
        for sock in (ours, self.raw):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.server = TlsSocket(context, ours)
        client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        client_context.set_max_proto_version(version)
        self.client = SSL.Connection(client_context, self.raw)
        self.client.set_connect_state()

    def shake_hands(self) -> None:
        """Both do their part in turns until both are done."""
        done = False
        for _ in range(10):
            with contextlib.suppress(*WAITING):
                self.client.do_handshake()
                done = True
            try:
                self.server.handshake()
            except BlockingIOError:
                continue
            if done:
                return
        raise AssertionError("no end of the handshake")

    def client_reads(self) -> bytes:
        """All that is there for the client; a close_notify ends with a bar."""
        data = b""
        try:
            while True:
                data += self.client.recv(65536)
        except SSL.WantReadError:
            return data
        except SSL.ZeroReturnError:
            return data + b"|"

    def client_goes(self) -> None:
        self.raw.close()


@pytest.fixture(params=[SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
def pair(ring: MakeRing, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two ends after their handshake."""
    pair = Pair(ring().context(ADDRESS), request.param)
    pair.shake_hands()
    yield pair
    pair.server.close()
    pair.client_goes()


@pytest.fixture
def fresh(ring: MakeRing) -> Iterator[Pair]:
    """Two ends before their handshake."""
    pair = Pair(ring().context(ADDRESS))
    yield pair
    pair.server.close()
    pair.client_goes()


def test_a_handshake_that_has_not_begun_wants_to_wait(fresh: Pair) -> None:
    with pytest.raises(BlockingIOError):
        fresh.server.handshake()


def test_bytes_go_both_ways(pair: Pair) -> None:
    pair.client.send(b"ping")
    assert pair.server.recv(100) == b"ping"
    assert pair.server.send(b"pong") == 4
    assert pair.client_reads() == b"pong"


def test_nothing_to_read_would_block(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair.server.recv(100)


def test_every_record_is_read_before_it_would_block(pair: Pair) -> None:
    for piece in (b"one", b"two", b"three"):
        pair.client.send(piece)
    read = [pair.server.recv(100) for _ in range(3)]
    assert read == [b"one", b"two", b"three"]
    with pytest.raises(BlockingIOError):
        pair.server.recv(100)


def test_the_rest_of_a_record_is_there_without_another_byte_on_the_wire(pair: Pair) -> None:
    pair.client.send(b"onetwo")
    assert [pair.server.recv(3), pair.server.recv(3)] == [b"one", b"two"]


def test_a_record_cut_short_would_block(pair: Pair) -> None:
    ours, theirs = socket.socketpair()
    pair.client.send(b"whole")
    ours.setblocking(False)
    with ours, theirs:
        record = pair.server._sock.recv(100)
        theirs.send(record[:-1])
        os.dup2(ours.fileno(), pair.server.fileno())
        with pytest.raises(BlockingIOError):
            pair.server.recv(100)
        theirs.send(record[-1:])
        assert pair.server.recv(100) == b"whole"


def test_peeking_leaves_the_bytes_there(pair: Pair) -> None:
    pair.client.send(b"ping")
    assert pair.server.recv(1, socket.MSG_PEEK) == b"p"
    assert pair.server.recv(100) == b"ping"


def test_close_notify_is_the_end(pair: Pair) -> None:
    pair.client.send(b"last")
    pair.client.shutdown()
    assert [pair.server.recv(100), pair.server.recv(100)] == [b"last", b""]


def test_a_client_that_half_closes_without_a_word_still_gets_its_answer(pair: Pair) -> None:
    pair.client.send(b"last")
    pair.raw.shutdown(socket.SHUT_WR)
    assert [pair.server.recv(100), pair.server.recv(100)] == [b"last", b""]
    assert pair.server.send(b"answer") == 6
    assert pair.client_reads() == b"answer"


def test_a_reset_is_an_error() -> None:
    # On a UNIX socket pair there are none.
    with socket.create_server(("127.0.0.1", 0)) as door:
        client = socket.create_connection(door.getsockname())
        sock, _ = door.accept()
    sock.setblocking(False)
    server = TlsSocket(SSL.Context(SSL.TLS_SERVER_METHOD), sock)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    with pytest.raises(ConnectionResetError):
        server.handshake()
    server.close()


def test_a_slow_reader_gets_everything_in_order(pair: Pair) -> None:
    data = os.urandom(300_000)
    left, got, blocked = memoryview(data), b"", 0
    while left:
        try:
            left = left[pair.server.send(left) :]
        except BlockingIOError:
            blocked += 1
            got += pair.client_reads()
    got += pair.client_reads()
    assert got == data
    assert blocked > 1


def test_a_small_answer_is_one_record(pair: Pair) -> None:
    assert pair.server.send(b"x" * 4000) == 4000
    assert pair.client.recv(65536) == b"x" * 4000


def test_closing_says_goodbye(pair: Pair) -> None:
    pair.server.send(b"bye")
    pair.server.close()
    assert pair.client_reads() == b"bye|"


def test_closing_twice_is_no_error(pair: Pair) -> None:
    pair.server.close()
    pair.server.close()


def test_shutting_down_says_goodbye_once(pair: Pair) -> None:
    pair.server.shutdown(socket.SHUT_WR)
    assert pair.client_reads() == b"|"
    pair.server.close()
    assert pair.raw.recv(100) == b""


def test_what_comes_after_shutting_down_can_be_read_away(pair: Pair) -> None:
    pair.server.shutdown(socket.SHUT_WR)
    pair.client.send(b"more")
    assert pair.server.recv(100)
    with pytest.raises(BlockingIOError):
        pair.server.recv(100)


def test_a_truncated_connection_closes_without_goodbye(pair: Pair) -> None:
    pair.server.send(b"half")
    pair.server.truncated = True
    pair.server.close()
    assert pair.client.recv(100) == b"half"
    with pytest.raises(SSL.SysCallError):
        pair.client.recv(100)


def test_an_end_by_force_closes_without_goodbye(pair: Pair) -> None:
    pair.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair.server.close()
    with pytest.raises(SSL.SysCallError):
        pair.client.recv(100)


def test_a_closed_connection_leaves_the_next_owner_of_its_descriptor_alone(pair: Pair) -> None:
    number = pair.server.fileno()
    ours, theirs = socket.socketpair()
    pair.server.close()
    with ours, theirs:
        os.dup2(theirs.fileno(), number)
        with pytest.raises(OSError, match="Broken pipe"):
            pair.server.send(b"stray")
        with pytest.raises(OSError, match="Bad file descriptor"):
            pair.server.recv(100)
        pair.server.close()
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(100)
        os.close(number)


def test_a_plain_request_is_recognised(fresh: Pair) -> None:
    fresh.raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(TlsError) as caught:
        fresh.server.handshake()
    assert caught.value.is_plain_http
    fresh.server.send_plain(b"plain")
    assert fresh.raw.recv(100) == b"plain"


def test_what_follows_a_failed_handshake_can_be_read_away(fresh: Pair) -> None:
    fresh.raw.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(TlsError):
        fresh.server.handshake()
    assert fresh.server.recv(1000).endswith(b"Host: a\r\n\r\n")
    with pytest.raises(BlockingIOError):
        fresh.server.recv(100)


@pytest.mark.parametrize(
    "noise", [b"\0" * 50, b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02"]
)
def test_noise_fails_with_a_reason(fresh: Pair, noise: bytes) -> None:
    fresh.raw.send(noise + bytes(100))
    with pytest.raises(TlsError) as caught:
        fresh.server.handshake()
    assert caught.value.reasons
    assert not caught.value.is_plain_http


def test_a_broken_record_is_an_error_of_that_connection_alone(pair: Pair, ring: MakeRing) -> None:
    other = Pair(ring().context(ADDRESS))
    other.shake_hands()
    pair.raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(TlsError):
        pair.server.recv(100)
    with pytest.raises(BlockingIOError):
        other.server.recv(100)
    other.client.send(b"fine")
    assert other.server.recv(100) == b"fine"
    other.server.close()
    other.client_goes()


def test_a_client_that_leaves_in_the_middle_of_a_handshake_is_an_error(fresh: Pair) -> None:
    with contextlib.suppress(*WAITING):
        fresh.client.do_handshake()
    fresh.raw.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        fresh.server.handshake()


def test_what_is_left_is_known_without_reading(pair: Pair) -> None:
    assert not pair.server.has_pending()
    pair.client.send(b"onetwo")
    pair.client.send(b"three")
    seen = []
    for size in (3, 100, 100):
        pair.server.recv(size)
        seen.append(pair.server.has_pending())
    assert seen == [True, True, False]


def test_the_beginning_of_a_record_is_no_reason_to_wait(pair: Pair) -> None:
    pair.client.send(b"one")
    pair.server.recv(100)
    pair.raw.send(b"\x17\x03")
    assert pair.server.has_pending()
    with pytest.raises(BlockingIOError):
        pair.server.recv(100)
