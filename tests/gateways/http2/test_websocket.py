"""RFC 8441: WebSockets on streams of HTTP/2."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import trio

from tests.gateways.http2.client import (
    CANCEL,
    DATA,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    NO_ERROR,
    PROTOCOL_ERROR,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Conversation,
    Http2Client,
    fields_of,
    frame,
    pack,
    talking,
)
from tests.gateways.peers import Lease, Packet, Uwsgi
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.upgrade import accept_of

OPEN = b"101 Switching Protocols\r\n"
ENABLE_CONNECT_PROTOCOL = b"\0\x08\0\0\0\x01"


def connect(
    *more: tuple[bytes, bytes], protocol: bytes = b"websocket"
) -> list[tuple[bytes, bytes]]:
    method, *others = fields_of(b"/chat?a=b", method=b"CONNECT")
    return [method, (b":protocol", protocol), *others, (b"sec-websocket-version", b"13"), *more]


async def ask(talk: Conversation, stream: int = 1) -> tuple[Lease, Packet]:
    await talk.client.request(stream, connect(), end=False)
    lease = await talk.workers.accept()
    return lease, await lease.packet()


async def opened(talk: Conversation) -> Lease:
    """A tunnel on stream 1, and the worker's end of it."""
    lease, packet = await ask(talk)
    accept = b"Sec-WebSocket-Accept: %b\r\n" % accept_of(packet[b"HTTP_SEC_WEBSOCKET_KEY"])
    await lease.frame(wire.HEAD | wire.TUNNEL, OPEN + accept + b"Sec-WebSocket-Protocol: x\r\n")
    await talk.client.next(HEADERS, 1)
    return lease


async def test_the_extension_is_announced() -> None:
    async with talking() as talk:
        assert ENABLE_CONNECT_PROTOCOL in (await talk.client.next(SETTINGS)).payload


async def test_it_is_not_announced_where_websockets_are_switched_off() -> None:
    async with talking(http_websockets=False) as talk:
        assert ENABLE_CONNECT_PROTOCOL not in (await talk.client.next(SETTINGS)).payload
        await talk.client.request(1, connect(), end=False)
        assert (await talk.client.response(1)).status == 501


async def test_the_backend_gets_the_handshake_of_http_1_1() -> None:
    async with talking() as talk:
        _, packet = await ask(talk)
    assert packet[b"REQUEST_METHOD"] == b"GET"
    assert packet[b"REQUEST_URI"] == b"/chat?a=b"
    assert packet[b"HTTP_UPGRADE"] == b"websocket"
    assert packet[b"HTTP_CONNECTION"] == b"Upgrade"
    assert packet[b"SERVER_PROTOCOL"] == b"HTTP/1.1"
    assert packet[b"HTTP_SEC_WEBSOCKET_VERSION"] == b"13"
    assert len(base64.b64decode(packet[b"HTTP_SEC_WEBSOCKET_KEY"])) == 16


async def test_a_key_of_the_client_means_nothing() -> None:
    async with talking() as talk:
        await talk.client.request(
            1, connect((b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")), end=False
        )
        lease = await talk.workers.accept()
        packet = await lease.packet()
    assert packet[b"HTTP_SEC_WEBSOCKET_KEY"] != b"dGhlIHNhbXBsZSBub25jZQ=="


async def test_the_answer_is_200_without_what_http_1_1_needs() -> None:
    async with talking() as talk:
        await opened(talk)
        lines = talk.client.responses[1].lines
    assert lines == [(b":status", b"200"), (b"sec-websocket-protocol", b"x")]


async def test_bytes_go_both_ways() -> None:
    async with talking() as talk:
        lease = await opened(talk)
        await talk.client.data(1, b"ping")
        assert await lease.exactly(4) == b"ping"
        await lease.send(b"pong")
        assert (await talk.client.next(DATA, 1)).payload == b"pong"


async def test_other_requests_go_on_beside_a_tunnel() -> None:
    async with talking(processes=2) as talk:
        tunnel = await opened(talk)
        await talk.client.request(3)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await talk.client.response(3)).body == b"ok"
        await tunnel.send(b"still here")
        assert (await talk.client.next(DATA, 1)).payload == b"still here"


async def test_the_workers_end_ends_the_stream() -> None:
    async with talking() as talk:
        lease = await opened(talk)
        await lease.send(b"bye")
        lease.close()
        response = await talk.client.response(1)
        assert (response.body, response.ended) == (b"bye", True)
        assert await talk.client.reset_of(1) == NO_ERROR


async def test_the_clients_end_is_told_to_the_worker_which_may_still_answer() -> None:
    async with talking() as talk:
        lease = await opened(talk)
        await talk.client.data(1, b"last", end=True)
        assert await lease.rest() == b"last"
        await lease.send(b"answer")
        lease.close()
        response = await talk.client.response(1)
    assert (response.body, response.ended, response.reset) == (b"answer", True, None)


async def test_a_client_that_resets_the_stream_closes_the_lease() -> None:
    async with talking() as talk:
        lease = await opened(talk)
        await talk.client.send(frame(RST_STREAM, 0, 1, pack(CANCEL)))
        assert await lease.is_closed_after(b"x")


async def test_an_answer_other_than_101_is_a_normal_response() -> None:
    async with talking() as talk:
        lease, _ = await ask(talk)
        await lease.answer(b"no", b"403 Forbidden\r\n")
        response = await talk.client.response(1)
        assert (response.status, response.body) == (403, b"no")
        assert await talk.client.reset_of(1) == NO_ERROR


async def test_a_client_that_is_slow_slows_the_worker() -> None:
    async with talking((INITIAL_WINDOW_SIZE, 5)) as talk:
        client = talk.client
        client.opens_windows = False
        lease = await opened(talk)
        await lease.send(b"0123456789")
        assert (await client.next(DATA, 1)).payload == b"01234"
        await client.ping()
        assert client.responses[1].body == b"01234"
        taken = await lease.send_until_blocked(bytes(65536))
        assert taken < 4 << 20
        await client.send(frame(WINDOW_UPDATE, 0, 1, pack(5)))
        assert (await client.next(DATA, 1)).payload == b"56789"


async def test_a_worker_that_is_slow_slows_the_client() -> None:
    async with talking() as talk:
        client = talk.client
        await opened(talk)
        sent = 0
        while 65535 + opened_by(client) - sent >= 16384:
            await client.data(1, bytes(16384))
            await client.ping()
            sent += 16384
        # One window in the stream, the rest in the kernel's buffers.
        assert sent < 3 << 20


def opened_by(client: Http2Client) -> int:
    """Bytes by which the window of stream 1 was opened."""
    updates = [one for one in client.seen if one.kind == WINDOW_UPDATE and one.stream]
    return sum(int.from_bytes(one.payload, "big") for one in updates)


async def test_a_tunnel_in_which_nothing_moves_is_ended(hurried_clock: trio.abc.Clock) -> None:
    async with talking(http_tunnel_timeout=3.0, http_timeout=1.0) as talk:
        lease = await opened(talk)
        await trio.sleep(2.0)  # no request's time-out counts here
        await lease.send(b"x")
        await talk.client.next(DATA, 1)
        start = trio.current_time()
        assert await talk.client.reset_of(1) == CANCEL
        assert 3.0 <= trio.current_time() - start < 5.0
        assert await lease.is_closed_after(b"")


async def test_tunnels_are_closed_when_the_instance_stops() -> None:
    async with talking() as talk:
        await opened(talk)
        talk.instance.drain(0.0)
        assert await talk.client.reset_of(1) == CANCEL
        assert await talk.client.ended_with() == NO_ERROR


async def test_tunnels_stay_open_through_a_reload(hurried_clock: trio.abc.Clock) -> None:
    async with talking() as talk:
        lease = await opened(talk)
        talk.instance.drain(5.0)
        await talk.client.goaway()
        await talk.client.goaway()
        await talk.client.data(1, b"ping")
        assert await lease.exactly(4) == b"ping"
        await lease.send(b"pong")
        assert (await talk.client.next(DATA, 1)).payload == b"pong"


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (501, connect(protocol=b"connect-udp")),
        (426, [one for one in connect() if one[0] != b"sec-websocket-version"]),
        (400, connect((b"content-length", b"5"))),
    ],
    ids=["another protocol", "no version", "a body"],
)
async def test_a_handshake_that_is_not_served_gets_an_answer(
    status: int, fields: list[tuple[bytes, bytes]]
) -> None:
    async with talking() as talk:
        await talk.client.request(1, fields, end=False)
        assert (await talk.client.response(1)).status == status


async def test_a_handshake_that_ends_its_stream_is_malformed() -> None:
    async with talking() as talk:
        await talk.client.request(1, connect())
        assert await talk.client.reset_of(1) == PROTOCOL_ERROR


async def test_a_plain_backend_opens_a_tunnel_with_its_101(tmp_path: Path) -> None:
    backend = Uwsgi.on_path(str(tmp_path / "uwsgi.sock"))
    async with talking(http_to=(backend.address,)) as talk:
        client: Http2Client = talk.client
        await client.request(1, connect(), end=False)
        connection = await backend.accept()
        packet = await connection.packet()
        accept = accept_of(packet[b"HTTP_SEC_WEBSOCKET_KEY"])
        await connection.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\nfirst"
        )
        await client.next(HEADERS, 1)
        assert client.responses[1].lines == [(b":status", b"200")]
        assert (await client.next(DATA, 1)).payload == b"first"
        await client.send(frame(DATA, END_STREAM, 1, b"over"))
        assert await connection.rest() == b"over"
    backend.close()
