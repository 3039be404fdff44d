"""Looks at backends (gateways/registry/probe.py), over real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from uwgate.conf.errors import BackendError, BackendTimeout
from uwgate.gateways.registry.probe import MAX_ANSWER, Probe, Sign
from uwgate.gateways.wire.uwsgi import HEADER, PING, PONG, decode_block
from uwgate.subscriptions.node import Node

PATIENCE = 60.0  # seconds for what takes none
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "node"))
        sock.listen()
        sock.setblocking(False)
        yield sock


def node_of(listener: socket.socket, key: str = "shop.example") -> Node:
    return Node(key=key, address=listener.getsockname())


async def look(probe: Probe, listener: socket.socket, *answers: bytes) -> bytes:
    """Look, and be the backend meanwhile; returns what was asked."""
    asked: list[bytes] = []

    async def serve() -> None:
        sock, _ = await trio.socket.from_stdlib_socket(listener).accept()
        with sock:
            while sum(map(len, asked)) < len(probe.question):
                asked.append(await sock.recv(65536))
            for answer in answers:
                await sock.send(answer)
                await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await probe.look(PATIENCE)
    return b"".join(asked)


# what is asked


def test_a_ping_is_no_question_for_who_speaks_http() -> None:
    node = Node(key="k", address="a:1")
    assert Probe.of("uwsgi", node) == ("a:1", PING, Sign.PONG)
    assert Probe.of("tcp", node) == ("a:1", b"", Sign.CONNECTION)
    assert Probe.of("uwsgi", node, speaks_http=True).sign is Sign.CONNECTION
    assert Probe.of("uwsgi", Node(key="k", address="a:1", proto="h")).sign is Sign.CONNECTION


def test_a_page_is_asked_for_in_a_packet_with_the_modifiers_of_the_node() -> None:
    node = Node(key=".example:8080/shop", address="a:1", modifier1=9, modifier2=2)
    question = Probe.of("/health?deep=1", node).question
    assert HEADER.unpack_from(question) == (9, len(question) - HEADER.size, 2)
    found = dict(decode_block(question[HEADER.size :]))
    assert found[b"REQUEST_URI"] == b"/health?deep=1"
    assert (found[b"PATH_INFO"], found[b"QUERY_STRING"]) == (b"/health", b"deep=1")
    assert (found[b"HTTP_HOST"], found[b"SERVER_PORT"]) == (b"example:8080", b"8080")


def test_who_speaks_http_is_asked_in_http() -> None:
    question = Probe.of("/health", Node(key="shop.example", address="a:1", proto="h")).question
    assert question.startswith(b"GET /health HTTP/1.1\r\nHost: shop.example\r\n")
    assert question.endswith(b"\r\n\r\n")


def test_nodes_of_several_keys_with_one_address_are_pinged_once() -> None:
    probes = {Probe.of("uwsgi", Node(key=key, address="a:1")) for key in ("a", "b")}
    assert len(probes) == 1


def test_every_key_has_its_own_page() -> None:
    probes = {Probe.of("/", Node(key=key, address="a:1")) for key in ("a", "b")}
    assert len(probes) == 2


# what is answered


@pytest.mark.parametrize("cut", range(len(PONG)))
def test_a_pong_cut_short_asks_for_more(cut: int) -> None:
    probe = Probe("a:1", PING, Sign.PONG)
    assert not probe.is_answered(PONG[:cut])
    assert probe.is_answered(PONG)


@pytest.mark.parametrize("cut", range(len(OK) - 4))
def test_a_status_cut_short_asks_for_more(cut: int) -> None:
    probe = Probe("a:1", b"?", Sign.STATUS)
    assert not probe.is_answered(b"HTTP/1.1 200"[:cut])
    assert probe.is_answered(OK)


@pytest.mark.parametrize("status", [b"200", b"204", b"302", b"399"])
def test_a_status_below_400_is_good(status: bytes) -> None:
    assert Probe("a:1", b"?", Sign.STATUS).is_answered(b"HTTP/1.0 %b Whatever\r\n" % status)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\n", "a:1: answers 404"),
        (b"HTTP/1.1 503 \r\n", "a:1: answers 503"),
        (b"SSH-2.0-OpenSSH\r\n", "a:1: answers without a status"),
        (b"HTTP/1.1 2000 OK\r\n", "a:1: answers without a status"),
        (b"x" * MAX_ANSWER, "a:1: answers without a status"),
    ],
)
def test_other_answers_are_bad(answer: bytes, reason: str) -> None:
    with pytest.raises(BackendError) as found:
        Probe("a:1", b"?", Sign.STATUS).is_answered(answer)
    assert str(found.value) == reason


@pytest.mark.parametrize("answer", [b"H", b"\x64\0\0\0", b"HTTP/1.1 200 OK"])
def test_something_else_than_a_pong_is_bad(answer: bytes) -> None:
    with pytest.raises(BackendError, match="something else"):
        Probe("a:1", PING, Sign.PONG).is_answered(answer)


# over sockets


async def test_a_connection_is_all_that_tcp_wants(listener: socket.socket) -> None:
    await Probe.of("tcp", node_of(listener)).look(PATIENCE)


async def test_a_pong_may_come_byte_by_byte(listener: socket.socket) -> None:
    probe = Probe.of("uwsgi", node_of(listener))
    assert await look(probe, listener, PONG[:1], PONG[1:3], PONG[3:]) == PING


async def test_a_page_is_good_before_all_of_it_has_come(listener: socket.socket) -> None:
    probe = Probe.of("/", node_of(listener))
    assert await look(probe, listener, b"HTTP/1.1 2", b"00 OK\r\n") == probe.question


async def test_who_closes_without_an_answer_is_not_well(listener: socket.socket) -> None:
    with pytest.raises(ExceptionGroup) as found:
        await look(Probe.of("uwsgi", node_of(listener)), listener)
    (error,) = found.value.exceptions
    assert isinstance(error, BackendError)
    assert "closed without a pong" in str(error)


async def test_who_hangs_is_not_well(listener: socket.socket, autojump_clock: Clock) -> None:
    probe = Probe.of("uwsgi", node_of(listener))
    with pytest.raises(BackendTimeout, match="no pong within 3 s"):
        await probe.look(3.0)
    assert trio.current_time() == 3.0


async def test_who_accepts_nothing_any_more_is_not_well(
    listener: socket.socket, autojump_clock: Clock
) -> None:
    listener.listen(0)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(listener.getsockname())
        with pytest.raises(BackendTimeout, match="no connection within 3 s"):
            await Probe.of("tcp", node_of(listener)).look(3.0)


async def test_a_socket_without_a_process_is_not_well(tmp_path: Path) -> None:
    node = Node(key="k", address=str(tmp_path / "nobody"))
    with pytest.raises(BackendError, match="No such file"):
        await Probe.of("tcp", node).look(PATIENCE)


async def test_a_port_that_nobody_has_is_not_well() -> None:
    with socket.socket() as bound:  # and does not listen, so nobody else can
        bound.bind(("127.0.0.1", 0))
        node = Node(key="k", address=f"127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(BackendError, match="refused"):
            await Probe.of("tcp", node).look(PATIENCE)


async def test_a_port_is_looked_at(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        node = Node(key="k", address=f"127.0.0.1:{server.getsockname()[1]}")
        await Probe.of("tcp", node).look(PATIENCE)


async def test_an_abstract_socket_is_looked_at() -> None:
    name = f"uwgate-probe-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}\0")
        server.listen()
        await Probe.of("tcp", Node(key="k", address=f"@{name}")).look(PATIENCE)


async def test_what_is_no_address_is_not_well() -> None:
    with pytest.raises(BackendError, match="is no address"):
        await Probe.of("tcp", Node(key="k", address="256.1.1.1:80")).look(PATIENCE)
