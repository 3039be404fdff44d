"""The queue in the kernel from which workers take requests without waiting for the gateway."""

from __future__ import annotations

import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from tests.gateways.instance import Instance, running
from tests.gateways.peers import PATIENCE, Client, Lease, request
from uwgate.gateways.leases import QUEUE_DEPTH
from uwgate.gateways.wire import lease as wire


async def begin(instance: Instance, path: bytes = b"/0") -> tuple[Client, Lease]:
    """A client whose request runs on a lease whose worker reads the queue."""
    client = await instance.connect()
    await client.get(path)
    lease = await instance.workers.accept_reader()
    assert (await lease.packet())[b"PATH_INFO"] == path
    return client, lease


async def ask(instance: Instance, path: bytes, data: bytes | None = None) -> Client:
    """One more client, whose request the gateway has read."""
    client = await instance.connect()
    await client.send(request(b"GET", path) if data is None else data)
    assert await client.is_silent()
    return client


async def ended(instance: Instance, *, left: int) -> None:
    """Sessions have ended, until so many are left."""
    with trio.fail_after(PATIENCE):
        while len(instance.gateway._sessions) > left:  # noqa: ASYNC110  they tell nobody
            await trio.sleep(0.05)


async def test_a_busy_worker_takes_the_next_request_itself() -> None:
    async with running() as instance:
        first, lease = await begin(instance)
        second = await ask(instance, b"/1")
        third = await ask(instance, b"/2")
        assert (await lease.answer_and_take(b"zero"))[b"PATH_INFO"] == b"/1"
        assert (await first.response()).body == b"zero"
        assert (await lease.answer_and_take(b"one"))[b"PATH_INFO"] == b"/2"
        assert (await second.response()).body == b"one"
        assert await lease.take() is None
        await lease.answer(b"two")
        assert (await third.response()).body == b"two"


async def test_answers_that_arrive_together_reach_their_clients() -> None:
    async with running() as instance:
        clients = [(await begin(instance))[0]]
        lease = instance.workers.leases[0]
        clients += [await ask(instance, b"/%d" % n) for n in range(1, 6)]
        frames = b""
        for n in range(6):
            taken = await lease.take() if n < 5 else None
            flags = wire.HEAD | wire.LAST | (wire.QUEUE if taken else 0)
            frames += wire.encode_frame(flags, b"200 OK\r\n", b"%d" % n)
            frames += taken[0] if taken else b""
        for at in range(0, len(frames), 7):  # in pieces that cut heads and numbers
            await lease.send(frames[at : at + 7])
            await trio.lowlevel.checkpoint()
        for n, client in enumerate(clients):
            assert (await client.response()).body == b"%d" % n


async def test_more_answers_than_one_look_takes_reach_their_clients() -> None:
    async with running(http_buffer_size=4096) as instance:
        clients = [(await begin(instance))[0]]
        lease = instance.workers.leases[0]
        clients += [await ask(instance, b"/%d" % n) for n in range(1, 6)]
        frames = b""
        for n in range(6):
            taken = await lease.take() if n < 5 else None
            flags = wire.HEAD | wire.LAST | (wire.QUEUE if taken else 0)
            frames += wire.encode_frame(flags, b"200 OK\r\n", b"%d" % n * 3000)
            frames += taken[0] if taken else b""
        await lease.send(frames)  # at once
        for n, client in enumerate(clients):
            assert (await client.response()).body == b"%d" % n * 3000


async def test_an_idle_worker_is_handed_what_is_left_in_the_queue() -> None:
    async with running() as instance:
        _, lease = await begin(instance)
        second = await ask(instance, b"/1")
        await lease.answer()  # it has not looked
        assert (await lease.packet())[b"PATH_INFO"] == b"/1"
        assert await lease.take() is None
        await lease.answer(b"one")
        assert (await second.response()).body == b"one"


async def test_a_new_worker_is_handed_what_waits_in_the_queue() -> None:
    async with running(processes=2) as instance:
        first, lease = await begin(instance)
        second = await ask(instance, b"/1")
        other = await instance.workers.accept_reader()
        assert (await other.packet())[b"PATH_INFO"] == b"/1"
        await other.answer(b"one")
        assert (await second.response()).body == b"one"
        await lease.answer(b"zero")
        assert (await first.response()).body == b"zero"


async def test_a_small_body_goes_through_the_queue_with_its_request() -> None:
    async with running() as instance:
        first, lease = await begin(instance)
        post = request(b"POST", b"/1", b"Content-Length: 3", body=b"abc")
        second = await ask(instance, b"/1", post + request(b"GET", b"/2"))
        packet = await lease.answer_and_take(b"zero")
        assert packet[b"CONTENT_LENGTH"] == b"3"
        assert packet.body == b"abc"
        assert (await first.response()).body == b"zero"
        await lease.answer(b"one")
        assert (await second.response()).body == b"one"
        assert (await lease.packet())[b"PATH_INFO"] == b"/2"
        await lease.answer(b"two")
        assert (await second.response()).body == b"two"


async def test_a_request_with_a_large_body_keeps_its_place() -> None:
    async with running() as instance:
        _, lease = await begin(instance)
        await ask(instance, b"/1")
        post = request(b"POST", b"/2", b"Content-Length: 9999", body=b"x" * 9999)
        await ask(instance, b"/2", post)
        last = await ask(instance, b"/3")
        assert (await lease.answer_and_take())[b"PATH_INFO"] == b"/1"
        assert await lease.take() is None  # /3 may not overtake /2
        await lease.answer()
        assert (await lease.packet())[b"PATH_INFO"] == b"/2"
        assert await lease.exactly(9999) == b"x" * 9999
        await lease.answer()
        assert (await lease.packet())[b"PATH_INFO"] == b"/3"
        await lease.answer(b"three")
        assert (await last.response()).body == b"three"


async def test_large_requests_do_not_go_into_the_queue() -> None:
    async with running() as instance:
        _, lease = await begin(instance)
        large = await instance.connect()
        await large.get(b"/large", b"X-Large: " + b"x" * wire.MAX_QUEUED)
        assert await large.is_silent()
        assert await lease.take() is None
        await lease.answer()
        packet = await lease.packet()
        assert packet[b"PATH_INFO"] == b"/large"
        assert not packet.modifier2 & wire.MAY_TAKE
        await lease.answer(b"large")
        assert (await large.response()).body == b"large"


async def test_the_queue_has_an_end() -> None:
    async with running() as instance:
        _, lease = await begin(instance)
        for n in range(QUEUE_DEPTH + 3):
            await (await instance.connect()).get(b"/%d" % n)
        await wait_all_tasks_blocked(0.05)
        taken = 0
        while await lease.take() is not None:
            taken += 1
        assert taken == QUEUE_DEPTH
        for client in instance.clients:
            client.reset()


async def test_a_client_that_leaves_while_it_waits_is_taken_out_of_the_queue() -> None:
    async with running() as instance:
        _, lease = await begin(instance)
        second = await ask(instance, b"/1")
        third = await ask(instance, b"/2")
        second.reset()
        await ended(instance, left=2)
        assert (await lease.answer_and_take())[b"PATH_INFO"] == b"/2"
        assert await lease.take() is None
        await lease.answer(b"two")
        assert (await third.response()).body == b"two"


async def test_the_answer_for_a_client_that_left_when_its_request_was_taken_is_dropped() -> None:
    async with running() as instance:
        _, lease = await begin(instance)
        second = await ask(instance, b"/1")
        third = await ask(instance, b"/2")
        taken = await lease.take()
        assert taken is not None
        second.reset()
        await ended(instance, left=2)
        frame = wire.encode_frame(wire.HEAD | wire.LAST | wire.QUEUE, b"200 OK\r\n", b"zero")
        await lease.send(frame + taken[0])
        assert (await lease.answer_and_take(b"for nobody"))[b"PATH_INFO"] == b"/2"
        await lease.answer(b"two")
        assert (await third.response()).body == b"two"


async def test_a_stream_may_be_the_answer_to_a_request_from_the_queue() -> None:
    async with running() as instance:
        first, lease = await begin(instance)
        second = await ask(instance, b"/1")
        await lease.answer_and_take(b"zero")
        await lease.begin(b"on")
        await lease.more(b"e and ")
        await lease.last(b"more")
        assert (await first.response()).body == b"zero"
        assert (await second.response()).body == b"one and more"
        await first.get(b"/again")
        assert (await lease.packet())[b"PATH_INFO"] == b"/again"
        await lease.answer()
        assert (await first.response()).status == 200


async def test_a_worker_that_leaves_takes_nothing_of_the_queue_along() -> None:
    async with running() as instance:
        first, lease = await begin(instance)
        second = await ask(instance, b"/1")
        await lease.answer(b"last", flags=wire.GOODBYE)
        assert (await first.response()).body == b"last"
        fresh = await instance.workers.accept_reader()
        assert (await fresh.packet())[b"PATH_INFO"] == b"/1"
        await fresh.answer(b"one")
        assert (await second.response()).body == b"one"


async def test_what_a_worker_took_before_it_died_runs_elsewhere() -> None:
    async with running() as instance:
        first, lease = await begin(instance)
        second = await ask(instance, b"/1")
        assert await lease.take() is not None
        lease.close()
        assert (await first.response()).status == 502
        fresh = await instance.workers.accept_reader()
        assert (await fresh.packet())[b"PATH_INFO"] == b"/1"
        await fresh.answer(b"one")
        assert (await second.response()).body == b"one"


async def test_what_a_dead_worker_may_have_taken_waits_until_the_others_have_spoken() -> None:
    async with running(processes=2) as instance:
        first, one = await begin(instance)
        other = await ask(instance, b"/other")
        two = await instance.workers.accept_reader()
        assert (await two.packet())[b"PATH_INFO"] == b"/other"
        kept = await ask(instance, b"/kept")
        lost = await ask(instance, b"/lost")
        taken = await two.take()
        assert taken is not None
        assert await one.take() is not None
        one.close()
        assert (await first.response()).status == 502
        fresh = await instance.workers.accept_reader()
        assert await fresh.is_silent()  # perhaps the other worker has both
        await two.send(
            wire.encode_frame(wire.HEAD | wire.LAST | wire.QUEUE, b"200 OK\r\n", b"other")
            + taken[0]
        )
        assert (await other.response()).body == b"other"
        assert (await fresh.packet())[b"PATH_INFO"] == b"/lost"
        await fresh.answer(b"lost")
        assert (await lost.response()).body == b"lost"
        await two.answer(b"kept")
        assert (await kept.response()).body == b"kept"


async def test_a_number_that_was_never_given_out_is_answered_to_nobody() -> None:
    async with running() as instance:
        client, lease = await begin(instance)
        frame = wire.encode_frame(wire.HEAD | wire.LAST | wire.QUEUE, b"200 OK\r\n", b"zero")
        await lease.send(frame + wire.NUMBER.pack(77))
        assert (await client.response()).body == b"zero"
        await lease.answer(b"for nobody")
        await client.get(b"/1")
        assert (await lease.packet())[b"PATH_INFO"] == b"/1"
        await lease.answer(b"one")
        assert (await client.response()).body == b"one"
