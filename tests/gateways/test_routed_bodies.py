"""What transformations of rules make of bodies on their way through the HTTP gateway."""

from __future__ import annotations

import gzip
from pathlib import Path

import trio

from tests.gateways.peers import request, settled
from tests.gateways.routed import next_chunk, ruled, through
from uwgate.gateways.wire import lease as wire


async def test_a_stream_is_compressed_piece_by_piece() -> None:
    async with ruled("route-run = gzip:") as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.begin(b"first ", b"200 OK\r\nContent-Type: text/plain\r\n")
        response = await client.head()
        assert response.fields[b"content-encoding"] == b"gzip"
        assert response.fields[b"transfer-encoding"] == b"chunked"
        body = await next_chunk(client)  # it does not wait for the second one
        await lease.more(b"second")
        await lease.last()
        while piece := await next_chunk(client):
            body += piece
        assert gzip.decompress(body) == b"first second"


async def test_a_length_that_was_said_before_compression_is_not_said_again() -> None:
    async with ruled("route-run = gzip:") as instance:
        _, response = await through(instance, request(b"GET"))
        assert gzip.decompress(response.body) == b"hello"
        assert response.fields[b"content-length"] == b"%d" % len(response.body)


async def test_the_answer_to_head_says_no_length_that_compression_would_change() -> None:
    async with ruled("route-run = gzip:") as instance:
        flags = wire.LENGTH | wire.NO_BODY
        _, response = await through(instance, request(b"HEAD"), body=b"", flags=flags)
        assert b"content-length" not in response.fields


async def test_a_transformation_that_needs_all_of_the_body_waits_for_it() -> None:
    async with ruled("route = ^/(.*) template:", "route-run = fixcl:") as instance:
        client = await instance.connect()
        await client.get(b"/x")
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.begin(b"path ${PATH_INFO}", b"200 OK\r\nContent-Length: 22\r\n", wire.LENGTH)
        await settled()
        await lease.last(b" is $1")
        response = await client.response()
        assert response.body == b"path /x is x"
        assert response.fields[b"content-length"] == b"12"


async def test_a_body_that_breaks_off_while_all_of_it_is_needed_is_a_502() -> None:
    async with ruled("route-run = template:") as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.begin(b"some")
        lease.close()
        assert (await client.response()).status == 502


async def test_chunks_are_made_once() -> None:
    async with ruled("route-run = chunked:", "route-run = toupper:") as instance:
        _, response = await through(instance, request(b"GET"))
        assert response.fields[b"transfer-encoding"] == b"chunked"
        assert response.body == b"HELLO"


async def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    async with ruled("route-run = chunked:") as instance:
        _, response = await through(instance, request(b"GET", version=b"1.0"))
        assert b"transfer-encoding" not in response.fields
        assert response.body == b"hello"


async def test_a_slow_client_holds_the_worker_s_stream_back_through_a_transformation() -> None:
    async with ruled("route-run = toupper:") as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.begin(b"x")
        await client.head()
        taken = await lease.send_until_blocked(wire.encode_frame(0, b"", b"y" * 65536))
        assert taken < 64 << 20
        client.close()


async def test_a_copy_is_kept_in_a_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    async with ruled(f"route-run = tofile:filename={kept}") as instance:
        _, response = await through(instance, request(b"GET"))
        assert response.body == b"hello"
        with trio.fail_after(30):
            while not kept.exists():  # noqa: ASYNC110  a file tells nobody
                await trio.sleep(0.01)
        assert kept.read_bytes() == b"hello"
        assert kept.stat().st_mode & 0o777 == 0o644
