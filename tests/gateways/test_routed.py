"""Routing rules at work in the HTTP gateway: what clients and workers see of them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
import trio
from trio.abc import Clock

from tests.gateways.instance import listen, running, start_of
from tests.gateways.peers import Uwsgi, request
from tests.gateways.routed import ask, lines, ruled, through
from uwgate.gateways.routed import questions
from uwgate.gateways.routed.policy import sends_to_own_sockets
from uwgate.gateways.routed.stores import TIMEOUT
from uwgate.gateways.wire import lease as wire

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
