"""What holds for HTTP/2 connections as for all others: who the client is, and their limits."""

from __future__ import annotations

from typing import Any

from tests.gateways.http2.client import (
    GOAWAY,
    NO_ERROR,
    Http2Client,
    connect,
    fields_of,
    talking,
)
from tests.gateways.instance import Instance, running
from uwgate.conf.groups.http2 import Http2Options

STUD = b"\x02\xcb\x00\x71\x07"
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n"
ON = Http2Options(http2_prior_knowledge=True)


async def arrive(instance: Instance, prefix: bytes) -> Http2Client:
    """A client behind a proxy."""
    client = await connect(instance)
    await client.send(prefix)
    await client.start()
    return client


async def test_the_last_request_of_a_connection_ends_it() -> None:
    async with talking(http_connection_requests=2) as talk:
        await talk.works(1)
        assert not [one for one in talk.client.seen if one.kind == GOAWAY]
        await talk.works(3)
        assert await talk.client.ended_with() == NO_ERROR


async def test_a_proxy_header_may_stand_before_the_preface() -> None:
    options: dict[str, Any] = {"http2": ON, "http_enable_proxy_protocol": True}
    async with running(**options) as instance:
        client = await arrive(instance, V1)
        await client.request(1)
        lease = await instance.workers.accept()
        assert (await lease.packet())[b"REMOTE_ADDR"] == b"203.0.113.7"
        await lease.answer()
        assert (await client.response(1)).status == 200


async def test_strict_transport_security_is_sent_over_encrypted_connections_alone() -> None:
    options: dict[str, Any] = {"http2": ON, "https_hsts": "600"}
    for prefix, value in ((STUD, b"max-age=600"), (b"", None)):
        near = ("loopback",) if prefix else ("none",)
        async with running(**options, http_stud_prefix=near) as instance:
            client = await arrive(instance, prefix)
            for stream, head, expected in (
                (1, b"200 OK\r\n", value),
                (3, b"200 OK\r\nStrict-Transport-Security: max-age=1\r\n", b"max-age=1"),
            ):
                await client.request(stream)
                leases = instance.workers.leases
                lease = leases[0] if leases else await instance.workers.accept()
                await lease.packet()
                await lease.answer(head=head)
                lines = (await client.response(stream)).lines
                found = [value for name, value in lines if name == b"strict-transport-security"]
                assert found == ([expected] if expected else [])


async def test_forwarded_fields_of_strangers_are_removed() -> None:
    async with talking(http_trust_forwarded=("none",)) as talk:
        await talk.client.request(1, fields_of(b"/", (b"x-forwarded-for", b"198.51.100.1")))
        lease = await talk.workers.accept()
        assert b"HTTP_X_FORWARDED_FOR" not in await lease.packet()
        await lease.answer()
        assert (await talk.client.response(1)).status == 200
