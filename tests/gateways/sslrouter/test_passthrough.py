"""TLS that passes through: the name decides, and nothing is changed."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.gateways.corerouter.routers import announce
from tests.gateways.peers import Stream, Uwsgi
from tests.gateways.sslrouter.instance import passing
from tests.gateways.wire.test_client_hello import GREASE, alpn, extension, message, name, records
from uwgate.gateways.sslrouter.passthrough import key_of
from uwgate.gateways.wire.client_hello import (
    DECODE_ERROR,
    INTERNAL_ERROR,
    UNEXPECTED_MESSAGE,
    UNRECOGNIZED_NAME,
    ClientHello,
    HelloError,
    fatal_alert,
)

SERVER = "127.0.0.1:4000"  # nobody binds it


def hello(server_name: bytes = b"a.example", *protocols: bytes) -> bytes:
    """A client's first record."""
    extensions = [extension(GREASE, b"")]
    if server_name:
        extensions.append(name(server_name))
    if protocols:
        extensions.append(alpn(*protocols))
    return records(message(*extensions))


async def expect(server: Stream, data: bytes) -> None:
    """Exactly this comes first."""
    assert await server.exactly(len(data)) == data


@pytest.mark.parametrize("protocol", [False, True])
async def test_the_name_picks_the_node_and_the_bytes_are_the_clients(protocol: bool) -> None:
    backends = [Uwsgi.on_tcp(), Uwsgi.on_tcp()]
    keys = ("a.example@h2", "b.example@h2") if protocol else ("a.example", "b.example")
    options = {"sslrouter_alpn_key": ("h2",)} if protocol else {}
    async with passing(subscription_server=(SERVER,), **options) as gateway:
        for key, backend in zip(keys, backends, strict=True):
            announce(gateway.gateway.corerouter, backend.address, key=key)
        for server_name, backend in zip((b"a.example", b"B.example"), backends, strict=True):
            client = await gateway.connect()
            data = hello(server_name, b"http/1.1", b"h2") + b"early data"
            await client.send(data)
            async with await backend.accept() as server:
                await expect(server, data)
                await server.send(b"hello")
                assert await client.exactly(5) == b"hello"
                await client.send(b"more")
                await expect(server, b"more")
    for backend in backends:
        backend.close()


async def test_a_hello_may_come_byte_by_byte() -> None:
    backend = Uwsgi.on_tcp()
    async with passing(to=(backend.address,)) as gateway:
        client = await gateway.connect()
        data = hello()
        for byte in data:
            await client.send(bytes((byte,)))
        async with await backend.accept() as server:
            await expect(server, data)
    backend.close()


async def test_without_a_name_the_address_is_the_key() -> None:
    backend = Uwsgi.on_tcp()
    async with passing(subscription_server=(SERVER,)) as gateway:
        announce(gateway.gateway.corerouter, backend.address, key="door")
        client = await gateway.connect()
        await client.send(hello(b""))
        async with await backend.accept() as server:
            await expect(server, hello(b""))
    backend.close()


async def test_the_hello_goes_to_another_backend_when_one_refuses() -> None:
    nobody = Uwsgi.on_tcp()
    address = nobody.address
    nobody.close()
    backend = Uwsgi.on_tcp()
    async with passing(to=(address, backend.address)) as gateway:
        client = await gateway.connect()
        await client.send(hello())
        async with await backend.accept() as server:
            await expect(server, hello())
    backend.close()


async def test_a_proxy_header_stands_before_the_hello() -> None:
    backend = Uwsgi.on_tcp()
    async with passing(to=(backend.address,), backend_proxy_protocol=1) as gateway:
        client = await gateway.connect()
        await client.send(hello())
        async with await backend.accept() as server:
            assert (await server.until(b"\r\n")).startswith(b"PROXY TCP4 127.0.0.1 ")
            await expect(server, hello())
    backend.close()


@pytest.mark.parametrize(
    ("first", "alert"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", UNEXPECTED_MESSAGE),
        (records(b"\x01\0\0\x01x"), DECODE_ERROR),
        (hello(b"../../etc"), DECODE_ERROR),
    ],
)
async def test_what_is_no_hello_gets_an_alert_and_is_counted(first: bytes, alert: int) -> None:
    async with passing(to=("127.0.0.1:1",)) as gateway:
        client = await gateway.connect()
        await client.send(first)
        assert await client.rest() == fatal_alert(alert)
        assert gateway.gateway.counters["client-hello"] == 1


async def test_an_unknown_name_and_a_dead_backend_are_told_apart() -> None:
    async with passing(subscription_server=(SERVER,)) as gateway:
        client = await gateway.connect()
        await client.send(hello())
        assert await client.rest() == fatal_alert(UNRECOGNIZED_NAME)
        nobody = Uwsgi.on_tcp()
        nobody.close()
        announce(gateway.gateway.corerouter, "127.0.0.1:1", key="a.example")
        client = await gateway.connect()
        await client.send(hello())
        assert await client.rest() == fatal_alert(INTERNAL_ERROR)


async def test_who_closes_in_the_middle_is_counted_and_who_says_nothing_is_not() -> None:
    async with passing(to=("127.0.0.1:1",)) as gateway:
        (await gateway.connect()).half_close()
        assert await gateway.is_empty()
        assert gateway.gateway.counters["client-hello"] == 0
        client = await gateway.connect()
        await client.send(hello()[:20])
        client.half_close()
        assert await client.rest() == b""
        assert gateway.gateway.counters["client-hello"] == 1


async def test_a_hello_has_to_end(autojump_clock: trio.testing.MockClock) -> None:
    async with passing(to=("127.0.0.1:1",), sslrouter_handshake_timeout=3.0) as gateway:
        client = await gateway.connect()
        await client.send(hello()[:20])
        began = trio.current_time()
        assert await client.rest() == b""
        assert 2.0 <= trio.current_time() - began <= 5.0


@pytest.mark.parametrize(
    ("found", "key"),
    [
        (ClientHello(server_name=b"A.example."), "a.example"),
        (ClientHello(), "door"),
        (ClientHello(server_name=b"a", protocols=(b"x", b"h2", b"acme-tls/1")), "a@h2"),
        (ClientHello(protocols=(b"acme-tls/1",)), "door@acme-tls/1"),
        (ClientHello(server_name=b"a", protocols=(b"http/1.1",)), "a"),
    ],
)
def test_the_key_is_the_name_and_perhaps_a_protocol(found: ClientHello, key: str) -> None:
    assert key_of(found, "door", frozenset((b"h2", b"acme-tls/1"))) == key


@pytest.mark.parametrize("server_name", [b"*.example", b"a b", b"\xff", b"a\0", b"x" * 300])
def test_a_name_that_is_none_is_refused(server_name: bytes) -> None:
    with pytest.raises(HelloError):
        key_of(ClientHello(server_name=server_name), "door", frozenset())
