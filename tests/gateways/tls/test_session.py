"""gateways/tls/session.py in a whole gateway, with Python's own client."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
from trio.abc import Clock

from tests.certificates import Authority, Certificate
from tests.gateways.instance import Instance, running
from tests.gateways.peers import PATIENCE, Client, Lease, request, settled
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.states import State
from uwgate.gateways.tls import variables
from uwgate.gateways.tls.material import Material, Pair
from uwgate.gateways.tls.ring import Ring
from uwgate.gateways.tls.session import TlsSession
from uwgate.gateways.wire import lease as wire

from .conftest import ADDRESS, MakeRing
from .conversation import client_context


class TlsEnd:
    """A TLS client with the methods that ``Client`` uses of a trio socket."""

    def __init__(self, raw: trio.socket.SocketType, context: ssl.SSLContext, name: str) -> None:
        self.raw = raw
        self.stream = trio.SSLStream(trio.SocketStream(raw), context, server_hostname=name)

    async def send(self, data: bytes) -> int:
        await self.stream.send_all(data)
        return len(data)

    async def recv(self, size: int) -> bytes:
        """Raises trio.BrokenResourceError where there is no close_notify."""
        return bytes(await self.stream.receive_some(size))

    def close(self) -> None:
        self.raw.close()


async def connect(
    instance: Instance, context: ssl.SSLContext | None = None, name: str = "default.example"
) -> Client:
    """A client after its handshake."""
    client = await instance.connect()
    end = TlsEnd(client.sock, context or client_context(), name)
    with trio.fail_after(PATIENCE):
        await end.stream.do_handshake()
    secure = Client(cast("trio.socket.SocketType", end))
    instance.clients.append(secure)
    return secure


def end_of(client: Client) -> TlsEnd:
    return cast("TlsEnd", client.sock)


@asynccontextmanager
async def serving(
    ring: Ring, https: HttpsOptions | None = None, **options: Any
) -> AsyncIterator[Instance]:
    async with running(
        role="https", endpoint=ADDRESS, ring=ring, https=https, **options
    ) as instance:
        yield instance


async def begin(instance: Instance, data: bytes) -> tuple[Client, Lease]:
    """A client whose request has been taken on a lease."""
    client = await connect(instance)
    await client.send(data)
    lease = await instance.workers.accept()
    await lease.packet()
    return client, lease


def session_of(instance: Instance) -> TlsSession:
    (session,) = instance.gateway._sessions
    assert isinstance(session, TlsSession)
    return session


async def test_an_application_is_told_of_the_connection(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client = await connect(instance, name="a.example")
        await client.get()
        lease = await instance.workers.accept()
        packet = await lease.packet()
        assert packet[b"HTTPS"] == b"on"
        assert packet[b"SSL_PROTOCOL"] == b"TLSv1.3"
        assert packet[b"SSL_CIPHER"].startswith(b"TLS_")
        assert packet[b"SSL_TLS_SNI"] == b"a.example"
        assert b"HTTPS_DN" not in packet
        await lease.answer(b"secret")
        assert (await client.response()).body == b"secret"


async def test_a_connection_serves_many_requests_one_after_the_other(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client, lease = await begin(instance, request(b"GET"))
        for number in range(5):
            await lease.answer(b"%d" % number)
            assert (await client.response()).body == b"%d" % number
            await client.get()
            await lease.packet()
        await lease.answer()
        await client.response()


async def test_requests_in_one_record_are_answered_in_order(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client, lease = await begin(instance, request(b"GET") * 3)
        await lease.answer(b"one")
        for body in (b"two", b"three"):
            await lease.packet()
            await lease.answer(body)
        assert [(await client.response()).body for _ in range(3)] == [b"one", b"two", b"three"]


async def test_a_request_in_many_records_that_arrive_at_once_is_read(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client = await connect(instance)
        end = end_of(client)
        # Into one segment: what stands behind the first record raises no event of its own.
        end.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for octet in request(b"GET"):
            await end.send(bytes((octet,)))
        end.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_subject_that_cannot_be_read_is_left_out(
    ring: MakeRing,
    people: Authority,
    tmp_path: Any,
    write: Any,
    default: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(name: object) -> bytes:
        raise ValueError("bad string")

    monkeypatch.setattr(variables, "one_line", fail)
    authority = people.write(tmp_path, "people.crt")
    made = ring(https=(f"{ADDRESS},{write(default, 'default')},,{authority}",))
    crt, key = people.client("alice").write(tmp_path, "alice")
    async with serving(made) as instance:
        client = await connect(instance, client_context(certificate=(str(crt), str(key))))
        await client.get()
        lease = await instance.workers.accept()
        packet = await lease.packet()
        assert packet[b"HTTPS"] == b"on"
        assert b"HTTPS_CLIENT_CERTIFICATE" not in packet
        assert "bad string" in caplog.text
        await lease.answer()
        await client.response()


async def test_a_large_head_across_records_is_read(ring: MakeRing) -> None:
    async with serving(ring(), http_line_limit=30000) as instance:
        client, lease = await begin(instance, request(b"GET", b"/", b"X: " + b"x" * 20000))
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_large_body_goes_up(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client = await connect(instance)
        body = os.urandom(1_000_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                client.send, request(b"POST", b"/", b"Content-Length: 1000000", body=body)
            )
            lease = await instance.workers.accept()
            await lease.packet()
            await lease.frame(wire.TAKEN)
            assert await lease.exactly(len(body)) == body
        await lease.answer()
        assert (await client.response()).status == 200


async def test_a_large_body_comes_down_to_a_slow_reader(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client, lease = await begin(instance, request(b"GET"))
        piece = os.urandom(50_000)

        async def answer() -> None:
            await lease.begin(piece)
            for _ in range(20):
                await lease.more(piece)
            await lease.last()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            await settled()
            response = await client.response()
        assert response.complete
        assert response.body == piece * 21


async def test_a_client_that_half_closes_still_gets_its_answer(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client, lease = await begin(instance, request(b"GET"))
        end_of(client).raw.shutdown(socket.SHUT_WR)
        await settled()
        await lease.answer(b"late")
        assert (await client.response()).body == b"late"
        assert await client.is_closed()


async def test_a_client_that_says_goodbye_first_still_gets_its_answer(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client = await connect(instance)
        end = end_of(client)
        await client.get()
        lease = await instance.workers.accept()
        await lease.packet()
        with pytest.raises(ssl.SSLWantReadError):
            end.stream._ssl_object.unwrap()
        await end.raw.send(end.stream._outgoing.read())
        await settled()
        await lease.answer(b"late")
        assert b"late" in await trio_rest(end)


async def trio_rest(end: TlsEnd) -> bytes:
    """Everything that is decrypted until the server closes; after our own close_notify."""
    data = b""
    with trio.fail_after(PATIENCE):
        while raw := await end.raw.recv(65536):
            end.stream._incoming.write(raw)
            while True:
                try:
                    data += end.stream._ssl_object.read(65536)
                except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    break
                except ssl.SSLError as error:
                    assert "SHUTDOWN" in str(error)  # noqa: PT017
                    return data
    return data


async def test_closing_says_goodbye(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client, lease = await begin(instance, request(b"GET", b"/", b"Connection: close"))
        await lease.answer()
        assert (await client.response()).status == 200
        assert await client.is_closed()  # a missing close_notify would be an error


async def test_a_response_without_length_that_breaks_off_has_no_goodbye(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client, lease = await begin(instance, request(b"GET", version=b"1.0"))
        await lease.begin(b"half")
        assert (await client.head()).fields[b"connection"] == b"close"
        await lease.last(b"", wire.ABORTED)
        with pytest.raises(trio.BrokenResourceError):
            await client.rest()


async def test_a_reset_while_a_request_runs_ends_it(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client, lease = await begin(instance, request(b"GET"))
        raw = end_of(client).raw
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()
        assert await lease.is_silent()
        assert not instance.gateway._sessions
        await lease.begin(b"for nobody")
        assert await lease.rest() == b""


# Handshakes


async def test_plain_http_is_told_where_it_is(
    ring: MakeRing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(ring()) as instance:
        client = await instance.connect()
        await client.get()
        response = await client.response()
        assert response.status == 400
        assert response.fields[b"content-type"] == b"text/plain"
        assert b"HTTPS" in response.body
        assert await client.is_closed()
        assert instance.gateway.counters["tls-handshake"] == 1
        assert "TLS handshake failed: http request" in caplog.text


async def test_noise_is_one_line_in_the_log(
    ring: MakeRing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(ring()) as instance:
        client = await instance.connect()
        await client.send(bytes(1000))
        await client.rest()
        assert instance.gateway.counters["tls-handshake"] == 1
    assert len(caplog.records) == 1
    assert "Traceback" not in caplog.text


async def test_a_silent_client_is_closed_after_the_handshake_timeout(
    ring: MakeRing, hurried_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(ring(), HttpsOptions(https_handshake_timeout=3)) as instance:
        client = await instance.connect()
        began = trio.current_time()
        assert await client.is_closed()
        assert 3 <= trio.current_time() - began <= 4
        assert instance.gateway.counters["tls-handshake"] == 1
        assert "TLS handshake timed out" in caplog.text


async def test_bytes_of_a_handshake_do_not_prolong_it(ring: MakeRing, hurried_clock: Clock) -> None:
    async with serving(ring(), HttpsOptions(https_handshake_timeout=3)) as instance:
        client = await instance.connect()
        began = trio.current_time()
        for octet in b"\x16\x03\x01\x02\x00\x01\x00":
            await client.send(bytes((octet,)))
            await trio.sleep(0.3)
        assert await client.is_closed()
        assert trio.current_time() - began <= 4


async def test_after_the_handshake_a_head_has_its_own_time(
    ring: MakeRing, hurried_clock: Clock
) -> None:
    https = HttpsOptions(https_handshake_timeout=1)
    async with serving(ring(), https, http_headers_timeout=4) as instance:
        client = await connect(instance)
        began = trio.current_time()
        await client.send(b"GET / HT")
        assert (await client.response()).status == 408
        assert 4 <= trio.current_time() - began <= 5


async def test_a_client_that_is_slow_to_take_the_certificates_gets_through(
    ring: MakeRing, default: Certificate, root: Authority
) -> None:
    pair = Pair(chain=default.pem + root.pem * 100, key=default.key_pem)
    made = ring()
    made.renew(ADDRESS, Material(pairs=(pair,)))
    async with serving(made) as instance:
        instance.door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        raw = trio.socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await raw.connect(instance.door.getsockname())
        end = TlsEnd(raw, client_context(), "default.example")
        client = Client(cast("trio.socket.SocketType", end))
        instance.clients.append(client)
        seen: list[tuple[State, bool]] = []

        async def watch() -> None:
            while not seen:
                await trio.sleep(0.01)
                seen.extend(
                    (one.state, one.in_task) for one in instance.gateway._sessions if one.in_task
                )

        hello = await wire_bytes_of_hello(end)
        await raw.send(hello)
        with trio.fail_after(PATIENCE):
            await watch()
        assert seen == [(State.HANDSHAKE, True)]
        await resume(end)
        await client.get()
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await client.response()).status == 200


async def wire_bytes_of_hello(end: TlsEnd) -> bytes:
    """The client's first flight, which its stream takes for sent."""
    with pytest.raises(ssl.SSLWantReadError):
        end.stream._ssl_object.do_handshake()
    return end.stream._outgoing.read()


async def resume(end: TlsEnd) -> None:
    """Let the client read, and finish its handshake."""
    with trio.fail_after(PATIENCE):
        await end.stream.do_handshake()


async def test_a_client_that_leaves_in_its_handshake_is_forgotten(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client = await instance.connect()
        await client.send(b"\x16\x03\x01")
        await settled()
        client.half_close()
        assert await client.is_closed()
        assert not instance.gateway._sessions


async def test_a_client_without_its_certificate_is_refused_with_an_alert(
    ring: MakeRing, people: Authority, tmp_path: Any, write: Any, default: Any
) -> None:
    authority = people.write(tmp_path, "people.crt")
    made = ring(https=(f"{ADDRESS},{write(default, 'default')},,!{authority}",))
    async with serving(made) as instance:
        client = await connect(instance)  # in TLS 1.3 the client is done before the server
        await client.get()
        with pytest.raises(trio.BrokenResourceError) as caught:
            await client.response()
        assert "CERTIFICATE_REQUIRED" in str(caught.value.__cause__)


async def test_a_clients_certificate_reaches_the_application(
    ring: MakeRing, people: Authority, tmp_path: Any, write: Any, default: Any
) -> None:
    authority = people.write(tmp_path, "people.crt")
    made = ring(https=(f"{ADDRESS},{write(default, 'default')},,{authority}",))
    alice = people.client("alice")
    crt, key = alice.write(tmp_path, "alice")
    context = client_context(certificate=(str(crt), str(key)))
    async with serving(made, HttpsOptions(https_export_cert=True)) as instance:
        client = await connect(instance, context)
        await client.get()
        lease = await instance.workers.accept()
        packet = await lease.packet()
        assert packet[b"HTTPS_DN"] == b"/CN=alice"
        assert packet[b"HTTPS_CLIENT_CERTIFICATE"] == alice.der
        assert packet[b"HTTPS_CC"] == alice.pem
        await lease.answer()
        await client.response()


async def test_a_certificate_that_does_not_fit_is_left_out(
    ring: MakeRing,
    people: Authority,
    tmp_path: Any,
    write: Any,
    default: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(variables, "MAX_CERTIFICATE", 300)
    authority = people.write(tmp_path, "people.crt")
    made = ring(https=(f"{ADDRESS},{write(default, 'default')},,{authority}",))
    crt, key = people.client("alice").write(tmp_path, "alice")
    async with serving(made) as instance:
        client = await connect(instance, client_context(certificate=(str(crt), str(key))))
        await client.get()
        lease = await instance.workers.accept()
        packet = await lease.packet()
        assert packet[b"HTTPS"] == b"on"
        assert b"HTTPS_DN" not in packet
        assert "limit 300" in caplog.text
        await lease.answer()
        await client.response()


# The end of a gateway


async def test_draining_at_once_closes_idle_clients_with_a_goodbye(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client, lease = await begin(instance, request(b"GET"))
        await lease.answer()
        await client.response()
        instance.drain()
        assert await client.is_closed()


async def test_draining_at_once_ends_handshakes(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client = await instance.connect()
        await client.send(b"\x16\x03\x01")
        await settled()
        assert session_of(instance).state is State.HANDSHAKE
        instance.drain()
        assert await client.is_closed()


async def test_a_handshake_that_a_drain_meets_may_bring_one_request(ring: MakeRing) -> None:
    async with serving(ring()) as instance:
        client = await instance.connect()
        await settled()
        instance.drain(idle=5)
        end = TlsEnd(client.sock, client_context(), "default.example")
        secure = Client(cast("trio.socket.SocketType", end))
        await secure.get()
        lease = await instance.workers.accept()
        await lease.packet()
        await lease.answer()
        assert (await secure.response()).fields[b"connection"] == b"close"
        assert await secure.is_closed()
