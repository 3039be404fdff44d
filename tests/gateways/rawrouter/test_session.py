"""One connection through the rawrouter, told from both ends."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.gateways.corerouter.routers import announce
from tests.gateways.peers import Stream, Uwsgi, settled
from tests.gateways.rawrouter.instance import routing, running
from uwgate.gateways.wire import proxy_protocol

SERVER = "127.0.0.1:4000"  # nobody binds it
PIECE = bytes(range(256)) * 256
LARGE = PIECE * 64  # 4 MiB: more than the kernel holds between two peers of a test


async def is_reset(stream: Stream) -> bool:
    """The peer learns of the break, behind whatever came before."""
    try:
        await stream.rest()
    except ConnectionResetError:
        return True
    return False


async def is_refused(stream: Stream, address: object) -> bool:
    """It may learn of that as soon as it connects."""
    try:
        await stream.sock.connect(address)
    except ConnectionResetError:
        return True
    return await is_reset(stream)


async def refused() -> str:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


async def carry(source: Stream, sink: Stream, data: bytes) -> bytes:
    """Send at one end while the other receives."""
    parts: list[bytes] = []

    async def receive() -> None:
        parts.append(await sink.exactly(len(data)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await source.send(data)
    return parts[0]


async def test_a_backend_may_speak_first() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            await server.send(b"220 hello\r\n")
            assert await client.exactly(11) == b"220 hello\r\n"


async def test_bytes_go_both_ways() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            await client.send(b"ping")
            assert await server.exactly(4) == b"ping"
            await server.send(b"pong")
            assert await client.exactly(4) == b"pong"


@pytest.mark.parametrize("pipes", [128, 0], ids=["spliced", "copied"])
async def test_many_bytes_arrive_as_they_were_sent(pipes: int) -> None:
    async with routing(pipes=pipes) as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            assert await carry(client, server, LARGE) == LARGE
            assert await carry(server, client, LARGE) == LARGE


async def test_nothing_is_expected_of_a_stream_any_more_when_little_comes() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            assert await carry(client, server, LARGE) == LARGE
            assert await carry(client, server, b"little") == b"little"
            assert gateway.gateway.lane.expected == 0


async def test_an_idle_connection_has_no_pipe() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            assert await carry(client, server, LARGE) == LARGE
            await settled()
            assert gateway.gateway.pipes.used == 0


async def test_who_takes_nothing_is_sent_nothing_while_the_other_way_goes_on() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            taken = await client.send_until_blocked(PIECE)
            assert taken < len(LARGE) * 4
            await server.send(b"still here")
            assert await client.exactly(10) == b"still here"
            got = await server.exactly(taken)
            assert got == (PIECE * (taken // len(PIECE) + 1))[:taken]


@pytest.mark.parametrize("size", [0, 5, len(LARGE)])
async def test_an_end_of_file_goes_on_and_the_answer_still_comes(size: int) -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, LARGE[:size])
                assert await server.exactly(size) == LARGE[:size]
            client.half_close()
            assert await server.rest() == b""
            await server.send(b"answer")
            assert await client.exactly(6) == b"answer"
            server.half_close()
            assert await client.rest() == b""
        assert await gateway.is_empty()


async def test_a_reset_goes_on_in_both_directions() -> None:
    async with routing() as (gateway, backend):
        for who in ("client", "backend"):
            client = await gateway.connect()
            async with await backend.accept() as server:
                await client.send(b"x")
                await server.exactly(1)
                gone, left = (client, server) if who == "client" else (server, client)
                gone.reset()
                gone.close()
                assert await is_reset(left)
        assert await gateway.is_empty()


async def test_what_a_backend_said_before_it_broke_off_arrives() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            await client.send(b"GET /")  # nobody reads that: closing resets
            await server.send(b"413")
            await trio.lowlevel.wait_readable(server.sock)
        assert await client.exactly(3) == b"413"
        assert await is_reset(client)
        assert await gateway.is_empty()


async def test_a_client_that_resets_frees_a_backend_that_takes_nothing() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            await client.send_until_blocked(PIECE)
            client.reset()
            client.close()
            assert await gateway.is_empty()
            assert await is_reset(server)


async def test_unix_sockets_on_either_side_do_the_same(tmp_path: Path) -> None:
    backend = Uwsgi.on_path(f"{tmp_path}/b")
    async with running(path=f"{tmp_path}/d", to=(backend.address,)) as gateway:
        client = await gateway.connect()
        async with await backend.accept() as server:
            assert await carry(client, server, LARGE) == LARGE
            assert await carry(server, client, LARGE) == LARGE
            client.half_close()
            assert await server.rest() == b""
    backend.close()


# Backends


async def test_a_backend_that_refuses_is_followed_by_another_one() -> None:
    backend = Uwsgi.on_tcp()
    async with running(to=(await refused(), backend.address)) as gateway:
        for _ in range(2):
            client = await gateway.connect()
            async with await backend.accept() as server:
                await server.send(b"hello")
                assert await client.exactly(5) == b"hello"
    backend.close()


async def test_a_fallback_serves_when_nobody_else_does() -> None:
    backend = Uwsgi.on_tcp()
    async with running(to=(await refused(),), fallback=(backend.address,)) as gateway:
        client = await gateway.connect()
        async with await backend.accept() as server:
            await server.send(b"hello")
            assert await client.exactly(5) == b"hello"
    backend.close()


async def test_without_a_backend_the_client_is_sent_away_and_counted() -> None:
    async with running(to=(await refused(),)) as gateway:
        client = await gateway.connect()
        assert await client.rest() == b""
        assert gateway.gateway.counters["no-backend"] == 1
        assert gateway.gateway.counters["unreachable"] == 1


async def test_no_more_backends_are_tried_than_max_retries_allows() -> None:
    backend = Uwsgi.on_tcp()
    nobodies = [await refused() for _ in range(3)]
    async with running(to=(*nobodies, backend.address), max_retries=1) as gateway:
        client = await gateway.connect()
        assert await client.rest() == b""
        assert gateway.gateway.counters["unreachable"] == 2
    backend.close()


async def test_nodes_are_found_by_the_address_of_the_door_and_told_of_bytes() -> None:
    backend = Uwsgi.on_tcp()
    async with running(subscription_server=(SERVER,)) as gateway:
        core = gateway.gateway.corerouter
        announce(core, backend.address, key="door")
        assert core.table is not None
        (node,) = core.table.slots["door"].nodes
        client = await gateway.connect()
        async with await backend.accept() as server:
            await client.send(b"12345")
            await server.exactly(5)
            await server.send(b"123")
            await client.exactly(3)
            assert (node.reference, node.requests) == (1, 1)
        client.close()
        assert await gateway.is_empty()
        assert (node.reference, node.tx, node.rx) == (0, 3, 5)
    backend.close()


@pytest.mark.parametrize("algo", ["iphash", "chash"])
async def test_one_client_always_has_the_same_node(algo: str) -> None:
    backends = [Uwsgi.on_tcp() for _ in range(5)]
    async with running(subscription_server=(SERVER,), algo=algo) as gateway:
        core = gateway.gateway.corerouter
        for backend in backends:
            announce(core, backend.address, key="door")
        assert core.table is not None
        for _ in range(4):
            await gateway.connect()
        await settled()
        requests = sorted(node.requests for node in core.table.slots["door"].nodes)
        assert requests == [0, 0, 0, 0, 4]
    for backend in backends:
        backend.close()


async def test_a_function_may_choose_by_the_address_of_the_door(tmp_path: Path) -> None:
    backend = Uwsgi.on_tcp()
    code = tmp_path / "choose.py"
    code.write_text(
        f"def choose(key):\n    return {backend.address!r} if key == b'door' else None\n"
    )
    async with running(use_code_string=f"0:{code}:choose") as gateway:
        client = await gateway.connect()
        async with await backend.accept() as server:
            await server.send(b"hello")
            assert await client.exactly(5) == b"hello"
    backend.close()


# What the backend is told


async def test_a_proxy_header_of_version_1_comes_first() -> None:
    async with routing(backend_proxy_protocol=1) as (gateway, backend):
        client = await gateway.connect()
        host, port = client.sock.getsockname()
        door = gateway.door.getsockname()
        await client.send(b"data")
        async with await backend.accept() as server:
            line = await server.until(b"\r\n")
            assert line == f"PROXY TCP4 {host} {door[0]} {port} {door[1]}\r\n".encode()
            assert await server.exactly(4) == b"data"


async def test_a_proxy_header_of_version_2_comes_first() -> None:
    async with routing(backend_proxy_protocol=2) as (gateway, backend):
        client = await gateway.connect()
        await client.send(b"data")
        async with await backend.accept() as server:
            found = None
            while found is None:
                await server.fill()
                found = proxy_protocol.decode(server.buffer)
            header, used = found
            assert header.source == client.sock.getsockname()
            assert header.destination == gateway.door.getsockname()
            server.buffer = server.buffer[used:]
            assert await server.exactly(4) == b"data"


async def test_xclient_answers_a_greeting_that_the_client_does_not_see() -> None:
    async with routing(rawrouter_xclient=True) as (gateway, backend):
        client = await gateway.connect()
        await client.send(b"EHLO me\r\n")
        async with await backend.accept() as server:
            assert await server.is_silent()
            for byte in b"220 greeting\r\n":
                await server.send(bytes((byte,)))
            wanted = b"XCLIENT ADDR=127.0.0.1\r\nEHLO me\r\n"
            assert await server.exactly(len(wanted)) == wanted
            await server.send(b"220 second\r\n")
            assert await client.exactly(12) == b"220 second\r\n"


async def test_what_stands_behind_the_greeting_goes_to_the_client() -> None:
    async with routing(rawrouter_xclient=True) as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            await server.send(b"220 greeting\r\nmore")
            assert await client.exactly(4) == b"more"


@pytest.mark.parametrize("end", ["close", "too long"])
async def test_a_backend_without_a_greeting_ends_the_connection(end: str) -> None:
    async with routing(rawrouter_xclient=True) as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            if end == "too long":
                await server.send(b"x" * 10_000)
                assert await is_reset(client)
        assert await gateway.is_empty()
        assert gateway.gateway.counters["no-greeting"] == 1


# Time


async def test_an_idle_connection_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    async with routing(timeout=30.0) as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            began = trio.current_time()
            assert await client.rest() == b""
            assert 29.0 <= trio.current_time() - began <= 31.0
            assert await server.rest() == b""


async def test_a_byte_keeps_a_connection_alive_but_not_beyond_its_whole_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with routing(timeout=10.0, total_timeout=35.0) as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            for _ in range(4):
                await trio.sleep(8)
                await server.send(b"x")
                assert await client.exactly(1) == b"x"
            began = trio.current_time()
            assert await client.rest() == b""
            assert trio.current_time() - began < 5.0


async def test_what_cannot_be_delivered_in_time_is_a_break(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with routing(timeout=20.0) as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            await server.send_until_blocked(PIECE)
            assert await gateway.is_empty()
            assert await is_reset(client)
        assert gateway.gateway.counters["stalled"] == 1


# The end of a process


async def test_connections_live_on_after_a_reload() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            await server.send(b"a")
            await client.exactly(1)
            gateway.drain(5.0)
            await client.send(b"after")
            assert await server.exactly(5) == b"after"
            client.half_close()
            assert await server.rest() == b""
        await gateway.gateway.drained()


async def test_connections_end_when_nobody_comes_after_us() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        async with await backend.accept() as server:
            gateway.drain(0.0)
            assert await client.rest() == b""
            assert await server.rest() == b""


async def test_a_cheap_rawrouter_accepts_only_while_it_has_nodes() -> None:
    backend = Uwsgi.on_tcp()
    async with running(subscription_server=(SERVER,), cheap=True) as gateway:
        client = await gateway.connect()
        assert await client.is_silent()
        announce(gateway.gateway.corerouter, backend.address, key="door")
        async with await backend.accept() as server:
            await server.send(b"hello")
            assert await client.exactly(5) == b"hello"
    backend.close()


async def test_beyond_max_connections_clients_are_refused_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with routing(max_connections=1) as (gateway, backend):
        first = await gateway.connect()
        async with await backend.accept():
            with socket.socket() as plain:
                plain.setblocking(False)
                refused = Stream(trio.socket.from_stdlib_socket(plain))
                assert await is_refused(refused, gateway.door.getsockname())
            assert "door: 1 connections, the limit (rawrouter-max-connections" in caplog.text
            assert gateway.gateway.counters["full"] == 1
            first.reset()
            first.close()
            assert await gateway.is_empty()
            third = await gateway.connect()
            async with await backend.accept() as server:
                await server.send(b"now")
                assert await third.exactly(3) == b"now"
