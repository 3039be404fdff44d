"""Whom rules of the HTTP gateway ask: other backends, stores, and experts of libraries."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio

from tests.gateways.peers import Uwsgi, request
from tests.gateways.routed import ask, ruled, through
from uwgate.gateways.routed import functions, policy
from uwgate.gateways.wire import lease as wire
from uwgate.routing import libraries
from uwgate.routing.results import ApplyStylesheet, Failed, Reply

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
