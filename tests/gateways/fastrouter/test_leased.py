"""Requests that the fastrouter hands to the workers of its own instance, told from both ends."""

from __future__ import annotations

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from tests.gateways.fastrouter.instance import Instance, leasing, packet, running, start_of
from tests.gateways.instance import listen
from tests.gateways.peers import Client, Lease, Uwsgi, Workers, settled
from uwgate.gateways.fastrouter.leased import leads_to_workers
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.uwsgi import PING, PONG

HEAD = b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n"
LARGE = bytes(range(256)) * 400  # more than comes with a packet
OWN_SOCKET = (("fastrouter", "/f"), ("http-socket", "/h"), ("uwsgi", "/u"))


async def begin(gateway: Instance, workers: Workers, data: bytes = b"") -> tuple[Client, Lease]:
    """A client whose request is on a lease of a worker that reads the queue."""
    client = await gateway.ask(data or packet(PATH_INFO="/0"))
    lease = await workers.accept_reader()
    assert (await lease.packet()).modifier2 & wire.FOREIGN
    return client, lease


async def queue(gateway: Instance, data: bytes) -> Client:
    """A client whose request has been put into the queue."""
    client = await gateway.ask(data)
    await settled()
    leases = gateway.gateway.leases
    assert leases is not None
    assert leases._queued
    return client


async def status_of(client: Client) -> int:
    """The status of an answer that the fastrouter gives in its own name."""
    response = await client.response()
    assert response.fields[b"connection"] == b"close"
    return response.status


async def leave(gateway: Instance, client: Client) -> None:
    """The client, who is the only one, resets its connection, and that is noticed."""
    (session,) = gateway.gateway._sessions
    session.watch()  # as the clock does after a moment
    client.reset()
    await settled()
    assert not gateway.gateway._sessions


# Whole requests


async def test_a_packet_reaches_the_worker_as_it_came() -> None:
    request = packet(PATH_INFO="/x", UWSGI_ANY="\xe9")
    async with leasing() as (gateway, workers):
        client = await gateway.ask(request)
        lease = await workers.accept()
        got = await lease.exactly(len(request))
        assert got[4:] == request[4:]
        assert got[:4] == wire.mark(request, wire.FOREIGN | wire.MAY_TAKE)[:4]
        await lease.answer(b"ok", HEAD)
        assert await client.rest() == HEAD + b"ok"


async def test_a_lease_serves_one_request_after_the_other() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await lease.answer(b"0", HEAD)
        assert await client.rest() == HEAD + b"0"
        client = await gateway.ask(packet(PATH_INFO="/1"))
        assert (await lease.packet())[b"PATH_INFO"] == b"/1"
        await lease.answer(b"1", HEAD)
        assert await client.rest() == HEAD + b"1"


async def test_a_busy_worker_takes_the_next_request_from_the_queue() -> None:
    async with leasing() as (gateway, workers):
        first, lease = await begin(gateway, workers)
        second = await queue(gateway, packet(b"body", PATH_INFO="/1"))
        taken = await lease.take()
        assert taken is not None
        number, request = taken
        assert (request[b"PATH_INFO"], request.body) == (b"/1", b"body")
        await lease.answer(b"0", HEAD, wire.QUEUE)
        await lease.send(number)
        assert await first.rest() == HEAD + b"0"
        await lease.answer(b"1", HEAD)
        assert await second.rest() == HEAD + b"1"


async def test_nothing_that_follows_the_body_reaches_the_worker() -> None:
    async with leasing() as (gateway, workers):
        client = await gateway.ask(packet(b"body") + packet(PATH_INFO="/smuggled"))
        lease = await workers.accept()
        await lease.packet()
        assert await lease.exactly(4) == b"body"
        await lease.answer(b"0", HEAD)
        assert await client.rest() == HEAD + b"0"
        assert await lease.is_silent()


async def test_a_length_of_which_workers_read_less_makes_no_second_request() -> None:
    async with leasing() as (gateway, workers):
        await gateway.ask(packet(b"body", CONTENT_LENGTH="0" * 18 + "4"))
        lease = await workers.accept()
        assert (await lease.packet()).modifier2 == wire.FOREIGN | wire.HANDED_OVER


async def test_a_request_needs_no_key() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(HTTP_HOST=""))
        await lease.answer(b"ok", HEAD)
        assert await client.rest() == HEAD + b"ok"


async def test_a_ping_is_answered_without_a_worker() -> None:
    async with leasing() as (gateway, _):
        client = await gateway.ask(PING)
        assert await client.rest() == PONG


@pytest.mark.parametrize("modifier1", [1, 5, 99, 255])
async def test_a_modifier_that_workers_do_not_serve_is_refused(modifier1: int) -> None:
    async with leasing() as (gateway, workers):
        client = await gateway.ask(packet(b"", modifier1))
        assert await status_of(client) == 502
        assert gateway.gateway.counters["unavailable-modifier"] == 1
        assert await workers.nobody_waits()


async def test_modifier_30_is_left_to_the_worker() -> None:
    async with leasing() as (gateway, workers):
        await gateway.ask(packet(b"", 30))
        lease = await workers.accept()
        assert (await lease.packet()).modifier1 == 30


@pytest.mark.parametrize("modifier2", [0, 1, 8, 16, 64, 255])
async def test_a_client_cannot_set_flags_of_the_lease(modifier2: int) -> None:
    async with leasing() as (gateway, workers):
        await gateway.ask(packet(b"", 0, modifier2))
        lease = await workers.accept()
        assert (await lease.packet()).modifier2 == wire.FOREIGN | wire.MAY_TAKE


# Answers of more than one piece


async def test_a_stream_goes_on_as_it_comes_and_the_lease_is_kept() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await lease.begin(b"a", HEAD)
        assert await client.exactly(len(HEAD) + 1) == HEAD + b"a"
        await lease.more(b"b")
        assert await client.exactly(1) == b"b"
        await lease.last(b"c")
        assert await client.rest() == b"c"
        await gateway.ask(packet(PATH_INFO="/1"))
        assert (await lease.packet())[b"PATH_INFO"] == b"/1"


@pytest.mark.parametrize("step", [1, 3, 7, 50])
async def test_frames_may_be_cut_anywhere(step: int) -> None:
    frames = (
        wire.encode_frame(wire.HEAD, HEAD, b"one")
        + wire.encode_frame(0, b"", b"")
        + wire.encode_frame(0, b"", b"two")
        + wire.encode_frame(wire.LAST, b"", b"three")
    )
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        for at in range(0, len(frames), step):
            await lease.send(frames[at : at + step])
            await settled()
        assert await client.rest() == HEAD + b"onetwothree"


async def test_an_answer_larger_than_a_frame_of_the_lane_is_passed_on() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await lease.answer(LARGE, HEAD)
        assert await client.rest() == HEAD + LARGE
        await gateway.ask(packet(PATH_INFO="/1"))
        assert (await lease.packet())[b"PATH_INFO"] == b"/1"


async def test_a_client_that_does_not_read_holds_the_worker_back() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await lease.begin(b"", HEAD)
        frame = wire.encode_frame(0, b"", bytes(65536))
        total = await lease.send_until_blocked(frame)
        (session,) = gateway.gateway._sessions
        assert session._relay is not None
        assert session._relay.down is not None
        assert len(session._relay.down.pending) <= 65536
        assert total < 8 << 20
        assert len(await client.exactly(len(HEAD) + 65536)) == len(HEAD) + 65536


async def test_an_answer_for_a_slow_client_frees_the_worker_when_it_has_been_taken() -> None:
    async with leasing(fastrouter_buffer_size=65536) as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await lease.begin(LARGE[:50000], HEAD)
        await lease.last(LARGE[50000:])
        other = await gateway.ask(packet(PATH_INFO="/1"))
        assert (await lease.packet())[b"PATH_INFO"] == b"/1"
        await lease.answer(b"1", HEAD)
        assert await other.rest() == HEAD + b"1"
        assert await client.rest() == HEAD + LARGE


# Bodies


async def test_a_body_that_is_still_to_come_follows_when_the_worker_has_taken_the_request() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(
            gateway, workers, packet(CONTENT_LENGTH=str(len(LARGE))) + LARGE[:10]
        )
        assert await lease.exactly(10) == LARGE[:10]
        await client.send(LARGE[10:])
        assert await lease.is_silent()
        await lease.frame(wire.TAKEN)
        assert await lease.exactly(len(LARGE) - 10) == LARGE[10:]
        await lease.answer(b"ok", HEAD)
        assert await client.rest() == HEAD + b"ok"
        await gateway.ask(packet(PATH_INFO="/1"))
        assert (await lease.packet())[b"PATH_INFO"] == b"/1"


async def test_nothing_follows_a_body_that_came_late() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(CONTENT_LENGTH="4"))
        await lease.frame(wire.TAKEN)
        await client.send(b"body" + packet(PATH_INFO="/smuggled"))
        assert await lease.exactly(4) == b"body"
        assert await lease.is_silent()
        await lease.answer(b"ok", HEAD)
        assert await client.exactly(len(HEAD)) == HEAD
        assert await lease.is_silent()


async def test_a_worker_that_wants_no_body_is_done_without_it() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(CONTENT_LENGTH="9999") + b"x")
        await lease.answer(b"no", HEAD, wire.GOODBYE)
        lease.close()
        assert await client.exactly(len(HEAD) + 2) == HEAD + b"no"
        await settled()
        assert gateway.gateway.counters["answer-502"] == 0
        await client.send(b"x" * 9998)
        client.half_close()
        assert await client.rest() == b""


async def test_a_worker_that_wants_no_more_of_a_body_is_done_without_it() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(CONTENT_LENGTH=str(1 << 40)))
        await lease.frame(wire.TAKEN)
        await client.send_until_blocked(bytes(65536))
        await lease.answer(b"no", HEAD, wire.GOODBYE)
        lease.close()
        assert await client.exactly(len(HEAD) + 2) == HEAD + b"no"


async def test_a_client_that_breaks_off_its_body_ends_the_lease() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(CONTENT_LENGTH="10") + b"abc")
        assert await lease.exactly(3) == b"abc"
        await lease.frame(wire.TAKEN)
        client.half_close()
        assert await lease.rest() == b""
        await lease.answer(b"400", HEAD, wire.GOODBYE)
        assert await client.rest() == HEAD + b"400"


async def test_a_body_that_was_taken_in_before_goes_to_the_worker() -> None:
    async with leasing(fastrouter_post_buffering=4096) as (gateway, workers):
        client = await gateway.ask(packet(CONTENT_LENGTH=str(len(LARGE))) + LARGE[:10])
        assert await workers.nobody_waits()
        await client.send(LARGE[10:])
        lease = await workers.accept()
        await lease.packet()
        await lease.frame(wire.TAKEN)
        assert await lease.exactly(len(LARGE)) == LARGE
        await lease.answer(b"ok", HEAD)
        assert await client.rest() == HEAD + b"ok"


# Connections


async def test_an_upgrade_makes_a_connection_of_the_lease() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(HTTP_UPGRADE="websocket") + b"early")
        assert await lease.exactly(5) == b"early"
        await lease.frame(wire.TAKEN)
        await lease.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await client.until(b"\r\n\r\n")
        for number in range(3):
            await client.send(b"ping %d;" % number)
            assert await lease.until(b";") == b"ping %d;" % number
            await lease.send(b"pong %d;" % number)
            assert await client.until(b";") == b"pong %d;" % number
        client.half_close()
        assert await lease.rest() == b""
        await lease.send(b"last words")
        lease.close()
        assert await client.rest() == b"last words"


async def test_an_answer_right_behind_taken_is_passed_on() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(HTTP_TRANSFER_ENCODING="chunked"))
        await lease.send(wire.TAKEN_FRAME + HEAD + b"body")
        lease.close()
        client.half_close()
        assert await client.rest() == HEAD + b"body"


# Workers that leave or die


@pytest.mark.parametrize(
    "request_", [packet(), packet(CONTENT_LENGTH="10") + b"abc", packet(HTTP_UPGRADE="x")]
)
async def test_a_request_that_a_leaving_worker_has_not_run_goes_to_another(request_: bytes) -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, request_)
        await lease.goodbye()
        lease = await workers.accept()
        got = await lease.exactly(len(request_))
        assert got[4:] == request_[4:]
        await lease.send(wire.TAKEN_FRAME)
        client.reset()
        assert await lease.rest() == b""


@pytest.mark.parametrize(
    "request_", [packet(), packet(CONTENT_LENGTH="10") + b"abc", packet(HTTP_UPGRADE="x")]
)
async def test_a_worker_that_dies_makes_a_502_and_the_next_request_goes_elsewhere(
    request_: bytes,
) -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, request_)
        lease.close()
        assert (await client.head()).status == 502
        client.close()
        client, lease = await begin(gateway, workers)
        await lease.answer(b"ok", HEAD)
        assert await client.rest() == HEAD + b"ok"


@pytest.mark.parametrize("end", ["dies", "breaks off", "leaves", "talks nonsense"])
async def test_an_answer_that_breaks_off_is_reset(end: str) -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await lease.begin(b"part", HEAD)
        assert await client.exactly(len(HEAD) + 4) == HEAD + b"part"
        await lease.send(
            {
                "dies": b"",
                "breaks off": wire.FRAME.pack(wire.LAST | wire.ABORTED, 0, 0),
                "leaves": wire.GOODBYE_FRAME,
                "talks nonsense": wire.FRAME.pack(0, 0, wire.MAX_CHUNK + 1),
            }[end]
        )
        lease.close()
        with pytest.raises(ConnectionResetError):
            await client.rest()
        assert gateway.gateway.counters["cut-off"] == 1


async def test_a_goodbye_with_the_answer_ends_the_lease_and_not_the_answer() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await lease.begin(b"a", HEAD)
        await lease.last(b"b", wire.GOODBYE)
        lease.close()
        assert await client.rest() == HEAD + b"ab"


async def test_what_a_dead_worker_had_taken_runs_elsewhere() -> None:
    async with leasing() as (gateway, workers):
        first, lease = await begin(gateway, workers)
        second = await queue(gateway, packet(PATH_INFO="/1"))
        assert await lease.take() is not None
        lease.close()
        assert (await first.head()).status == 502
        other = await workers.accept()
        assert (await other.packet())[b"PATH_INFO"] == b"/1"
        await other.answer(b"1", HEAD)
        assert await second.rest() == HEAD + b"1"


# Clients that leave


async def test_a_request_whose_client_leaves_while_it_waits_is_not_run() -> None:
    async with leasing() as (gateway, workers):
        first, lease = await begin(gateway, workers)
        second = await queue(gateway, packet(PATH_INFO="/1"))
        for session in gateway.gateway._sessions:
            session.watch()  # as the clock does after a moment
        second.reset()
        await settled()
        assert await lease.take() is None
        await lease.answer(b"0", HEAD)
        assert await first.rest() == HEAD + b"0"
        assert await lease.is_silent()


async def test_the_answer_for_a_client_that_left_is_thrown_away() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await leave(gateway, client)
        other = await queue(gateway, packet(PATH_INFO="/1"))
        await lease.answer(b"0", HEAD)
        assert (await lease.packet())[b"PATH_INFO"] == b"/1"
        await lease.answer(b"1", HEAD)
        assert await other.rest() == HEAD + b"1"


@pytest.mark.parametrize("variables", [{"CONTENT_LENGTH": "10"}, {"HTTP_UPGRADE": "x"}])
async def test_a_client_that_leaves_before_its_request_is_taken_ends_the_lease(
    variables: dict[str, str],
) -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(**variables))
        await leave(gateway, client)
        await lease.frame(wire.TAKEN)
        assert await lease.rest() == b""


@pytest.mark.parametrize("variables", [{"CONTENT_LENGTH": "10"}, {"HTTP_UPGRADE": "x"}])
async def test_a_client_that_leaves_when_its_request_is_taken_ends_the_lease(
    variables: dict[str, str],
) -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers, packet(**variables))
        await lease.frame(wire.TAKEN)
        await settled()
        await leave(gateway, client)
        assert await lease.rest() == b""


async def test_a_client_that_leaves_a_stream_ends_the_lease() -> None:
    async with leasing() as (gateway, workers):
        client, lease = await begin(gateway, workers)
        await lease.begin(b"a", HEAD)
        await client.exactly(1)
        client.reset()
        assert await lease.is_closed_after(wire.encode_frame(0, b"", b"b"))


# Time


@pytest.mark.parametrize(
    "request_", [packet(), packet(CONTENT_LENGTH="10") + b"abc", packet(HTTP_UPGRADE="x")]
)
async def test_a_request_that_no_worker_answers_in_time_gets_504(
    request_: bytes, autojump_clock: MockClock
) -> None:
    async with leasing(fastrouter_timeout=5.0) as (gateway, _):
        client = await gateway.ask(request_)
        assert (await client.head()).status == 504
        assert trio.current_time() < 7


# Who is meant


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (True, {}),
        (True, {"use_socket": 1, "bound": OWN_SOCKET}),
        (False, {"use_socket": 0, "bound": OWN_SOCKET}),  # it wants HTTP
        (False, {"use_socket": 1, "bound": OWN_SOCKET, "fallback": ("/b",)}),
        (False, {"use_socket": 1, "bound": OWN_SOCKET, "use_base": "/b"}),
        (False, {"to": ("/b",)}),
        (False, {"fallback": ("/b",)}),
        (False, {"use_pattern": "/%s"}),
        (False, {"subscription_server": ("/s",)}),
        (False, {"processes": 0}),
    ],
)
def test_own_workers_are_meant_where_nobody_else_is_named(
    expected: bool, options: dict[str, object]
) -> None:
    with listen() as door:
        assert leads_to_workers(start_of(door, **options)) is expected  # type: ignore[arg-type]


async def test_a_backend_that_is_named_is_connected_all_the_same() -> None:
    backend = Uwsgi.on_tcp()
    workers = Workers()
    async with running(to=(backend.address,), lease_address=workers.address) as gateway:
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(HEAD)
        assert await client.rest() == HEAD
        assert await workers.nobody_waits()
    backend.close()
    workers.close()
