"""Requests through the HTTP gateway to our own workers: one after the other, without bodies."""

from __future__ import annotations

import re
import socket
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.gateways.instance import Instance, running
from tests.gateways.peers import Client, Lease, Response, request
from uwgate.gateways.wire import lease as wire


async def exchange(instance: Instance, head: bytes, answer: bytes, flags: int = 0) -> Response:
    """One request on a connection of its own, and what the client gets."""
    client = await instance.connect()
    await client.send(head)
    lease = await instance.workers.accept()
    await lease.packet()
    await lease.answer(b"hello", answer, flags)
    return await client.response()


async def both(instance: Instance) -> tuple[Client, Lease]:
    """A client and a lease, brought together by a first request."""
    client = await instance.connect()
    await client.get()
    lease = await instance.workers.accept()
    await lease.packet()
    await lease.answer()
    assert (await client.response()).status == 200
    return client, lease


async def test_a_request_is_answered_by_a_worker() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.get(b"/a%20b?c=d", b"X-Foo: 1")
        lease = await instance.workers.accept()
        packet = await lease.packet()
        await lease.answer(b"hello", b"200 OK\r\nContent-Type: text/plain\r\n")
        response = await client.response()
        port = client.sock.getsockname()[1]
        door_port = client.sock.getpeername()[1]
    assert (packet.modifier1, packet.modifier2) == (0, wire.MAY_TAKE)
    assert packet.variables == [
        (b"REQUEST_METHOD", b"GET"),
        (b"REQUEST_URI", b"/a%20b?c=d"),
        (b"PATH_INFO", b"/a b"),
        (b"QUERY_STRING", b"c=d"),
        (b"SERVER_PROTOCOL", b"HTTP/1.1"),
        (b"SCRIPT_NAME", b""),
        (b"SERVER_NAME", socket.gethostname().encode()),
        (b"SERVER_PORT", b"%d" % door_port),
        (b"UWSGI_ROUTER", b"http"),
        (b"REMOTE_ADDR", b"127.0.0.1"),
        (b"REMOTE_PORT", b"%d" % port),
        (b"HTTP_HOST", b"a.example"),
        (b"HTTP_X_FOO", b"1"),
    ]
    assert (response.version, response.status, response.reason) == (b"HTTP/1.1", 200, b"OK")
    assert response.body == b"hello"
    assert [name for name, _ in response.lines] == [b"Content-Type", b"Date", b"Content-Length"]


async def test_a_unix_client_has_no_address(tmp_path: Path) -> None:
    async with running(path=str(tmp_path / "http.sock")) as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        packet = await lease.packet()
        await lease.answer()
        assert (await client.response()).body == b"ok"
    assert packet[b"REMOTE_ADDR"] == b"0.0.0.0"
    assert packet[b"REMOTE_PORT"] == b"0"
    assert packet[b"SERVER_PORT"] == b""


async def test_http_var_adds_to_every_request() -> None:
    async with running(http_var=("FOO=bar=baz", "EMPTY=", "nothing")) as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        packet = await lease.packet()
    assert packet.variables[-2:] == [(b"FOO", b"bar=baz"), (b"EMPTY", b"")]
    assert b"nothing" not in packet


async def test_server_name_may_be_the_host() -> None:
    async with running(http_server_name_as_http_host=True) as instance:
        client = await instance.connect()
        await client.get(b"/")
        lease = await instance.workers.accept()
        assert (await lease.packet())[b"SERVER_NAME"] == b"a.example"
        await lease.answer()
        await client.response()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert b"SERVER_NAME" not in await lease.packet()
        await lease.answer()


async def test_an_absolute_target_decides_the_host() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.get(b"http://b.example:81/x?y")
        packet = await (await instance.workers.accept()).packet()
    assert packet[b"HTTP_HOST"] == b"b.example:81"
    assert packet[b"PATH_INFO"] == b"/x"
    assert packet[b"REQUEST_URI"] == b"http://b.example:81/x?y"


async def test_hop_by_hop_fields_of_a_request_end_at_the_gateway() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.get(
            b"/",
            b"Connection: keep-alive, X-Hop",
            b"X-Hop: 1",
            b"Keep-Alive: 5",
            b"TE: trailers",
            b"Upgrade: h2c",
            b"Proxy-Connection: keep-alive",
            b"Proxy: http://evil",
            b"X_Under: 1",
            b"X-End: 1",
        )
        packet = await (await instance.workers.accept()).packet()
    keys = [key for key, _ in packet.variables if key.startswith(b"HTTP_")]
    assert keys == [b"HTTP_HOST", b"HTTP_X_END"]


async def test_blanks_behind_a_value_are_not_part_of_it() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.get(b"/", b"X:\t 1 \t", b"Content-Length: 0 ", host=b"a.example ")
        packet = await (await instance.workers.accept()).packet()
    assert packet[b"HTTP_X"] == b"1"
    assert packet[b"HTTP_HOST"] == b"a.example"
    assert packet[b"CONTENT_LENGTH"] == b"0"


# Keep-alive


async def test_a_connection_and_its_lease_are_kept() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        for n in range(3):
            await client.get(b"/%d" % n)
            assert (await lease.packet())[b"PATH_INFO"] == b"/%d" % n
            await lease.answer(b"%d" % n)
            assert (await client.response()).body == b"%d" % n


async def test_connection_close_is_honoured() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.get(b"/", b"Connection: close")
        await lease.packet()
        await lease.answer()
        response = await client.response()
        assert response.fields[b"connection"] == b"close"
        assert await client.is_closed()


async def test_http_1_0_closes_and_gets_no_chunks() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.get(version=b"1.0")
        lease = await instance.workers.accept()
        assert (await lease.packet())[b"SERVER_PROTOCOL"] == b"HTTP/1.0"
        await lease.begin(b"a")
        await lease.last(b"b")
        response = await client.response()
    assert response.version == b"HTTP/1.1"
    assert b"transfer-encoding" not in response.fields
    assert response.body == b"ab"


async def test_http_1_0_may_ask_to_keep_the_connection() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.get(b"/", b"Connection: keep-alive", version=b"1.0")
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.answer()
        response = await client.response()
        assert response.fields[b"connection"] == b"keep-alive"
        await client.get(b"/", version=b"1.0")
        await lease.packet()
        await lease.answer()
        assert (await client.response()).fields[b"connection"] == b"close"
        assert await client.is_closed()


async def test_keep_alive_can_be_switched_off() -> None:
    async with running(http_keepalive=0) as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await client.response()).fields[b"connection"] == b"close"
        assert await client.is_closed()


async def test_empty_lines_before_a_request_are_skipped() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.send(b"\r\n\r")
        await client.send(b"\n\r\n" + request(b"GET", b"/x"))
        assert (await lease.packet())[b"PATH_INFO"] == b"/x"
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_head_may_come_byte_by_byte() -> None:
    async with running() as instance:
        client = await instance.connect()
        for octet in request(b"GET", b"/slow"):
            await client.send(bytes([octet]))
        assert (await (await instance.workers.accept()).packet())[b"PATH_INFO"] == b"/slow"


# Pipelining


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running(processes=2) as instance:
        client, lease = await both(instance)
        await client.send(b"".join([request(b"GET", b"/%d" % n) for n in range(4)]))
        for n in range(4):
            assert (await lease.packet())[b"PATH_INFO"] == b"/%d" % n
            await lease.answer(b"%d" % n)
            assert (await client.response()).body == b"%d" % n
        assert await instance.workers.nobody_waits()


async def test_a_request_that_comes_during_the_answer_is_served_next() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.get(b"/1")
        await lease.packet()
        await client.get(b"/2")
        assert await client.is_silent()
        await lease.answer(b"one")
        assert (await lease.packet())[b"PATH_INFO"] == b"/2"
        await lease.answer(b"two")
        assert (await client.response()).body == b"one"
        assert (await client.response()).body == b"two"


async def test_a_request_split_behind_another_is_put_together() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        second = request(b"GET", b"/2")
        await client.send(request(b"GET", b"/1") + second[:20])
        await lease.packet()
        await lease.answer()
        await client.response()
        await client.send(second[20:])
        assert (await lease.packet())[b"PATH_INFO"] == b"/2"


async def test_requests_behind_connection_close_are_not_served() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.send(request(b"GET", b"/", b"Connection: close") + request(b"GET", b"/2"))
        await lease.packet()
        await lease.answer()
        assert (await client.response()).body == b"ok"
        assert await client.is_closed()
        assert await lease.is_silent()


async def test_a_flood_of_pipelined_requests_is_held_back() -> None:
    async with running(http_head_limit=4096) as instance:
        client, lease = await both(instance)
        piece = request(b"GET", b"/flood") * 100
        sent = await client.send_until_blocked(piece)
        assert sent < 2_000_000  # what the kernel holds, not the gateway
        await lease.packet()
        for _ in range(200):  # each answer lets the gateway read a little more
            await lease.answer()
            await lease.packet()
        session = next(iter(instance.gateway._sessions))
        assert len(session.buffer) <= 4096 + 16384


async def test_requests_that_fill_a_read_exactly_are_all_served() -> None:
    block = request(b"GET", b"/", b"X: " + b"x" * 960)
    one = request(b"GET", b"/", b"X: " + b"x" * (960 + 1024 - len(block)))
    assert len(one) == 1024
    async with running() as instance:
        client, lease = await both(instance)
        await client.send(one * 64)  # four times RECEIVE_SIZE
        for _ in range(64):
            await lease.packet()
            await lease.answer()
            assert (await client.response()).status == 200
        await client.get(b"/after")
        assert (await lease.packet())[b"PATH_INFO"] == b"/after"


# Half-close


async def test_a_client_that_half_closes_gets_its_answer_and_the_end() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.get()
        client.half_close()
        await lease.packet()
        await lease.answer(b"late")
        assert (await client.response()).body == b"late"
        assert await client.is_closed()


async def test_a_half_close_while_the_request_runs_does_not_cancel_it() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.get()
        await lease.packet()
        client.half_close()
        assert await lease.is_silent()
        await lease.answer(b"late")
        assert (await client.response()).body == b"late"
        assert await client.is_closed()


async def test_pipelined_requests_before_a_half_close_are_all_answered() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.send(request(b"GET", b"/1") + request(b"GET", b"/2"))
        client.half_close()
        for n in (b"/1", b"/2"):
            assert (await lease.packet())[b"PATH_INFO"] == n
            await lease.answer(n)
            assert (await client.response()).body == n
        assert await client.is_closed()


async def test_a_request_and_the_end_that_come_during_an_answer_are_both_noticed() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.get(b"/1")
        await lease.packet()
        await client.get(b"/2")
        client.half_close()
        assert await lease.is_silent()
        await lease.answer()
        await lease.packet()
        await lease.answer()
        assert (await client.response()).status == 200
        assert (await client.response()).status == 200
        assert await client.is_closed()


async def test_half_a_head_before_a_half_close_is_no_request() -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.send(request(b"GET")[:-2])
        client.half_close()
        assert await client.is_closed()
        assert await instance.workers.nobody_waits()


# The client goes


async def test_a_reset_while_a_request_runs_closes_the_lease_when_a_stream_begins() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.get()
        await lease.packet()
        client.reset()
        assert await lease.is_silent()
        await lease.begin(b"for nobody")
        assert await lease.rest() == b""


async def test_a_reset_while_a_request_runs_throws_a_whole_answer_away() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.get()
        await lease.packet()
        client.reset()
        assert await lease.is_silent()
        await lease.answer(b"for nobody")
        other = await instance.connect()
        await other.get(b"/other")
        assert (await lease.packet())[b"PATH_INFO"] == b"/other"
        await lease.answer(b"other")
        assert (await other.response()).body == b"other"


async def test_a_reset_while_a_request_waits_for_a_lease_takes_it_back() -> None:
    async with running() as instance:
        first, lease = await both(instance)
        await first.get(b"/1")
        await lease.packet()
        second = await instance.connect()
        await second.get(b"/2")
        third = await instance.connect()
        await third.get(b"/3")
        assert await lease.is_silent()
        second.reset()
        assert await lease.is_silent()
        await lease.answer()
        assert (await lease.packet())[b"PATH_INFO"] == b"/3"
        await lease.answer(b"three")
        assert (await third.response()).body == b"three"


# Responses


async def test_a_head_answer_has_fields_but_no_body() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.send(request(b"HEAD"))
        await lease.packet()
        head = b"200 OK\r\nContent-Length: 5\r\n"
        await lease.answer(b"", head, wire.LENGTH | wire.NO_BODY)
        response = await client.response(b"HEAD")
        assert response.fields[b"content-length"] == b"5"
        assert await client.is_silent()
        await client.get()
        await lease.packet()
        await lease.answer()
        assert (await client.response()).body == b"ok"


async def test_a_head_answer_of_unknown_length_is_not_framed() -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.send(request(b"HEAD"))
        await lease.packet()
        await lease.begin(flags=wire.NO_BODY)
        await lease.last()
        response = await client.response(b"HEAD")
        assert not {b"content-length", b"transfer-encoding"} & response.fields.keys()
        assert await client.is_silent()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_is_not_framed(status: bytes) -> None:
    async with running() as instance:
        client, lease = await both(instance)
        await client.get()
        await lease.packet()
        await lease.answer(b"", status + b"\r\n", wire.NO_BODY)
        response = await client.response()
        assert not {b"content-length", b"transfer-encoding"} & response.fields.keys()
        assert b"connection" not in response.fields
        assert await client.is_silent()


async def test_an_empty_answer_has_the_length_0() -> None:
    async with running() as instance:
        response = await exchange(instance, request(b"GET"), b"200 OK\r\n")
        assert response.fields[b"content-length"] == b"5"
        client = instance.clients[0]
        await client.get()
        lease = instance.workers.leases[0]
        await lease.packet()
        await lease.answer(b"")
        assert (await client.response()).fields[b"content-length"] == b"0"


async def test_a_date_is_added_in_its_form() -> None:
    async with running() as instance:
        response = await exchange(instance, request(b"GET"), b"200 OK\r\n")
    date = response.fields[b"date"].decode()
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert abs(parsedate_to_datetime(date).timestamp() - time.time()) < 5


async def test_the_date_of_the_application_is_kept() -> None:
    async with running() as instance:
        response = await exchange(instance, request(b"GET"), b"200 OK\r\nDate: mine\r\n", wire.DATE)
    assert [value for name, value in response.lines if name == b"Date"] == [b"mine"]


async def test_no_server_is_named_unless_configured() -> None:
    async with running() as instance:
        response = await exchange(instance, request(b"GET"), b"200 OK\r\n")
    assert b"server" not in response.fields


async def test_a_configured_server_is_named() -> None:
    async with running(http_server_header="uwgate") as instance:
        response = await exchange(instance, request(b"GET"), b"200 OK\r\n")
    assert response.fields[b"server"] == b"uwgate"


async def test_the_server_of_the_application_is_kept() -> None:
    async with running(http_server_header="uwgate") as instance:
        response = await exchange(
            instance, request(b"GET"), b"200 OK\r\nServer: app\r\n", wire.SERVER
        )
    assert [value for name, value in response.lines if name == b"Server"] == [b"app"]


async def test_an_answer_without_a_reason_has_none() -> None:
    async with running() as instance:
        response = await exchange(instance, request(b"GET"), b"299 \r\n")
    assert (response.status, response.reason) == (299, b"")
