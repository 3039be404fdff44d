"""Subscribed nodes behind the HTTP gateway."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio
import trio.testing

from tests.gateways.corerouter.routers import leave, table_of
from tests.gateways.instance import running
from tests.gateways.nodes import KEY, OK, SERVER, node_of, served_by, subscribe
from tests.gateways.peers import Backend, Uwsgi, request

# Which node


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example"),
        (b"GET / HTTP/1.1\r\nHost: A.Example\r\n\r\n", "a.example"),
        (b"GET / HTTP/1.1\r\nHost: a.example:80\r\n\r\n", "a.example:80"),
        (b"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "b.example"),
        (b"GET / HTTP/1.0\r\n\r\n", socket.gethostname()),
    ],
)
async def test_the_host_decides(one: Uwsgi, data: bytes, key: str) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one, key=key)
        client = await instance.connect()
        await client.send(data)
        connection = await one.accept()
        await connection.packet()
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


async def test_a_host_that_nobody_serves_is_503(one: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one)
        client = await instance.connect()
        await client.get(host=b"other.example")
        response = await client.response()
        assert (response.status, response.fields[b"retry-after"]) == (503, b"1")


async def test_the_path_may_belong_to_the_key(one: Uwsgi, two: Uwsgi) -> None:
    # Mountpoints are an option of all subscription servers.
    async with running(http_subscription_server=SERVER, subscription_mountpoints=1) as instance:
        subscribe(instance, one)
        subscribe(instance, two, key=f"{KEY}/shop")
        client = await instance.connect()
        await served_by(one, client, target=b"/other")
        await served_by(two, client, target=b"/shop/cart?x=/other")
        # What the node is told is what counts, however it was written.
        await served_by(one, client, target=b"/shop/../other")
        await served_by(two, client, target=b"/%73hop")
        await served_by(two, client, target=b"http://a.example/shop/cart")


async def test_modifiers_are_those_of_the_node_unless_an_option_has_others(one: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER, http_modifier2=9) as instance:
        subscribe(instance, one, modifier1=5, modifier2=1)
        client = await instance.connect()
        await client.get()
        connection = await one.accept()
        packet = await connection.packet()
        assert (packet.modifier1, packet.modifier2) == (5, 9)
        await connection.send(OK)
        await client.response()


async def test_a_node_that_says_so_is_spoken_to_in_http(one: Uwsgi, two: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one, proto="http")
        subscribe(instance, two)
        client = await instance.connect()
        await served_by(two, client)
        await client.get(b"/x")
        connection = await one.accept()
        head = await connection.until(b"\r\n\r\n")
        assert head.startswith(b"GET /x HTTP/1.1\r\nHost: a.example\r\n")
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


async def test_chunks_that_are_passed_on_are_not_chunked_again(one: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER, http_raw_body=True) as instance:
        subscribe(instance, one, proto="http")
        client = await instance.connect()
        data = b"2;x=y\r\nab\r\n0\r\n\r\n"
        await client.send(request(b"POST", b"/", b"Transfer-Encoding: chunked", body=data))
        connection = await one.accept()
        head = await connection.until(b"\r\n\r\n")
        assert head.count(b"Transfer-Encoding: chunked\r\n") == 1
        assert await connection.exactly(len(data)) == data
        await connection.send(OK)
        assert (await client.response()).body == b"ok"


async def test_the_bytes_of_a_tunnel_are_counted(one: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one)
        client = await instance.connect()
        key = b"dGhlIHNhbXBsZSBub25jZQ=="
        lines = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13")
        await client.get(b"/", *lines, b"Sec-WebSocket-Key: " + key)
        connection = await one.accept()
        await connection.packet()
        head = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )
        await connection.send(head + b"first")
        await client.until(b"first")
        node = node_of(instance, one)
        await client.send(b"x" * 100)
        assert await connection.exactly(100) == b"x" * 100
        await connection.send(b"y" * 50)
        await client.until(b"y" * 50)
        assert node.reference == 1  # it runs there
        connection.close()
        await client.rest()
        await trio.testing.wait_all_tasks_blocked()
        assert node.tx == len(head) + 5 + 50
        assert node.reference == 0


# Leaving, and room


async def test_a_node_that_leaves_finishes_what_it_runs(one: Uwsgi, two: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, two, one)
        slow = await instance.connect()
        await slow.get()
        connection = await one.accept()
        await connection.packet()
        leave(instance.gateway.router, one.address, key=KEY)
        client = await instance.connect()
        for _ in range(3):
            await served_by(two, client)
        assert one.address in table_of(instance.gateway.router).slots[KEY].members
        await connection.send(OK)
        assert (await slow.response()).body == b"ok"
        await trio.testing.wait_all_tasks_blocked()
        assert one.address not in table_of(instance.gateway.router).slots[KEY].members


async def test_a_request_waits_until_there_is_room(one: Uwsgi) -> None:
    async with running(
        http_subscription_server=SERVER, http_node_connections=1, http_node_pending=1
    ) as instance:
        subscribe(instance, one)
        first, second, third = [await instance.connect() for _ in range(3)]
        await first.get(b"/1")
        connection = await one.accept()
        await connection.packet()
        await second.get(b"/2")
        assert await one.is_idle()
        await third.get(b"/3")
        assert (await third.response()).status == 503
        await connection.send(OK)
        assert (await first.response()).status == 200
        connection = await one.accept()
        assert (await connection.packet())[b"PATH_INFO"] == b"/2"
        await connection.send(OK)
        assert (await second.response()).status == 200


async def test_bytes_are_counted_in_both_directions(one: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER) as instance:
        subscribe(instance, one)
        client = await instance.connect()
        await client.send(request(b"POST", b"/", b"Content-Length: 5", body=b"hello"))
        connection = await one.accept()
        packet = await connection.packet()
        size = 4 + sum(4 + len(name) + len(value) for name, value in packet.variables)
        await connection.send(OK)
        await client.response()
        await served_by(one, client)
        await trio.testing.wait_all_tasks_blocked()
        node = node_of(instance, one)
        assert node.tx == 2 * len(OK)
        assert node.rx > size + 5
        assert (node.requests, node.reference) == (2, 0)


# Cheap


async def test_a_cheap_gateway_opens_with_its_first_node_and_closes_with_its_last(
    one: Uwsgi,
) -> None:
    async with running(http_subscription_server=SERVER, http_cheap=True) as instance:
        client = await instance.connect()  # the kernel takes it
        await client.get()
        assert await client.is_silent()
        subscribe(instance, one)
        connection = await one.accept()
        await connection.packet()
        await connection.send(OK)
        assert (await client.response()).body == b"ok"
        await trio.testing.wait_all_tasks_blocked()  # until then it runs there
        leave(instance.gateway.router, one.address, key=KEY)
        client = await instance.connect()
        await client.get()
        assert await client.is_silent()


# Staying with a node


async def test_a_cookie_binds_a_client_to_its_node(one: Uwsgi, two: Uwsgi) -> None:
    async with running(http_subscription_server=SERVER, http_sticky="node") as instance:
        subscribe(instance, one, two)
        client = await instance.connect()
        response = await served_by(two, client)
        cookie, _, attributes = response.fields[b"set-cookie"].partition(b"; ")
        assert cookie.startswith(b"node=")
        assert attributes == b"Path=/; HttpOnly; SameSite=Lax"
        for _ in range(3):
            line = b"Cookie: other=1; %b; node=2" % cookie
            assert b"set-cookie" not in (await served_by(two, client, line)).fields
        leave(instance.gateway.router, two.address, key=KEY)
        response = await served_by(one, client, b"Cookie: " + cookie)
        assert response.fields[b"set-cookie"].startswith(b"node=")
        assert response.fields[b"set-cookie"].partition(b";")[0] != cookie


@pytest.mark.parametrize(
    ("how", "lines", "targets"),
    [
        ("path", (), (b"/x?1", b"/x?2", b"/x")),
        ("cookie user", (b"Cookie: user=x",), (b"/1", b"/2", b"/3")),
        ("header X-User", (b"X-User: x",), (b"/1", b"/2", b"/3")),
        ("client", (), (b"/1", b"/2", b"/3")),
    ],
)
async def test_what_belongs_together_goes_to_one_node(
    one: Uwsgi, two: Uwsgi, how: str, lines: tuple[bytes, ...], targets: tuple[bytes, ...]
) -> None:
    options: dict[str, Any] = {"http_algo": "chash", "http_hash": how}
    async with running(http_subscription_server=SERVER, **options) as instance:
        subscribe(instance, one, two)
        client = await instance.connect()
        for target in targets:
            await client.get(target, *lines)
            connection = await _accept_one_of(one, two)
            await connection.packet()
            await connection.send(OK)
            await client.response()
        assert sorted(len(backend.connections) for backend in (one, two)) == [0, 3]


async def _accept_one_of(*backends: Uwsgi) -> Backend:
    found: list[Backend] = []
    async with trio.open_nursery() as nursery:

        async def accept(backend: Uwsgi) -> None:
            found.append(await backend.accept())
            nursery.cancel_scope.cancel()

        for backend in backends:
            nursery.start_soon(accept, backend)
    return found[0]
