"""TLS that ends at the sslrouter, told from both ends."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.certificates import Authority
from tests.gateways.corerouter.routers import announce
from tests.gateways.peers import PATIENCE, Stream, Uwsgi
from tests.gateways.rawrouter.instance import Instance
from tests.gateways.sslrouter.instance import client_context, secured, terminating
from uwgate.gateways.sslrouter import tlvs
from uwgate.gateways.wire import proxy_protocol
from uwgate.gateways.wire.proxy_protocol import TLV_SSL

SERVER = "127.0.0.1:4000"  # nobody binds it
LARGE = bytes(range(256)) * 8192  # 2 MiB

Secured = trio.SSLStream[trio.SocketStream]


@pytest.fixture(scope="module")
def root() -> Authority:
    return Authority()


async def exactly(stream: Secured, size: int) -> bytes:
    data = b""
    with trio.fail_after(PATIENCE):
        while len(data) < size:
            more = await stream.receive_some()
            assert more
            data += more
    return data


async def test_a_backend_may_speak_first(tmp_path: Path, root: Authority) -> None:
    backend = Uwsgi.on_tcp()
    async with terminating(tmp_path, root.server("a.example"), to=(backend.address,)) as gateway:
        client = await secured(gateway, client_context(root), "a.example")
        async with await backend.accept() as server:
            await server.send(b"220 hello")
            assert await exactly(client, 9) == b"220 hello"
    backend.close()


async def test_many_bytes_go_both_ways_at_once(tmp_path: Path, root: Authority) -> None:
    backend = Uwsgi.on_tcp()
    async with terminating(tmp_path, root.server("a.example"), to=(backend.address,)) as gateway:
        client = await secured(gateway, client_context(root), "a.example")
        async with await backend.accept() as server:
            got: dict[str, bytes] = {}

            async def receive_up() -> None:
                got["up"] = await server.exactly(len(LARGE))

            async def receive_down() -> None:
                got["down"] = await exactly(client, len(LARGE))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive_up)
                nursery.start_soon(receive_down)
                nursery.start_soon(client.send_all, LARGE)
                nursery.start_soon(server.send, LARGE)
            assert got == {"up": LARGE, "down": LARGE}
    backend.close()


async def test_a_close_notify_is_an_end_of_file_and_the_answer_still_comes(
    tmp_path: Path, root: Authority
) -> None:
    backend = Uwsgi.on_tcp()
    async with terminating(tmp_path, root.server("a.example"), to=(backend.address,)) as gateway:
        plain = await gateway.connect()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context(root).wrap_bio(incoming, outgoing, server_hostname="a.example")

        async def shake_hands() -> None:
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    await plain.send(outgoing.read())
                    incoming.write(await plain.receive())
                    continue
                await plain.send(outgoing.read())
                return

        await shake_hands()
        async with await backend.accept() as server:
            tls.write(b"last words")
            with pytest.raises(ssl.SSLWantReadError):
                tls.unwrap()  # sends close_notify, and wants that of the other side
            await plain.send(outgoing.read())
            assert await server.exactly(10) == b"last words"
            assert await server.rest() == b""
            await server.send(b"answer")
        data = await plain.rest()
        assert data  # records: the answer and a close_notify
        incoming.write(data)
        # Python's module reads nothing behind its own close_notify but the other one's.
        with pytest.raises(ssl.SSLError, match="APPLICATION_DATA_AFTER_CLOSE_NOTIFY"):
            tls.unwrap()
    backend.close()


async def test_a_backend_that_ends_is_told_by_a_close_notify_and_still_hears(
    tmp_path: Path, root: Authority
) -> None:
    backend = Uwsgi.on_tcp()
    async with terminating(tmp_path, root.server("a.example"), to=(backend.address,)) as gateway:
        client = await secured(gateway, client_context(root), "a.example")
        async with await backend.accept() as server:
            await server.send(b"all")
            server.half_close()
            assert await exactly(client, 3) == b"all"
            assert await client.receive_some() == b""  # an error without close_notify
            await client.send_all(b"still here")
            assert await server.exactly(10) == b"still here"
    backend.close()


async def test_a_backend_that_breaks_off_is_no_clean_end(tmp_path: Path, root: Authority) -> None:
    backend = Uwsgi.on_tcp()
    async with terminating(tmp_path, root.server("a.example"), to=(backend.address,)) as gateway:
        client = await secured(gateway, client_context(root), "a.example")
        async with await backend.accept() as server:
            await server.send(b"half")
            assert await exactly(client, 4) == b"half"
            server.reset()
            server.close()
            with pytest.raises(trio.BrokenResourceError):
                await client.receive_some()
    backend.close()


async def test_nodes_are_found_by_the_name_with_sni(tmp_path: Path, root: Authority) -> None:
    backends = {key: Uwsgi.on_tcp() for key in ("a.example", "door")}
    async with terminating(
        tmp_path, root.server("a.example"), sslrouter_sni=True, subscription_server=(SERVER,)
    ) as gateway:
        for key, backend in backends.items():
            announce(gateway.gateway.corerouter, backend.address, key=key)
        for name, key in (("A.Example", "a.example"), (None, "door")):
            client = await secured(gateway, client_context(), name)
            async with await backends[key].accept() as server:
                await server.send(key.encode())
                assert await exactly(client, len(key)) == key.encode()
    for backend in backends.values():
        backend.close()


async def test_without_the_option_the_address_is_the_key(tmp_path: Path, root: Authority) -> None:
    backend = Uwsgi.on_tcp()
    async with terminating(
        tmp_path, root.server("a.example"), subscription_server=(SERVER,)
    ) as gateway:
        announce(gateway.gateway.corerouter, backend.address, key="door")
        client = await secured(gateway, client_context(root), "a.example")
        async with await backend.accept() as server:
            await server.send(b"x")
            assert await exactly(client, 1) == b"x"
    backend.close()


async def test_clients_may_offer_any_protocol(tmp_path: Path, root: Authority) -> None:
    backend = Uwsgi.on_tcp()
    async with terminating(tmp_path, root.server("a.example"), to=(backend.address,)) as gateway:
        client = await secured(gateway, client_context(root, "imap"), "a.example")
        async with await backend.accept() as server:
            await server.send(b"x")
            assert await exactly(client, 1) == b"x"
    backend.close()


async def test_a_backend_is_told_of_client_name_and_certificate(
    tmp_path: Path, root: Authority
) -> None:
    people = Authority("People")
    authority = people.write(tmp_path, "people.pem")
    crt, key = people.client("alice").write(tmp_path, "alice")
    context = client_context(root)
    context.load_cert_chain(crt, key)
    backend = Uwsgi.on_tcp()
    async with terminating(
        tmp_path,
        root.server("a.example"),
        f"!{authority}",
        to=(backend.address,),
        backend_proxy_protocol=2,
    ) as gateway:
        client = await secured(gateway, context, "a.example")
        async with await backend.accept() as server:
            header = await proxy_header(server)
            assert header.source == client.transport_stream.socket.getsockname()
            assert header.client_spoke_tls
            values = dict(header.tlvs)
            assert values[tlvs.AUTHORITY] == b"a.example"
            assert values[TLV_SSL][:5] == b"\x07\0\0\0\0"
            assert b"alice" in values[TLV_SSL]
            assert b"TLSv1.3" in values[TLV_SSL]
    backend.close()


async def proxy_header(server: Stream) -> proxy_protocol.ProxyHeader:
    while True:
        await server.fill()
        found = proxy_protocol.decode(server.buffer)
        if found is not None:
            return found[0]


async def refused(gateway: Instance, first: bytes) -> bytes:
    """What a client gets for its first bytes."""
    client = await gateway.connect()
    await client.send(first)
    return await client.rest()


async def test_who_speaks_no_tls_is_refused_and_counted(tmp_path: Path, root: Authority) -> None:
    async with terminating(tmp_path, root.server("a.example"), to=("127.0.0.1:1",)) as gateway:
        assert b"HTTP/1.1 200" not in await refused(gateway, b"GET / HTTP/1.1\r\n\r\n")
        assert gateway.gateway.counters["tls-handshake"] == 1


async def test_a_client_without_the_wanted_certificate_is_told(
    tmp_path: Path, root: Authority
) -> None:
    authority = Authority("People").write(tmp_path, "people.pem")
    async with terminating(
        tmp_path, root.server("a.example"), f"!{authority}", to=("127.0.0.1:1",)
    ) as gateway:
        client = await secured(gateway, client_context(root), "a.example")
        with pytest.raises(trio.BrokenResourceError):  # TLS 1.3: the alert comes afterwards
            await client.receive_some()
        assert gateway.gateway.counters["tls-handshake"] == 1


async def test_a_handshake_has_to_end(
    tmp_path: Path, root: Authority, autojump_clock: trio.testing.MockClock
) -> None:
    async with terminating(tmp_path, root.server("a.example"), to=("127.0.0.1:1",)) as gateway:
        began = trio.current_time()
        assert await refused(gateway, b"\x16\x03\x01") == b""
        assert 9.0 <= trio.current_time() - began <= 12.0
        assert gateway.gateway.counters["tls-handshake"] == 1


async def test_without_a_backend_the_client_is_sent_away(tmp_path: Path, root: Authority) -> None:
    async with terminating(tmp_path, root.server("a.example")) as gateway:
        client = await secured(gateway, client_context(root), "a.example")
        assert await client.receive_some() == b""
        assert gateway.gateway.counters["no-backend"] == 1
