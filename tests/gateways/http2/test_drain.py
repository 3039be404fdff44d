"""RFC 9113 section 6.8: a gateway that drains finishes what runs, and loses no request."""

from __future__ import annotations

import pytest
import trio

from tests.gateways.http2.client import (
    DATA,
    NO_ERROR,
    REFUSED_STREAM,
    Conversation,
    fields_of,
    talking,
)
from tests.gateways.peers import PATIENCE, settled

ALL = 0x7FFFFFFF


async def running_request(talk: Conversation) -> None:
    """Stream 1 is with the worker."""
    await talk.client.request(1)
    lease = await talk.workers.accept()
    await lease.packet()


async def test_what_runs_is_answered_before_the_connection_closes(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking() as talk:
        await running_request(talk)
        talk.instance.drain(5.0)
        assert await talk.client.goaway() == (ALL, NO_ERROR)
        assert await talk.client.goaway() == (1, NO_ERROR)
        await talk.workers.leases[0].answer()
        assert (await talk.client.response(1)).body == b"ok"
        assert not await talk.client.rest()
        with trio.fail_after(PATIENCE):
            await talk.gateway.drained()


async def test_a_request_sent_before_the_goaway_was_read_is_served(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking() as talk:
        await running_request(talk)
        talk.instance.drain(5.0)
        await talk.client.request(3)
        await talk.workers.leases[0].answer()
        await talk.workers.leases[0].packet()
        await talk.workers.leases[0].answer(b"late")
        assert (await talk.client.response(3)).body == b"late"


async def test_a_request_behind_the_last_goaway_is_refused_and_may_be_tried_again(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking() as talk:
        await running_request(talk)
        talk.instance.drain(5.0)
        await talk.client.goaway()
        await talk.client.goaway()
        await talk.client.request(3)
        assert await talk.client.reset_of(3) == REFUSED_STREAM
        await talk.workers.leases[0].answer()
        assert (await talk.client.response(1)).body == b"ok"


async def test_a_download_is_finished(hurried_clock: trio.abc.Clock) -> None:
    async with talking() as talk:
        client = talk.client
        await running_request(talk)
        lease = talk.workers.leases[0]
        await lease.begin(b"first,")
        await client.next(DATA, 1)
        talk.instance.drain(5.0)
        await client.goaway()
        await client.goaway()
        await lease.more(b"second,")
        await lease.last(b"third")
        assert (await client.response(1)).body == b"first,second,third"
        assert not await client.rest()


async def test_an_idle_connection_is_told_and_closed(hurried_clock: trio.abc.Clock) -> None:
    async with talking() as talk:
        await talk.works(1)
        talk.instance.drain(5.0)
        assert await talk.client.goaway() == (ALL, NO_ERROR)
        assert await talk.client.goaway() == (1, NO_ERROR)
        assert not await talk.client.rest()


async def test_an_idle_connection_is_closed_at_once_when_the_instance_stops() -> None:
    async with talking() as talk:
        await talk.works(1)
        talk.instance.drain(0.0)
        assert await talk.client.goaway() == (ALL, NO_ERROR)
        assert await talk.client.goaway() == (1, NO_ERROR)
        assert not await talk.client.rest()


async def test_a_client_that_has_asked_for_nothing_is_closed_when_the_instance_stops() -> None:
    async with talking() as talk:
        await talk.client.ping()
        talk.instance.drain(0.0)
        assert await talk.client.goaway() == (ALL, NO_ERROR)
        assert await talk.client.goaway() == (0, NO_ERROR)
        assert not await talk.client.rest()


async def test_a_connection_that_begins_while_the_gateway_drains_gets_one_chance(
    hurried_clock: trio.abc.Clock,
) -> None:
    async with talking() as talk:
        other = await talk.instance.connect()
        await settled()  # accepted
        talk.instance.drain(5.0)
        late = type(talk.client)(other.sock)
        await late.start()
        await late.request(1, fields_of(b"/late"))
        lease = await talk.workers.accept()
        assert (await lease.packet())[b"PATH_INFO"] == b"/late"
        await lease.answer()
        assert (await late.response(1)).status == 200


@pytest.mark.parametrize("idle", [0.0, 5.0])
async def test_an_upload_goes_on_while_the_gateway_drains(
    idle: float, hurried_clock: trio.abc.Clock
) -> None:
    async with talking() as talk:
        client = talk.client
        await client.request(1, end=False)
        lease = await talk.workers.accept()
        await lease.packet()
        await lease.frame(2)
        await client.data(1, b"a")
        assert await lease.chunks_of(1) == b"a"
        talk.instance.drain(idle)
        await client.data(1, b"b", end=True)
        assert await lease.chunks() == b"b"
        await lease.answer()
        assert (await client.response(1)).status == 200
