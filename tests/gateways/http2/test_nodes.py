"""Subscribed nodes for requests of HTTP/2."""

from __future__ import annotations

from pathlib import Path

import trio.testing

from tests.gateways.corerouter.routers import announce, table_of
from tests.gateways.http2.client import CANCEL, RST_STREAM, fields_of, frame, pack, talking
from tests.gateways.peers import Uwsgi

SERVER = ("127.0.0.1:1",)  # nobody binds it
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_the_authority_decides_which_node_serves(tmp_path: Path) -> None:
    node = Uwsgi.on_path(str(tmp_path / "node.sock"))
    async with talking(http_subscription_server=SERVER, http_sticky="node") as talk:
        router = talk.instance.gateway.router
        announce(router, node.address, key="a.example", now=router.clock())
        announce(router, str(tmp_path / "gone.sock"), key="a.example", now=router.clock())
        await talk.client.request(1)
        connection = await node.accept()
        assert (await connection.packet())[b"HTTP_HOST"] == b"a.example"
        await connection.send(OK)
        response = await talk.client.response(1)
        assert (response.status, response.body) == (200, b"ok")
        (cookie,) = (value for name, value in response.lines if name == b"set-cookie")
        await talk.client.request(3, fields_of(b"/", (b"cookie", cookie.partition(b";")[0])))
        connection = await node.accept()
        await connection.packet()
        await connection.send(OK)
        response = await talk.client.response(3)
        assert b"set-cookie" not in dict(response.lines)
        await trio.testing.wait_all_tasks_blocked()
        assert table_of(router).slots["a.example"].reference == 0
    node.close()


async def test_nobody_is_503_with_the_time_to_come_back(tmp_path: Path) -> None:
    async with talking(http_subscription_server=SERVER, http_eject_time=7) as talk:
        router = talk.instance.gateway.router
        announce(router, str(tmp_path / "gone.sock"), key="a.example", now=router.clock())
        await talk.client.request(1)
        response = await talk.client.response(1)
        assert response.status == 503
        assert 1 <= int(dict(response.lines)[b"retry-after"]) <= 7


async def test_a_stream_that_is_reset_ends_its_request_at_the_node(tmp_path: Path) -> None:
    node = Uwsgi.on_path(str(tmp_path / "node.sock"))
    async with talking(http_subscription_server=SERVER) as talk:
        router = talk.instance.gateway.router
        announce(router, node.address, key="a.example", now=router.clock())
        await talk.client.request(1)
        connection = await node.accept()
        await connection.packet()
        await talk.client.send(frame(RST_STREAM, 0, 1, pack(CANCEL)))
        assert await connection.rest() == b""
        found = table_of(router).slots["a.example"].members[node.address]
        assert (found.reference, found.health.row) == (0, 0)
    node.close()
