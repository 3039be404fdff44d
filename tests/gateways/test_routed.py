"""Routing rules at work in the HTTP gateway: what clients, workers and backends see of them."""

from __future__ import annotations

import dataclasses
import gzip
import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from tests.gateways.instance import Instance, listen, running, start_of
from tests.gateways.peers import Client, Packet, Response, Uwsgi, request, settled
from uwgate.conf.groups.static import StaticOptions
from uwgate.gateways.routed import functions, policy, questions
from uwgate.gateways.routed.policy import sends_to_own_sockets
from uwgate.gateways.routed.stores import TIMEOUT
from uwgate.gateways.wire import lease as wire
from uwgate.routing import libraries
from uwgate.routing.results import ApplyStylesheet, Failed, Reply


@asynccontextmanager
async def ruled(*rules: str) -> AsyncIterator[Instance]:
    async with running(rules=rules) as instance:
        yield instance


async def ask(instance: Instance, data: bytes) -> tuple[Client, Response]:
    """A response that no worker gives."""
    client = await instance.connect()
    await client.send(data)
    return client, await client.response(data.partition(b" ")[0])


async def through(
    instance: Instance,
    data: bytes,
    head: bytes = b"200 OK\r\nContent-Length: 5\r\n",
    body: bytes = b"hello",
    flags: int = wire.LENGTH,
) -> tuple[Packet, Response]:
    """A request that a worker answers so."""
    client = await instance.connect()
    await client.send(data)
    lease = await instance.workers.accept()
    packet = await lease.packet()
    await lease.answer(body, head, flags)
    return packet, await client.response(data.partition(b" ")[0])


def lines(response: Response) -> list[tuple[bytes, bytes]]:
    """The fields without those of the gateway itself."""
    return [pair for pair in response.lines if pair[0] not in (b"Date", b"Content-Length")]


async def next_chunk(client: Client) -> bytes:
    """The next chunk of a body; empty: the last one."""
    size = int(await client.until(b"\r\n"), 16)
    return (await client.exactly(size + 2))[:-2]


# What rules make of requests


async def test_a_worker_gets_the_request_as_rules_have_changed_it() -> None:
    async with ruled(
        "route-uri = ^/u/([a-z]+) rewrite:/index?name=$1",
        "route-run = addvar:TAG=${REMOTE_ADDR}",
        "route-run = setmethod:PUT",
    ) as instance:
        packet, response = await through(instance, request(b"GET", b"/u/bob?x=1"))
        assert packet[b"PATH_INFO"] == b"/index"
        assert packet[b"QUERY_STRING"] == b"name=bob&x=1"
        assert packet[b"REQUEST_URI"] == b"/u/bob?x=1"
        assert packet[b"TAG"] == b"127.0.0.1"
        assert packet[b"REQUEST_METHOD"] == b"PUT"
        assert (response.status, response.body) == (200, b"hello")


async def test_a_request_that_no_rule_wants_reaches_the_worker_as_it_is() -> None:
    plain = request(b"GET", b"/x%20y?q", b"X-A: b")
    async with ruled() as instance:
        expected, _ = await through(instance, plain)
    async with ruled("route = ^/other return:404") as instance:
        packet, _ = await through(instance, plain)
    endpoint = (b"REMOTE_PORT", b"SERVER_PORT")
    assert [pair for pair in packet.variables if pair[0] not in endpoint] == [
        pair for pair in expected.variables if pair[0] not in endpoint
    ]


async def test_rules_cannot_change_how_long_the_body_is() -> None:
    async with ruled("route-run = addvar:CONTENT_LENGTH=999") as instance:
        data = request(b"POST", b"/", b"Content-Length: 3", body=b"abc")
        packet, _ = await through(instance, data)
        assert packet[b"CONTENT_LENGTH"] == b"3"


@pytest.mark.parametrize(
    ("rule", "target"),
    [
        ("route = ^/(.*) seturi:/$1", b"/a%0d%0aX:%20b"),
        ("route = (?s)^/(.*) addvar:HTTP_X_A=$1", b"/a%0d%0aX:%20b"),
        ("route-qs = (.*) setmethod:$1", b"/?GET%20/"),
    ],
)
async def test_what_would_be_another_line_of_a_request_is_refused(rule: str, target: bytes) -> None:
    async with ruled(rule) as instance:
        _, response = await ask(instance, request(b"GET", target))
        assert response.status == 400


# Answers of rules


async def test_a_rule_answers_without_a_worker() -> None:
    async with ruled("route = ^/old/(.*) redirect-permanent:/new/$1", "add-header = X-A: b") as one:
        client, response = await ask(one, request(b"GET", b"/old/1"))
        assert response.status == 301
        assert lines(response) == [(b"Location", b"/new/1"), (b"X-A", b"b")]
        assert response.body == b"Moved Permanently"
        await client.get(b"/old/2")  # the connection is kept
        assert (await client.response()).fields[b"location"] == b"/new/2"


async def test_the_body_of_an_answer_is_not_sent_for_head() -> None:
    async with ruled("route-run = return:404") as instance:
        client, response = await ask(instance, request(b"HEAD"))
        assert response.fields[b"content-length"] == b"9"
        await client.get()
        assert (await client.response()).body == b"Not Found"


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_content_has_no_body_and_no_length(status: int) -> None:
    async with ruled(f"route-run = return:{status}") as instance:
        client, response = await ask(instance, request(b"GET"))
        assert response.status == status
        await client.get()
        assert (await client.response()).status == status


async def test_a_break_with_a_status_closes_the_connection() -> None:
    async with ruled("route-run = break:403 Go Away") as instance:
        client, response = await ask(instance, request(b"GET"))
        assert (response.status, response.reason) == (403, b"Go Away")
        assert response.fields[b"connection"] == b"close"
        assert await client.is_closed()


async def test_a_silent_break_closes_without_a_word() -> None:
    async with ruled("route-run = break:") as instance:
        client = await instance.connect()
        await client.get()
        assert await client.rest() == b""


async def test_a_rule_that_fails_is_an_error_page_and_not_silence() -> None:
    async with ruled("route-run = +:MISSING,1") as instance:
        _, response = await ask(instance, request(b"GET"))
        assert response.status == 500


async def test_an_answer_comes_before_the_body_of_its_request_is_there() -> None:
    async with ruled("route-run = break:413") as instance:
        data = request(b"POST", b"/", b"Content-Length: 100000", body=b"some of it")
        _, response = await ask(instance, data)
        assert response.status == 413


# Responses


async def test_headers_of_a_worker_s_response_are_added_and_dropped() -> None:
    async with ruled(
        "add-header = X-All: 1",
        "del-header = X-Secret",
        "route-run = addheader:X-One: ${PATH_INFO}",
    ) as instance:
        head = b"200 OK\r\nX-Secret: s\r\nX-App: a\r\nContent-Length: 5\r\n"
        _, response = await through(instance, request(b"GET"), head)
        assert lines(response) == [(b"X-App", b"a"), (b"X-All", b"1"), (b"X-One", b"/")]


async def test_the_error_chain_replaces_a_worker_s_response() -> None:
    async with ruled("error-route-status = 404 redirect:/lost?u=${REQUEST_URI}") as instance:
        head = b"404 Not Found\r\nContent-Length: 5\r\n"
        _, response = await through(instance, request(b"GET", b"/x"), head)
        assert (response.status, response.body) == (302, b"Moved")
        assert response.fields[b"location"] == b"/lost?u=/x"


async def test_the_lease_of_a_response_that_was_replaced_is_not_lost() -> None:
    async with ruled("error-route-status = 404 redirect:/lost") as instance:
        client = await instance.connect()
        await client.get()
        lease = await instance.workers.accept()
        for _ in range(3):
            await lease.packet()
            await lease.answer(b"no", b"404 Not Found\r\n")
            assert (await client.response()).status == 302
            await client.get()
        await lease.packet()
        await lease.answer()
        assert (await client.response()).status == 200


async def test_rules_for_responses_see_collected_headers() -> None:
    async with ruled(
        "pull-header = X-Kind KIND",
        "response-route-if = equal:${KIND};news addheader:X-News: yes",
    ) as instance:
        head = b"200 OK\r\nX-Kind: news\r\nContent-Length: 5\r\n"
        _, response = await through(instance, request(b"GET"), head)
        assert lines(response) == [(b"X-News", b"yes")]


async def test_nobody_answers_and_the_error_chain_says_what_the_client_gets(
    tmp_path: Path,
) -> None:
    nobody = f"{tmp_path}/nobody.sock"
    rules = ("error-route-status = 503 redirect:/sorry",)
    async with running(rules=rules, http_to=(nobody,)) as instance:
        _, response = await ask(instance, request(b"GET"))
        assert response.fields[b"location"] == b"/sorry"


async def test_final_rules_add_to_a_body_whose_length_is_not_said_yet() -> None:
    async with ruled("final-route-run = send:tail") as instance:
        _, response = await through(instance, request(b"GET"), b"200 OK\r\n", b"app ", 0)
        assert response.body == b"app tail"


async def test_final_rules_run_for_a_client_that_left(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "uwgate.route"):
        async with ruled("final-route-run = log:LEFT ${uwsgi[status]}") as instance:
            client = await instance.connect()
            await client.get()
            lease = await instance.workers.accept()
            await lease.packet()
            await lease.begin(b"x" * 10)
            await client.head()
            client.reset()
            assert await lease.is_closed_after(wire.encode_frame(0, b"", b"x"))
    assert [one.message for one in caplog.records if one.name == "uwgate.route"] == ["LEFT 200"]


# Transformations


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


# Other backends


async def test_a_rule_sends_a_request_to_a_uwsgi_backend(one: Uwsgi) -> None:
    rule = f"route = ^/there uwsgi:{one.address},5,6,shop"
    async with ruled(rule, "add-header = X-A: b") as instance:
        client = await instance.connect()
        await client.send(request(b"POST", b"/there", b"Content-Length: 3", body=b"abc"))
        backend = await one.accept()
        packet = await backend.packet()
        assert (packet.modifier1, packet.modifier2) == (5, 6)
        assert packet[b"UWSGI_APPID"] == b"shop"
        assert await backend.exactly(3) == b"abc"
        await backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        response = await client.response()
        assert (response.body, response.fields[b"x-a"]) == (b"hi", b"b")


async def test_a_rule_sends_a_request_to_an_http_backend(one: Uwsgi) -> None:
    async with ruled(f"route = ^/a/(.*) http:{one.address},other.example,/b/$1") as instance:
        client = await instance.connect()
        await client.get(b"/a/x?y=1", b"X-Mine: 1")
        backend = await one.accept()
        head = (await backend.until(b"\r\n\r\n")).split(b"\r\n")
        assert head[0] == b"GET /b/x HTTP/1.1"
        assert head[1] == b"Host: other.example"
        assert b"X-Mine: 1" in head
        assert b"X-Forwarded-For: 127.0.0.1" in head
        await backend.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        )
        assert (await client.response()).body == b"hi"


async def test_nothing_is_said_of_the_client_to_a_backend_of_httpdumb(one: Uwsgi) -> None:
    async with ruled(f"route-run = httpdumb:{one.address}") as instance:
        client = await instance.connect()
        await client.get(b"/x?y")
        backend = await one.accept()
        head = await backend.until(b"\r\n\r\n")
        assert head.startswith(b"GET /x?y HTTP/1.1\r\nHost: a.example\r\n")
        assert b"X-Forwarded" not in head
        await backend.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert (await client.response()).status == 204


async def test_a_backend_that_is_not_there_is_a_502(tmp_path: Path) -> None:
    async with ruled(f"route-run = uwsgi:{tmp_path}/nobody.sock,0,0") as instance:
        _, response = await ask(instance, request(b"GET"))
        assert response.status == 502


async def test_a_backend_that_takes_longer_than_its_rule_allows_is_a_504(one: Uwsgi) -> None:
    rules = ("route-run = harakiri:1", f"route-run = uwsgi:{one.address},0,0")
    async with ruled(*rules) as instance:
        _, response = await ask(instance, request(b"GET"))
        assert response.status == 504


# Files


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    (root / "page.txt").write_bytes(b"0123456789")
    (root / "large.bin").write_bytes(os.urandom(1 << 20))
    (tmp_path / "secret").write_bytes(b"secret")
    return root


async def test_a_file_is_served_with_its_type_and_ranges(docs: Path) -> None:
    async with ruled(f"route-run = static:{docs}${{PATH_INFO}}") as instance:
        client, response = await ask(instance, request(b"GET", b"/page.txt", b"Range: bytes=2-4"))
        assert (response.status, response.body) == (206, b"234")
        assert response.fields[b"content-type"] == b"text/plain"
        tag = response.fields[b"etag"]
        await client.get(b"/page.txt", b"If-None-Match: " + tag)
        assert (await client.response()).status == 304
        await client.send(request(b"HEAD", b"/page.txt"))
        assert (await client.response(b"HEAD")).fields[b"content-length"] == b"10"


async def test_a_part_of_a_file_is_not_compressed(docs: Path) -> None:
    async with ruled("route-run = gzip:", f"route-run = static:{docs}${{PATH_INFO}}") as instance:
        client, response = await ask(instance, request(b"GET", b"/page.txt", b"Range: bytes=2-4"))
        assert (response.status, response.body) == (206, b"234")
        await client.get(b"/page.txt")
        assert gzip.decompress((await client.response()).body) == b"0123456789"


async def test_a_large_file_arrives_whole(docs: Path) -> None:
    async with ruled(f"route-run = file:filename={docs}/large.bin") as instance:
        _, response = await ask(instance, request(b"GET"))
        assert response.body == (docs / "large.bin").read_bytes()
        assert response.fields[b"content-type"] == b"text/html"


async def test_a_file_that_is_not_there_leaves_the_request_to_the_worker(docs: Path) -> None:
    async with ruled(
        f"route-run = static-next:{docs}${{PATH_INFO}}",
        f"route-run = file-next:filename={docs}${{PATH_INFO}}.txt",
    ) as instance:
        _, response = await ask(instance, request(b"GET", b"/page.txt"))
        assert response.body == b"0123456789"
        _, response = await ask(instance, request(b"GET", b"/page"))
        assert response.body == b"0123456789"
        _, response = await through(instance, request(b"GET", b"/none"))
        assert response.body == b"hello"


@pytest.mark.parametrize("action", ["static:", "file:filename=", "sendfile:filename="])
@pytest.mark.parametrize("name", [b"../secret", b"x/../../secret", b"none"])
async def test_no_file_outside_of_its_folder_is_sent(docs: Path, action: str, name: bytes) -> None:
    async with ruled(f"route-qs = ^(.*)$ {action}{docs}/$1") as instance:
        _, response = await ask(instance, request(b"GET", b"/?" + name))
        assert response.status in (403, 404)
        assert b"secret" not in response.body


async def test_a_file_goes_through_transformations_unless_the_kernel_sends_it(docs: Path) -> None:
    (docs / "a.txt").write_bytes(b"abc")
    async with ruled(
        "route-run = toupper:",
        f"route = ^/file file:filename={docs}/a.txt",
        f"route = ^/kernel sendfile:filename={docs}/a.txt",
    ) as instance:
        _, response = await ask(instance, request(b"GET", b"/file"))
        assert response.body == b"ABC"
        _, response = await ask(instance, request(b"GET", b"/kernel"))
        assert response.body == b"abc"


async def test_the_page_for_an_error_is_a_file(docs: Path) -> None:
    rule = f"response-route-status = 404 file:filename={docs}/page.txt,status=404 Not Found"
    async with ruled(rule) as instance:
        head = b"404 Not Found\r\nContent-Length: 5\r\n"
        _, response = await through(instance, request(b"GET"), head)
        assert (response.status, response.body) == (404, b"0123456789")


# Questions


async def test_a_password_is_looked_up_in_a_file(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_bytes(b"joe:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")  # "test"
    async with ruled(f"route-run = basicauth:Area,{users}") as instance:
        _, response = await ask(instance, request(b"GET"))
        assert response.status == 401
        assert response.fields[b"www-authenticate"] == b'Basic realm="Area"'
        _, response = await ask(instance, request(b"GET", b"/", b"Authorization: Basic am9lOng="))
        assert response.status == 401
        packet, _ = await through(
            instance, request(b"GET", b"/", b"Authorization: Basic am9lOnRlc3Q=")
        )
        assert packet[b"REMOTE_USER"] == b"joe"


async def test_a_store_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    rule = f"route-run = memcached:addr={tmp_path}/nobody.sock,key=${{PATH_INFO}}"
    async with ruled(rule) as instance:
        _, response = await through(instance, request(b"GET"))
        assert response.body == b"hello"


async def test_an_answer_comes_from_memcached(one: Uwsgi) -> None:
    rule = f"route-run = memcached:addr={one.address},key=${{PATH_INFO}},content_type=a/b"
    async with ruled(rule) as instance:
        client = await instance.connect()
        await client.get(b"/x")
        store = await one.accept()
        assert await store.until(b"\r\n") == b"get /x\r\n"
        await store.send(b"VALUE /x 0 4\r\nkept\r\nEND\r\n")
        response = await client.response()
        assert (response.body, response.fields[b"content-type"]) == (b"kept", b"a/b")


async def test_a_response_is_kept_in_redis(one: Uwsgi) -> None:
    async with ruled(f"route-run = redisstore:addr={one.address},key=k,expires=9") as instance:
        await through(instance, request(b"GET"))
        store = await one.accept()
        expected = b"*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n$2\r\nEX\r\n$1\r\n9\r\n"
        assert await store.exactly(len(expected)) == expected
        await store.send(b"+OK\r\n")


# WebSocket


async def test_a_rule_refuses_a_websocket() -> None:
    async with ruled("route-run = break:403") as instance:
        handshake = request(
            b"GET",
            b"/",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        _, response = await ask(instance, handshake)
        assert response.status == 403


# Whose rules they are


def test_who_gets_requests_on_a_socket_of_our_workers_runs_the_rules() -> None:
    with listen() as door:
        start = start_of(door, None, http_to=("/run/app.sock",))
        assert not sends_to_own_sockets(start)
        bound = (("http", "127.0.0.1:1"), ("uwsgi", "/run/app.sock"))
        assert sends_to_own_sockets(dataclasses.replace(start, bound=bound))


# Attacks and accidents


async def test_a_head_that_rules_make_too_large_is_a_500() -> None:
    rules = [f"route-run = addheader:X-{number}: ${{HTTP_X}}" for number in range(10)]
    async with running(rules=rules, http_head_limit=65536, http_header_limit=65536) as instance:
        data = request(b"GET", b"/", b"X: " + b"x" * 8000)
        for _ in range(2):  # in the lane
            _, response = await through(instance, data)
            assert response.status == 500
            instance.workers.leases.pop().close()


async def test_a_request_that_rules_make_too_large_is_a_431() -> None:
    rules = [f"route-run = addvar:V{number}=${{HTTP_X}}" for number in range(10)]
    async with running(rules=rules, http_head_limit=65536, http_header_limit=65536) as instance:
        _, response = await ask(instance, request(b"GET", b"/", b"X: " + b"x" * 8000))
        assert response.status == 431


async def test_a_store_that_does_not_answer_is_given_up(one: Uwsgi, hurried_clock: Clock) -> None:
    del hurried_clock
    async with ruled(f"route-run = redis:addr={one.address},key=k") as instance:
        client = await instance.connect()
        began = trio.current_time()
        await client.get()
        await one.accept()
        lease = await instance.workers.accept()
        await lease.packet()
        assert trio.current_time() - began >= TIMEOUT
        await lease.answer()
        assert (await client.response()).body == b"ok"


async def test_a_client_that_leaves_ends_what_its_rules_wait_for(one: Uwsgi) -> None:
    async with ruled(f"route-run = redis:addr={one.address},key=k") as instance:
        client = await instance.connect()
        await client.get()
        store = await one.accept()
        await store.until(b"k\r\n")
        client.reset()
        assert await store.rest() == b""  # the gateway has closed


async def test_more_passwords_than_can_be_checked_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "WAITING", 0)
    rule = f"route-run = basicauth:Area,{tmp_path}/users"
    async with ruled(rule) as instance:
        _, response = await ask(instance, request(b"GET", b"/", b"Authorization: Basic am9lOng="))
        assert response.status == 503


async def test_a_websocket_that_rules_let_through_is_a_tunnel() -> None:
    async with ruled("route-run = addvar:TAG=1", "add-header = X-A: b", "route-run = gzip:") as one:
        client = await one.connect()
        key = b"dGhlIHNhbXBsZSBub25jZQ=="
        await client.get(
            b"/",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: " + key,
        )
        lease = await one.workers.accept()
        assert (await lease.packet())[b"TAG"] == b"1"
        accept = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        head = b"101 Switching Protocols\r\nSec-WebSocket-Accept: %b\r\n" % accept
        await lease.frame(wire.HEAD | wire.TUNNEL, head)
        assert (await client.head()).status == 101
        await client.send(b"up")
        assert await lease.exactly(2) == b"up"
        await lease.send(b"down")
        assert await client.exactly(4) == b"down"


# The options for static files


async def test_files_of_maps_come_before_rules_and_get_their_headers(docs: Path) -> None:
    static = StaticOptions(static_map=(f"/files={docs}",))
    rules = ("route-run = break:403", "add-header = X-A: b")
    async with running(rules=rules, static=static) as instance:
        _, response = await ask(instance, request(b"GET", b"/files/page.txt"))
        assert (response.status, response.body) == (200, b"0123456789")
        assert response.fields[b"x-a"] == b"b"
        _, response = await ask(instance, request(b"GET", b"/files/large.bin"))
        assert response.body == (docs / "large.bin").read_bytes()
        _, response = await ask(instance, request(b"GET", b"/files/none"))
        assert response.status == 403


async def test_a_file_that_an_application_names_is_not_transformed(docs: Path) -> None:
    static = StaticOptions(static_map=(f"/files={docs}",), static_x_sendfile=True)
    rules = ("route-run = gzip:", "add-header = X-A: b")
    async with running(rules=rules, static=static) as instance:
        head = b"200 OK\r\nX-Sendfile: %b\r\nContent-Length: 0\r\n" % bytes(docs / "page.txt")
        _, response = await through(
            instance, request(b"GET"), head, b"", wire.LENGTH | wire.NAMES_FILE
        )
        assert response.body == b"0123456789"
        assert response.fields[b"x-a"] == b"b"


async def test_what_a_rule_has_sent_stands_before_an_answer_that_is_transformed() -> None:
    rules = ("route-run = send:abc", "route-run = toupper:", "route-run = return:404")
    async with ruled(*rules) as instance:
        client, response = await ask(instance, request(b"GET"))
        assert (response.status, response.body) == (404, b"ABCNOT FOUND")
        await client.send(request(b"GET"))
        assert (await client.response(b"GET")).body == b"ABCNOT FOUND"


async def test_the_same_answer_again_is_the_same_but_for_what_the_request_decides() -> None:
    rules = ("route-run = addheader:X-Path: ${PATH_INFO}", "route-run = return:404")
    async with ruled(*rules) as instance:
        _, first = await ask(instance, request(b"GET", b"/a"))
        _, second = await ask(instance, request(b"GET", b"/b"))
        _, third = await ask(instance, request(b"GET", b"/a"))
        _, bare = await ask(instance, request(b"HEAD", b"/a"))
    assert lines(first) == lines(third) != lines(second)
    assert (b"X-Path", b"/b") in second.lines
    assert first.body == third.body
    assert (bare.status, bare.body) == (404, b"")
    assert lines(bare) == lines(first)


# Experts


class Expert:
    """Answers questions in a thread, when it is let."""

    def __init__(self, reply: Reply = None) -> None:
        self.reply = reply
        self.may_answer = threading.Event()
        self.was_asked = threading.Event()
        self.asked: list[object] = []

    def answer(self, question: object) -> Reply:
        self.asked.append(question)
        self.was_asked.set()
        assert self.may_answer.wait(60)
        return self.reply


@pytest.fixture
def expert(monkeypatch: pytest.MonkeyPatch) -> Expert:
    found = Expert()
    monkeypatch.setattr(libraries, "is_installed", lambda module: True)
    monkeypatch.setattr(functions, "load", lambda actions: None)
    monkeypatch.setattr(policy, "Experts", lambda look_up, say: found)
    return found


LDAP = "route = ^/in ldapauth:A,url=ldap://x;basedn=dc=x"
EVE = b"Authorization: Basic ZXZlOnB3"


async def test_others_go_on_while_an_expert_is_asked(expert: Expert) -> None:
    async with ruled(LDAP) as instance:
        expert.reply = b"eve"
        client = await instance.connect()
        await client.send(request(b"GET", b"/in", EVE))
        await trio.to_thread.run_sync(expert.was_asked.wait, 60)
        other = await instance.connect()
        await other.send(request(b"GET", b"/out"))
        lease = await instance.workers.accept()
        assert (await lease.packet())[b"PATH_INFO"] == b"/out"
        await lease.answer(b"", b"200 OK\r\nContent-Length: 0\r\n", wire.LENGTH)
        assert (await other.response(b"GET")).status == 200
        expert.may_answer.set()
        assert (await lease.packet())[b"REMOTE_USER"] == b"eve"
        await lease.answer(b"", b"200 OK\r\nContent-Length: 0\r\n", wire.LENGTH)
        assert (await client.response(b"GET")).status == 200


@pytest.mark.parametrize(("reply", "status"), [(None, 401), (Failed("it is down", 503), 503)])
async def test_an_expert_can_refuse_or_know_nothing(
    expert: Expert, reply: Reply, status: int
) -> None:
    expert.reply = reply
    expert.may_answer.set()
    async with ruled(LDAP) as instance:
        _, response = await ask(instance, request(b"GET", b"/in", EVE))
        assert response.status == status


async def test_a_response_is_transformed_beside_the_loop(expert: Expert) -> None:
    expert.reply = b"<p>"
    expert.may_answer.set()
    async with ruled("route-run = toxslt:stylesheet=/s") as instance:
        _, response = await through(instance, request(b"GET", b"/"))
        assert response.body == b"<p>"
        assert (b"Content-Type", b"text/html") in response.lines
        assert expert.asked == [ApplyStylesheet(b"/s", None, content=b"hello")]


async def test_what_cannot_be_transformed_is_an_error_without_the_body(expert: Expert) -> None:
    expert.reply = Failed("no such file", 404)
    expert.may_answer.set()
    async with ruled("route-run = toxslt:stylesheet=/s") as instance:
        _, response = await through(instance, request(b"GET", b"/"))
        assert response.status == 500
        assert b"hello" not in response.body
