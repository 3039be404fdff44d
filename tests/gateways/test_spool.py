"""Responses that wait for a slow client in a spool, and not in a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.gateways.instance import Instance, running
from tests.gateways.peers import PATIENCE, Client, Lease, request
from uwgate.conf.errors import BackendError
from uwgate.gateways.spool import Spools
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.lease import LENGTH

MIB = 1 << 20
SIZE = 6 * MIB  # more than the kernel takes for a client that does not read
PIECE = bytes(range(256)) * 256  # 64 KiB


@asynccontextmanager
async def slow_client(
    length: int | None = None, **options: Any
) -> AsyncIterator[tuple[Instance, Client, Lease]]:
    """A client that does not read, and the lease on which its answer begins."""
    async with running(**{"http_response_buffer": 16 * MIB} | options) as instance:
        client = await instance.connect()
        await client.send(request(b"GET", b"/slow"))
        lease = await instance.workers.accept()
        await lease.packet()
        head = b"200 OK\r\n"
        if length is not None:
            head += b"Content-Length: %d\r\n" % length
        await lease.begin(b"", head, wire.LENGTH if length is not None else 0)
        yield instance, client, lease


async def hand_over(lease: Lease, size: int) -> None:
    """All of an answer of ``size`` bytes, and its end."""
    for _ in range(size // len(PIECE)):
        await lease.more(PIECE)
    await lease.last()


@pytest.mark.parametrize("length", [SIZE, None], ids=["length", "chunked"])
async def test_a_worker_is_free_before_a_slow_client_has_read(length: int | None) -> None:
    async with slow_client(length) as (instance, client, lease):
        await hand_over(lease, SIZE)
        other = await instance.connect()
        await other.get(b"/other")
        assert (await lease.packet())[b"PATH_INFO"] == b"/other"
        await lease.answer(b"fast")
        assert (await other.response()).body == b"fast"
        response = await client.response()
        assert response.body == PIECE * (SIZE // len(PIECE))
        await client.get(b"/again")
        assert (await lease.packet())[b"PATH_INFO"] == b"/again"
        await lease.answer(b"again")
        assert (await client.response()).body == b"again"


async def test_an_answer_longer_than_a_spool_holds_its_worker_back() -> None:
    size = 64 * MIB
    async with slow_client(size) as (_, _, lease):
        taken = await lease.send_until_blocked(wire.encode_frame(0, b"", PIECE))
        assert taken < SIZE


async def test_an_endless_answer_fills_its_spool_and_no_more() -> None:
    async with slow_client(http_response_buffer=2 * MIB) as (_, _, lease):
        taken = await lease.send_until_blocked(wire.encode_frame(0, b"", PIECE))
        assert 2 * MIB <= taken < 8 * MIB


async def test_all_spools_together_have_a_limit() -> None:
    async with slow_client(SIZE, http_response_buffers=MIB) as (instance, client, lease):
        taken = await lease.send_until_blocked(wire.encode_frame(0, b"", PIECE))
        assert taken < SIZE
        assert instance.gateway.spools.free == 0
        client.reset()


async def test_a_spool_that_is_never_empty_goes_round() -> None:
    written, read_back = bytearray(), bytearray()

    async def read() -> tuple[bytes, bool]:
        await trio.lowlevel.checkpoint()
        piece = b"%d," % len(written) * 500
        written.extend(piece)
        return piece, len(written) > 400_000

    async with trio.open_nursery() as nursery:
        spools = Spools(10_000, MIB, nursery)
        spool = spools.begin(read, 0, b"", lambda: None)
        assert spool is not None
        last = False
        while not last:
            piece, last = await spool.read()
            read_back += piece
            assert spools.free >= MIB - 10_000
        await spool.close()
        assert spools.free == MIB
    assert read_back == written


async def test_a_worker_that_dies_behind_a_spool_breaks_the_answer_off() -> None:
    async with slow_client(SIZE) as (_, client, lease):
        for _ in range(40):
            await lease.more(PIECE)
        lease.close()
        response = await client.response()
        assert not response.complete
        assert (PIECE * 40).startswith(response.body)
        assert len(response.body) == 40 * len(PIECE)


async def test_a_client_that_goes_frees_its_spool() -> None:
    async with slow_client(SIZE) as (instance, client, lease):
        await hand_over(lease, SIZE)
        await wait_all_tasks_blocked(0.05)
        assert instance.gateway.spools.free < 1 << 30
        client.reset()
        with trio.fail_after(PATIENCE):
            while instance.gateway._sessions:  # noqa: ASYNC110  they tell nobody
                await trio.sleep(0.05)
        assert instance.gateway.spools.free == 1 << 30


async def test_a_spool_gives_back_what_was_put_into_it_in_order() -> None:
    pieces = [bytes([n]) * (n * 3001) for n in range(1, 60)]
    left = list(pieces)

    async def read() -> tuple[bytes, bool]:
        await trio.lowlevel.checkpoint()
        return left.pop(0), not left

    ended = trio.Event()
    async with trio.open_nursery() as nursery:
        spools = Spools(100 * MIB, 100 * MIB, nursery)
        spool = spools.begin(read, 0, b"200 OK\r\n", ended.set)
        assert spool is not None
        await ended.wait()
        got, last = b"", False
        while not last:
            piece, last = await spool.read()
            got += piece
        await spool.close()
    assert got == b"".join(pieces)


async def test_a_failure_comes_behind_what_was_read_before_it() -> None:
    async def read() -> tuple[bytes, bool]:
        await trio.lowlevel.checkpoint()
        if not began:
            began.append(True)
            return b"begun", False
        raise BackendError("worker", "died", sent=True)

    began: list[bool] = []
    async with trio.open_nursery() as nursery:
        spool = Spools(MIB, MIB, nursery).begin(read, 0, b"", lambda: None)
        assert spool is not None
        await wait_all_tasks_blocked()
        assert await spool.read() == (b"begun", False)
        with pytest.raises(BackendError, match="died"):
            await spool.read()
        await spool.close()


async def test_an_empty_answer_needs_no_spool() -> None:
    async with trio.open_nursery() as nursery:
        spools = Spools(MIB, MIB, nursery)

        async def read() -> tuple[bytes, bool]:
            raise AssertionError("nobody reads")

        head = b"200 OK\r\ncontent-length: 0\r\n"
        assert spools.begin(read, LENGTH, head, lambda: None) is None
