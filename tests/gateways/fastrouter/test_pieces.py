"""Answers that come in pieces, to clients that have said everything and take them at once."""

from __future__ import annotations

import os
from types import MethodDescriptorType

import pytest

from tests.gateways.fastrouter.instance import Instance, packet, routing
from tests.gateways.peers import settled
from uwgate.gateways.corerouter.static import Static
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.fastrouter.session import PIECES, Session

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


def session_of(gateway: Instance) -> Session:
    """The only one."""
    (session,) = gateway.gateway._sessions
    return session


async def test_pieces_pass_as_they_come_and_without_a_relay() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            for number in range(2 * PIECES):
                await worker.send(b"%d" % number)
                assert await client.exactly(1) == b"%d" % number
            assert session_of(gateway)._relay is None
            await worker.send(b"end")
        assert await client.rest() == b"end"


@pytest.mark.skipif(isinstance(Static.release, MethodDescriptorType), reason="compiled")
async def test_all_pieces_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with routing() as (gateway, backend):
        mapper = gateway.gateway.corerouter.mapper
        released: list[tuple[int, int]] = []

        def release(target: Target, now: float, tx: int, rx: int) -> None:
            released.append((tx, rx))

        monkeypatch.setattr(mapper, "release", release)
        request = packet()
        client = await gateway.ask(request)
        async with await backend.accept() as worker:
            await worker.packet()
            for piece in (HEAD, b"more", b"!"):
                await worker.send(piece)
                assert await client.exactly(len(piece)) == piece
        assert await client.rest() == b""
        assert released == [(len(HEAD) + 5, len(request))]


async def test_an_end_without_more_is_an_end() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(HEAD)
            assert await client.exactly(len(HEAD)) == HEAD
        assert await client.rest() == b""


async def test_a_reset_between_two_pieces_is_no_end() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        worker = await backend.accept()
        await worker.packet()
        await worker.send(HEAD)
        assert await client.exactly(len(HEAD)) == HEAD
        worker.reset()
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_a_client_that_goes_between_two_pieces_takes_its_request_along() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(HEAD)
            assert await client.exactly(len(HEAD)) == HEAD
            client.reset()
            assert await worker.rest() == b""
        assert gateway.gateway.counters["client-gone"] == 1


async def test_an_end_of_file_between_two_pieces_is_carried_over() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(HEAD)
            assert await client.exactly(len(HEAD)) == HEAD
            client.half_close()
            assert await worker.rest() == b""
            await worker.send(b"the rest")
        assert await client.rest() == b"the rest"


async def test_a_client_that_takes_no_more_gets_a_relay_and_all_of_it() -> None:
    async with routing(fastrouter_buffer_size=4096) as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(HEAD)
            assert await client.exactly(len(HEAD)) == HEAD
            assert session_of(gateway)._relay is None
            sent = await worker.send_until_blocked(b"x" * (1 << 16))
            assert session_of(gateway)._relay is not None
            worker.half_close()
            assert len(await client.rest()) == sent


@pytest.mark.parametrize("size", [0, 20_000], ids=["one read", "two reads"])
async def test_an_end_of_file_that_comes_with_a_late_packet_is_carried_over(size: int) -> None:
    async with routing() as (gateway, backend):
        client = await gateway.connect()
        await settled()
        assert session_of(gateway).is_idle
        # Both at once, before the gateway has its turn.
        data = packet(PAD="x" * size)
        assert os.write(client.sock.fileno(), data) == len(data)
        client.half_close()
        async with await backend.accept() as worker:
            await worker.packet()
            assert await worker.rest() == b""
            await worker.send(HEAD)
        assert await client.rest() == HEAD
