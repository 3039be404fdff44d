"""WebSockets through the HTTP gateway, with the test as client and as backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from tests.gateways.instance import Instance, running
from tests.gateways.peers import PATIENCE, Backend, Client, Lease, Packet, Uwsgi, request
from uwgate.gateways.wire import lease as wire

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
UPGRADE = b"Upgrade: websocket"
CONNECTION = b"Connection: keep-alive, Upgrade"
GIVEN = (b"Sec-WebSocket-Key: " + KEY, b"Sec-WebSocket-Version: 13")
OPEN = b"101 Web Socket Protocol Handshake\r\n"
ANSWER = (
    b"HTTP/1.1 "
    + OPEN
    + b"Upgrade: WebSocket\r\nConnection: Upgrade\r\n"
    + ACCEPT
    + b"X: y\r\n\r\n"
)


def handshake(*more: bytes, lines: tuple[bytes, ...] = (UPGRADE, CONNECTION, *GIVEN)) -> bytes:
    return request(b"GET", b"/chat", *lines, *more)


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Uwsgi]:
    found = Uwsgi.on_path(str(tmp_path / "uwsgi.sock"))
    yield found
    found.close()


async def ask_worker(instance: Instance, data: bytes = handshake()) -> tuple[Client, Lease, Packet]:
    """A handshake that has arrived on a lease."""
    client = await instance.connect()
    await client.send(data)
    lease = await instance.workers.accept()
    return client, lease, await lease.packet()


async def ask_backend(
    instance: Instance, backend: Uwsgi, data: bytes = handshake()
) -> tuple[Client, Backend, Packet]:
    """A handshake that has arrived at a plain backend."""
    client = await instance.connect()
    await client.send(data)
    connection = await backend.accept()
    return client, connection, await connection.packet()


async def open_tunnel(instance: Instance) -> tuple[Client, Lease]:
    client, lease, _ = await ask_worker(instance)
    await lease.frame(wire.HEAD | wire.TUNNEL, OPEN + ACCEPT)
    assert (await client.head()).status == 101
    return client, lease


# The handshake


async def test_a_worker_may_make_a_tunnel_of_its_lease() -> None:
    async with running() as instance:
        client, lease, packet = await ask_worker(instance)
        assert packet.modifier2 == wire.MAY_TUNNEL
        assert packet[b"HTTP_UPGRADE"] == b"websocket"
        assert packet[b"HTTP_CONNECTION"] == b"Upgrade"
        assert packet[b"HTTP_SEC_WEBSOCKET_KEY"] == KEY
        await lease.frame(wire.HEAD | wire.TUNNEL, OPEN + ACCEPT)
        await lease.send(b"from the worker")
        head = await client.head()
        assert (head.status, head.reason) == (101, b"Web Socket Protocol Handshake")
        assert head.fields[b"upgrade"] == b"websocket"
        assert head.fields[b"connection"] == b"Upgrade"
        assert b"sec-websocket-accept" in head.fields
        assert await client.exactly(15) == b"from the worker"
        await client.send(b"from the client")
        assert await lease.exactly(15) == b"from the client"


async def test_a_plain_backend_may_open_a_tunnel(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, packet = await ask_backend(instance, backend)
        assert packet[b"HTTP_UPGRADE"] == b"websocket"
        assert packet[b"HTTP_CONNECTION"] == b"Upgrade"
        assert packet[b"HTTP_SEC_WEBSOCKET_VERSION"] == b"13"
        await connection.send(ANSWER + b"at once")
        head = await client.head()
        assert (head.status, head.fields[b"x"]) == (101, b"y")
        assert [value for name, value in head.lines if name.lower() == b"upgrade"] == [b"websocket"]
        assert await client.exactly(7) == b"at once"
        await client.send(b"\0\xff" * 1000)
        assert await connection.exactly(2000) == b"\0\xff" * 1000


async def test_a_kept_connection_may_be_upgraded() -> None:
    async with running() as instance:
        client, lease, _ = await ask_worker(instance, request(b"GET"))
        await lease.answer(b"page")
        assert (await client.response()).body == b"page"
        await client.send(handshake())
        assert (await lease.packet()).modifier2 == wire.MAY_TUNNEL
        await lease.frame(wire.HEAD | wire.TUNNEL, OPEN + ACCEPT)
        assert (await client.head()).status == 101


@pytest.mark.parametrize("kind", ["worker", "backend"])
async def test_what_comes_with_the_head_is_for_the_tunnel(kind: str, backend: Uwsgi) -> None:
    """uWSGI's router loses it."""
    to = (backend.address,) if kind == "backend" else ()
    async with running(http_to=to) as instance:
        data = handshake() + b"early"
        if kind == "backend":
            client, peer, _ = await ask_backend(instance, backend, data)
            await peer.send(ANSWER)
        else:
            client, lease, _ = await ask_worker(instance, data)
            assert await lease.is_silent()
            await lease.frame(wire.HEAD | wire.TUNNEL, OPEN + ACCEPT)
            peer = lease
        await client.head()
        await client.send(b" and late")
        assert await peer.exactly(14) == b"early and late"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((UPGRADE, CONNECTION, GIVEN[0]), 426),
        ((UPGRADE, CONNECTION, GIVEN[0], b"Sec-WebSocket-Version: 8"), 426),
        ((UPGRADE, CONNECTION, GIVEN[1]), 400),
        ((UPGRADE, CONNECTION, b"Sec-WebSocket-Key: short", GIVEN[1]), 400),
        ((UPGRADE, CONNECTION + b", Sec-WebSocket-Key", *GIVEN), 400),
        ((UPGRADE, CONNECTION, *GIVEN, b"Content-Length: 3"), 400),
        ((UPGRADE, CONNECTION, *GIVEN, b"Transfer-Encoding: chunked"), 400),
    ],
)
async def test_a_bad_handshake_is_refused(lines: tuple[bytes, ...], status: int) -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.send(handshake(lines=lines))
        response = await client.response()
        assert response.status == status
        assert await client.is_closed()
        assert await instance.workers.nobody_waits()


async def test_who_speaks_another_version_is_told_ours() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.send(handshake(lines=(UPGRADE, CONNECTION, GIVEN[0])))
        fields = (await client.response()).fields
        assert fields[b"sec-websocket-version"] == b"13"
        assert fields[b"upgrade"] == b"websocket"


@pytest.mark.parametrize(
    "lines",
    [
        (b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk"),
        (b"Upgrade: TLS/1.3", b"Connection: Upgrade"),
        (UPGRADE, b"Connection: keep-alive", *GIVEN),
    ],
    ids=["h2c", "TLS", "Connection does not say so"],
)
async def test_any_other_upgrade_is_ignored(lines: tuple[bytes, ...]) -> None:
    async with running() as instance:
        client, lease, packet = await ask_worker(instance, handshake(lines=lines))
        assert not packet.modifier2 & wire.MAY_TUNNEL
        assert b"HTTP_UPGRADE" not in packet
        assert b"HTTP_CONNECTION" not in packet
        assert b"HTTP_HTTP2_SETTINGS" not in packet
        await lease.answer(b"just a page")
        assert (await client.response()).body == b"just a page"
        await client.get(b"/next")  # the connection goes on
        assert (await lease.packet())[b"PATH_INFO"] == b"/next"


async def test_of_several_offers_only_the_websocket_is_passed_on() -> None:
    async with running() as instance:
        lines = (b"Upgrade: h2c, websocket", b"Connection: Upgrade, HTTP2-Settings", *GIVEN)
        _, _, packet = await ask_worker(instance, handshake(lines=lines))
        assert packet[b"HTTP_UPGRADE"] == b"websocket"


async def test_an_old_client_cannot_upgrade() -> None:
    async with running() as instance:
        data = request(b"GET", b"/", UPGRADE, CONNECTION, *GIVEN, version=b"1.0")
        _, _, packet = await ask_worker(instance, data)
        assert not packet.modifier2 & wire.MAY_TUNNEL


async def test_the_option_switches_it_off() -> None:
    async with running(http_websockets=False) as instance:
        _, _, packet = await ask_worker(instance)
        assert not packet.modifier2 & wire.MAY_TUNNEL
        assert b"HTTP_UPGRADE" not in packet


# Other answers than 101


async def test_a_refusal_is_a_response_like_any_other_and_the_last_one() -> None:
    async with running() as instance:
        client, lease, _ = await ask_worker(instance, handshake() + b"GET /smuggled HTTP/1.1\r\n")
        await lease.answer(b"no", b"403 Forbidden\r\n")
        response = await client.response()
        assert (response.status, response.body) == (403, b"no")
        assert response.fields[b"connection"] == b"close"
        assert await client.is_closed()
        assert await lease.is_silent()


async def test_a_backend_may_refuse(backend: Uwsgi) -> None:
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await ask_backend(instance, backend)
        await connection.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        assert (await client.response()).status == 404


@pytest.mark.parametrize(
    "accept", [b"", b"Sec-WebSocket-Accept: bm90IGZvciB0aGlzIGtleSBhdCBhbGw=\r\n", ACCEPT + ACCEPT]
)
async def test_a_101_that_does_not_answer_the_key_is_a_502(accept: bytes, backend: Uwsgi) -> None:
    async with running() as instance:
        client, lease, _ = await ask_worker(instance)
        await lease.frame(wire.HEAD | wire.TUNNEL, OPEN + accept)
        assert (await client.response()).status == 502
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await ask_backend(instance, backend)
        await connection.send(b"HTTP/1.1 101 Go\r\n" + accept + b"\r\n")
        assert (await client.response()).status == 502


async def test_a_tunnel_that_nobody_asked_for_is_a_502(backend: Uwsgi) -> None:
    async with running() as instance:
        client, lease, _ = await ask_worker(instance, request(b"GET"))
        await lease.frame(wire.HEAD | wire.TUNNEL, OPEN + ACCEPT)
        assert (await client.response()).status == 502
    async with running(http_to=(backend.address,)) as instance:
        client, connection, _ = await ask_backend(instance, backend, request(b"GET"))
        await connection.send(ANSWER)
        assert (await client.response()).status == 502


async def test_a_worker_that_dies_over_the_handshake_is_a_502() -> None:
    async with running() as instance:
        client, lease, _ = await ask_worker(instance)
        lease.close()
        assert (await client.response()).status == 502


# The tunnel and its end


async def test_a_lease_that_was_a_tunnel_is_never_used_again() -> None:
    async with running(processes=1) as instance:
        client, lease = await open_tunnel(instance)
        await lease.send(b"bye")
        lease.close()
        assert await client.rest() == b"bye"
        client.close()
        other = await instance.connect()
        await other.get(b"/next")
        fresh = await instance.workers.accept()
        assert (await fresh.packet())[b"PATH_INFO"] == b"/next"
        await fresh.answer()
        assert (await other.response()).status == 200


async def test_the_slot_of_a_tunnel_is_busy() -> None:
    async with running(processes=1) as instance:
        _, lease = await open_tunnel(instance)
        other = await instance.connect()
        await other.get(b"/next")
        assert await instance.workers.nobody_waits()
        lease.close()
        fresh = await instance.workers.accept()
        await fresh.packet()
        await fresh.answer()
        assert (await other.response()).status == 200


async def test_a_worker_that_is_killed_closes_its_clients_connection() -> None:
    async with running() as instance:
        client, lease = await open_tunnel(instance)
        lease.reset()
        assert await client.is_closed()


async def test_a_client_that_vanishes_closes_the_lease() -> None:
    async with running() as instance:
        client, lease = await open_tunnel(instance)
        client.reset()
        assert await lease.rest() == b""


async def test_a_client_that_half_closes_still_hears_the_worker() -> None:
    async with running() as instance:
        client, lease = await open_tunnel(instance)
        await client.send(b"last words")
        client.half_close()
        assert await lease.rest() == b"last words"
        await lease.send(b"good bye")
        lease.close()
        assert await client.rest() == b"good bye"


@pytest.mark.parametrize("slow", ["client", "worker"])
async def test_a_side_that_does_not_read_stops_the_other(slow: str) -> None:
    async with running() as instance:
        client, lease = await open_tunnel(instance)
        slow_one, fast = (client, lease) if slow == "client" else (lease, client)
        sent = await fast.send_until_blocked(bytes(65536))
        assert sent < 8 << 20
        assert len(await slow_one.exactly(sent)) == sent
        await slow_one.send(b"the other way")
        assert await fast.exactly(13) == b"the other way"


async def test_nothing_moves_for_too_long(hurried_clock: Clock) -> None:
    async with running(http_tunnel_timeout=20) as instance:
        client, lease = await open_tunnel(instance)
        begun = trio.current_time()
        with trio.fail_after(100):
            assert await client.sock.recv(1) == b""
        assert 20 <= trio.current_time() - begun <= 22
        assert await lease.rest() == b""


async def test_http_timeout_is_not_for_tunnels(hurried_clock: Clock) -> None:
    async with running(http_timeout=2, http_tunnel_timeout=8) as instance:
        client, lease = await open_tunnel(instance)
        for _ in range(3):
            await trio.sleep(6)
            await lease.send(b"ping")
            assert await client.exactly(4) == b"ping"


async def test_a_handshake_that_takes_too_long_is_a_504(hurried_clock: Clock) -> None:
    async with running(http_timeout=10) as instance:
        client, _, _ = await ask_worker(instance)
        with trio.fail_after(60):
            assert (await client.sock.recv(12)) == b"HTTP/1.1 504"


# The end of the gateway


async def test_a_reload_leaves_tunnels_open() -> None:
    async with running() as instance:
        client, lease = await open_tunnel(instance)
        instance.drain(5)
        await client.send(b"still here")
        assert await lease.exactly(10) == b"still here"
        with trio.move_on_after(0.05) as scope:
            await instance.gateway.drained()
        assert scope.cancelled_caught
        lease.close()
        client.close()
        with trio.fail_after(PATIENCE):
            await instance.gateway.drained()


async def test_a_stop_closes_them() -> None:
    async with running() as instance:
        client, lease = await open_tunnel(instance)
        instance.drain(0)
        assert await client.is_closed()
        assert await lease.rest() == b""


async def test_no_tunnel_is_opened_during_a_stop() -> None:
    async with running() as instance:
        client, lease, _ = await ask_worker(instance)
        instance.drain(0)
        await lease.frame(wire.HEAD | wire.TUNNEL, OPEN + ACCEPT)
        assert (await client.response()).status == 503
