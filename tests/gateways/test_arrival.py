"""What a proxy says before everything else: PROXY headers and stud's prefix."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from tests.gateways.instance import Instance, running
from tests.gateways.peers import PATIENCE, Client, Packet, request, settled
from uwgate.gateways.wire.proxy_protocol import SIGNATURE, TLV_SSL, ProxyHeader, encode_v2

V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
SOURCE, DESTINATION = ("203.0.113.7", 56324), ("192.0.2.1", 443)
V2 = encode_v2(ProxyHeader(source=SOURCE, destination=DESTINATION), checksum=True)
ON: dict[str, Any] = {"http_enable_proxy_protocol": True}


async def ask(instance: Instance, data: bytes) -> tuple[Client, Packet]:
    """Send bytes on a new connection; what the worker gets of it. The answer is read."""
    client = await instance.connect()
    await client.send(data)
    lease = await instance.workers.accept()
    packet = await lease.packet()
    await lease.answer()
    assert (await client.response()).status == 200
    return client, packet


async def has_ended(client: Client) -> bool:
    """The gateway has closed without a word; what it has not read makes that a reset."""
    with contextlib.suppress(ConnectionResetError):
        return not await client.rest()
    return True


def address_of(packet: Packet) -> tuple[bytes, bytes]:
    return packet[b"REMOTE_ADDR"], packet[b"REMOTE_PORT"]


@pytest.mark.parametrize("header", [V1, V2])
@pytest.mark.parametrize("option", ["http_enable_proxy_protocol", "enable_proxy_protocol"])
async def test_the_client_is_whom_the_header_names(header: bytes, option: str) -> None:
    options: dict[str, Any] = {option: True}
    async with running(**options) as instance:
        _, packet = await ask(instance, header + request(b"GET"))
        assert address_of(packet) == (b"203.0.113.7", b"56324")


async def test_the_header_may_come_byte_by_byte() -> None:
    async with running(**ON) as instance:
        client = await instance.connect()
        for octet in V1:
            await client.send(bytes([octet]))
            await trio.sleep(0.001)
        await client.get()
        lease = await instance.workers.accept()
        assert address_of(await lease.packet())[0] == b"203.0.113.7"
        await lease.answer()
        assert (await client.response()).status == 200


async def test_one_header_counts_for_all_requests_of_the_connection() -> None:
    async with running(**ON) as instance:
        client, _ = await ask(instance, V2 + request(b"GET"))
        await client.get(b"/second")
        packet = await instance.workers.leases[0].packet()
        assert address_of(packet) == (b"203.0.113.7", b"56324")
        await instance.workers.leases[0].answer()
        assert (await client.response()).status == 200
        await client.send(V1 + request(b"GET"))
        assert (await client.response()).status == 400


async def test_addresses_of_ipv6_are_written_as_ever() -> None:
    async with running(**ON) as instance:
        header = b"PROXY TCP6 2001:DB8:0::1 ::1 1 2\r\n"
        _, packet = await ask(instance, header + request(b"GET"))
        assert address_of(packet) == (b"2001:db8::1", b"1")


async def test_local_and_unknown_leave_the_proxys_own_address() -> None:
    headers = [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0", SIGNATURE + b"\x21\0\0\0"]
    for header in headers:
        async with running(**ON) as instance:
            client, packet = await ask(instance, header + request(b"GET"))
            port = b"%d" % client.sock.getsockname()[1]
            assert address_of(packet) == (b"127.0.0.1", port)


async def test_a_client_that_spoke_tls_with_the_proxy_is_https() -> None:
    header = ProxyHeader(source=SOURCE, destination=DESTINATION, tlvs=((TLV_SSL, b"\x01\0\0\0\0"),))
    async with running(**ON) as instance:
        _, packet = await ask(instance, encode_v2(header) + request(b"GET"))
        assert packet[b"HTTPS"] == b"on"


@pytest.mark.parametrize(
    "data",
    [
        request(b"GET"),
        V1[:-2] + b"\n" + request(b"GET"),
        b"PROXY TCP4 203.0.113.7\r\n" + request(b"GET"),
        V2[:13] + b"\x31" + V2[14:],
        V2[:-1] + b"\0" + request(b"GET"),
        SIGNATURE + b"\x21\x11\xff\xff",
        b"PROXY UNKNOWN " + b"x" * 200,
    ],
)
async def test_what_is_no_header_is_closed_counted_and_runs_nothing(data: bytes) -> None:
    async with running(**ON) as instance:
        client = await instance.connect()
        await client.send(data)
        assert await has_ended(client)
        assert instance.gateway.counters["proxy-header"] == 1
        assert not instance.gateway._sessions
        assert await instance.workers.nobody_waits()


@pytest.mark.parametrize("part", [b"", V1[:20], V2[:20]])
async def test_a_header_that_does_not_come_in_time_is_closed(
    hurried_clock: Clock, part: bytes
) -> None:
    async with running(**ON, http_headers_timeout=3) as instance:
        client = await instance.connect()
        began = trio.current_time()
        await client.send(part)
        assert await has_ended(client)
        assert 3 <= trio.current_time() - began < 5
        assert instance.gateway.counters["proxy-header"] == 1


@pytest.mark.parametrize(("part", "counted"), [(b"", 0), (V1[:20], 1)])
async def test_only_a_header_that_breaks_off_is_an_error(part: bytes, counted: int) -> None:
    async with running(**ON) as instance:
        client = await instance.connect()
        await client.send(part)
        client.half_close()
        assert await has_ended(client)
        assert instance.gateway.counters["proxy-header"] == counted


@pytest.mark.parametrize("header", [V1, V2])
async def test_from_others_a_header_is_a_bad_request(header: bytes) -> None:
    async with running(**ON, http_proxy_protocol_from=("192.0.2.0/24",)) as instance:
        client = await instance.connect()
        await client.send(header + request(b"GET"))
        assert (await client.response()).status == 400
        assert await has_ended(client)
        _, packet = await ask(instance, request(b"GET"))
        assert packet[b"REMOTE_ADDR"] == b"127.0.0.1"


@pytest.mark.parametrize("header", [V1, V2])
async def test_without_the_option_a_header_is_a_bad_request(header: bytes) -> None:
    async with running() as instance:
        client = await instance.connect()
        await client.send(header + request(b"GET"))
        assert (await client.response()).status == 400


@pytest.mark.parametrize("word", ["unix", "loopback"])
async def test_unix_sockets_are_a_word_of_the_list(tmp_path: Path, word: str) -> None:
    path = str(tmp_path / "http")
    async with running(path=path, **ON, http_proxy_protocol_from=(word,)) as instance:
        data = V1 * (word == "unix") + request(b"GET")
        _, packet = await ask(instance, data)
        assert packet[b"REMOTE_ADDR"] == (b"203.0.113.7" if word == "unix" else b"0.0.0.0")


async def test_draining_lets_arrivals_go_that_have_not_arrived() -> None:
    async with running(**ON) as instance:
        client = await instance.connect()
        await client.send(V1[:10])
        await settled()
        instance.drain(0)
        assert await has_ended(client)
        with trio.fail_after(PATIENCE):
            await instance.gateway.drained()


async def test_who_arrives_while_draining_is_still_served() -> None:
    async with running(**ON) as instance:
        client = await instance.connect()
        await client.send(V1[:10])
        await settled()
        instance.drain(5)
        await client.send(V1[10:] + request(b"GET"))
        lease = await instance.workers.accept()
        assert (await lease.packet())[b"REMOTE_ADDR"] == b"203.0.113.7"
        await lease.answer()
        assert (await client.response()).fields[b"connection"] == b"close"
        with trio.fail_after(PATIENCE):
            await instance.gateway.drained()


async def test_the_limit_for_a_client_counts_the_one_behind_the_proxy() -> None:
    async with running(**ON, http_client_connections=1) as instance:
        first, _ = await ask(instance, V1 + request(b"GET"))
        second = await instance.connect()
        await second.send(V1.replace(b"56324", b"56325"))
        assert await has_ended(second)
        third = await instance.connect()
        await third.send(V1.replace(b"113.7", b"113.8") + request(b"GET"))
        packet = await instance.workers.leases[0].packet()
        assert packet[b"REMOTE_ADDR"] == b"203.0.113.8"
        await instance.workers.leases[0].answer()
        assert (await third.response()).status == 200
        assert instance.gateway.counters["connections-of-client"] == 1
        first.close()


async def test_the_prefix_of_stud_names_the_client_and_means_https() -> None:
    async with running(http_stud_prefix=("127.0.0.1",)) as instance:
        _, packet = await ask(instance, b"\x02\xcb\x00\x71\x07" + request(b"GET"))
        assert address_of(packet) == (b"203.0.113.7", b"0")
        assert packet[b"HTTPS"] == b"on"


async def test_another_first_byte_than_studs_is_closed() -> None:
    async with running(http_stud_prefix=("127.0.0.1",)) as instance:
        client = await instance.connect()
        await client.send(request(b"GET"))
        assert await has_ended(client)
        assert instance.gateway.counters["proxy-header"] == 1


async def test_from_other_addresses_there_is_no_prefix_of_stud() -> None:
    async with running(http_stud_prefix=("192.0.2.1",)) as instance:
        _, packet = await ask(instance, request(b"GET"))
        assert b"HTTPS" not in packet
