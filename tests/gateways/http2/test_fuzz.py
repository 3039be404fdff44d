"""Frames at random: whatever a client sends, the gateway answers the next one."""

from __future__ import annotations

import contextlib
import logging
import random

import pytest
import trio
import trio.lowlevel

from tests.gateways.http2.client import (
    INITIAL_WINDOW_SIZE,
    PREFACE,
    Conversation,
    connect,
    fields_of,
    frame,
    settings,
    talking,
)
from tests.gateways.peers import Lease
from uwgate.gateways.wire.lease import HELLO


def some_frames(choose: random.Random, request: bytes) -> bytes:
    """A few frames, most of them nearly right."""
    sent = []
    for _ in range(choose.randrange(1, 30)):
        kind = choose.choice([0, 0, 0, 1, 1, 1, 2, 3, 4, 6, 7, 8, 8, 9, 200])
        stream = choose.choice([0, 1, 1, 3, 3, 5, 7, 9])
        payload = choose.choice(
            [
                request,
                choose.randbytes(choose.choice([0, 1, 4, 5, 6, 8, 9, 100])),
                bytes(choose.choice([4, 5, 6, 8, 8000])),
                b"\0\0\0\x05",
                INITIAL_WINDOW_SIZE.to_bytes(2, "big") + choose.randbytes(4),
            ]
        )
        flags = choose.choice([0, 1, 4, 5, 5, 5, 8, 13, 32, 37, 255])
        sent.append(frame(kind, flags, stream, request if kind == 1 else payload))
    return b"".join(sent)


async def attack(talk: Conversation, seed: int) -> None:
    choose = random.Random(seed)
    client = await connect(talk.instance)
    method = choose.choice([b"GET", b"POST", b"HEAD"])
    request = client.headers(1, fields_of(b"/fuzz", method=method))[9:]
    try:
        await client.send(PREFACE + settings((INITIAL_WINDOW_SIZE, choose.choice([0, 5, 65535]))))
        for _ in range(choose.randrange(1, 4)):
            await client.send(some_frames(choose, request))
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(0.02):
            await client.rest()
    except OSError:
        pass
    client.close()


@pytest.mark.parametrize("seed", range(0, 400, 40))
async def test_no_frames_end_the_gateway(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    async with talking(http2={"http2_max_resets": 1000}, processes=3) as talk:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_all, talk)
            for number in range(seed, seed + 40):
                await attack(talk, number)
            await talk.client.request(1, fields_of(b"/last"))
            assert (await talk.client.response(1)).body == b"ok"
            nursery.cancel_scope.cancel()
        for lease in talk.workers.leases:
            lease.close()
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR and one.exc_info]
    assert talk.gateway.lane.expected == 0
    assert talk.gateway.lane.tasks == 0


async def answer_all(talk: Conversation) -> None:
    """Workers that answer everything in the same way, and read no body."""
    async with trio.open_nursery() as nursery:
        while True:
            nursery.start_soon(work, await talk.workers.queued())


async def work(lease: Lease) -> None:
    with contextlib.suppress(OSError, AssertionError):  # the lease was given up
        await lease.frame(HELLO)
        while True:
            packet = await lease.packet()
            await lease.answer()
            if packet.modifier2:  # its body is in the way of the next request
                return lease.close()
