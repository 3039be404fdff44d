"""The fastrouter as a whole: nodes, buffered bodies, closed doors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.gateways.corerouter.routers import announce, leave
from tests.gateways.fastrouter.instance import packet, routing, running
from tests.gateways.fastrouter.test_session import ANSWER, nobody, status_of
from tests.gateways.peers import PATIENCE, Uwsgi

SERVER = "127.0.0.1:4000"  # nobody binds it


async def test_the_modifiers_of_a_node_replace_those_of_the_packet() -> None:
    request = packet(b"body", 5, 3)
    backend = Uwsgi.on_tcp()
    async with running(subscription_server=(SERVER,)) as gateway:
        core = gateway.gateway.corerouter
        announce(core, backend.address, key="a.example", modifier1=9, modifier2=0)
        client = await gateway.ask(request)
        async with await backend.accept() as worker:
            got = await worker.exactly(len(request))
            assert (got[0], got[3]) == (9, 0)
            assert (got[1:3], got[4:]) == (request[1:3], request[4:])
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER
    backend.close()


async def test_a_node_is_told_what_became_of_its_requests() -> None:
    backend = Uwsgi.on_tcp()
    request = packet(b"body")
    async with running(subscription_server=(SERVER,)) as gateway:
        core = gateway.gateway.corerouter
        announce(core, backend.address, key="a.example")
        assert core.table is not None
        (node,) = core.table.slots["a.example"].nodes
        client = await gateway.ask(request)
        async with await backend.accept() as worker:
            await worker.exactly(len(request))
            assert (node.reference, node.requests) == (1, 1)
            await worker.send(ANSWER)
        await client.rest()
        assert node.reference == 0
        assert (node.tx, node.rx) == (len(ANSWER), len(request))
    backend.close()


async def test_a_key_that_nobody_serves_gets_503() -> None:
    async with running(subscription_server=(SERVER,)) as gateway:
        client = await gateway.ask(packet())
        assert await status_of(client) == 503


async def test_a_cheap_fastrouter_accepts_only_while_it_has_nodes() -> None:
    backend = Uwsgi.on_tcp()
    async with running(subscription_server=(SERVER,), cheap=True) as gateway:
        core = gateway.gateway.corerouter
        client = await gateway.ask(packet())
        assert await client.is_silent()
        announce(core, backend.address, key="a.example")
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER
        leave(core, backend.address, key="a.example")
        client = await gateway.ask(packet())
        assert await client.is_silent()
    backend.close()


async def test_a_python_function_may_choose(tmp_path: Path) -> None:
    backend = Uwsgi.on_tcp()
    code = tmp_path / "choose.py"
    code.write_text(f"def choose(key):\n    return b'{backend.address}'\n")
    async with running(use_code_string=f"0:{code}:choose") as gateway:
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER
    backend.close()


async def test_who_leaves_while_a_function_chooses_leaves_nothing_behind(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = tmp_path / "choose.py"
    code.write_text(
        "from pathlib import Path\n"
        "def choose(key):\n"
        f"    return Path({str(gate)!r}).read_bytes() or None\n"
    )
    async with running(use_code_string=f"0:{code}:choose") as gateway:
        client = await gateway.ask(packet())
        await trio.to_thread.run_sync(gate.write_bytes, b"")  # the function has begun
        assert await status_of(client) == 503
        client = await gateway.ask(packet())
        await trio.testing.wait_all_tasks_blocked(0.05)
        client.reset()
        gateway.drain()
        with trio.fail_after(PATIENCE):
            await gateway.gateway.drained()
        await trio.to_thread.run_sync(gate.write_bytes, b"127.0.0.1:1")


# Bodies that are taken in


@pytest.mark.parametrize("size", [5, 10, 100_000])
async def test_a_body_is_whole_before_a_backend_is_asked(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    request = packet(body)
    async with routing(fastrouter_post_buffering=10) as (gateway, backend):
        client = await gateway.ask(request[:-2])
        assert await backend.is_idle()
        await client.send(request[-2:])
        async with await backend.accept() as worker:
            assert await worker.exactly(len(request)) == request
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


async def test_a_body_that_was_taken_in_may_go_to_a_second_backend() -> None:
    request = packet(b"x" * 100_000)
    backend = Uwsgi.on_tcp()
    async with running(to=(nobody(), backend.address), fastrouter_post_buffering=10) as gateway:
        client = await gateway.ask(request)
        async with await backend.accept() as worker:
            assert await worker.exactly(len(request)) == request
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER
    backend.close()


async def test_a_body_for_which_there_is_no_room_is_sent_on_as_it_comes() -> None:
    request = packet(b"x" * 100_000)
    async with routing(fastrouter_post_buffering=10, fastrouter_post_buffers=30_000) as (
        gateway,
        backend,
    ):
        client = await gateway.ask(request[:-2])
        async with await backend.accept() as worker:
            assert await worker.exactly(len(request) - 2) == request[:-2]
            await client.send(request[-2:])
            assert await worker.exactly(2) == request[-2:]
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


async def test_a_body_that_ends_too_early_reaches_no_backend() -> None:
    async with routing(fastrouter_post_buffering=10) as (gateway, backend):
        client = await gateway.ask(packet(b"x" * 100)[:-1])
        client.half_close()
        assert await client.rest() == b""
        assert gateway.gateway.counters["cut-short"] == 1
        assert await backend.is_idle()


async def test_a_body_that_stops_coming_makes_a_408(hurried_clock: trio.abc.Clock) -> None:
    async with routing(fastrouter_post_buffering=10, fastrouter_timeout=5.0) as (gateway, _):
        client = await gateway.ask(packet(b"x" * 100)[:-1])
        assert await status_of(client) == 408


async def test_what_streams_is_not_held_up_by_post_buffering() -> None:
    async with routing(fastrouter_post_buffering=10) as (gateway, backend):
        client = await gateway.ask(packet(HTTP_TRANSFER_ENCODING="chunked") + b"some")
        async with await backend.accept() as worker:
            await worker.packet()
            assert await worker.exactly(4) == b"some"
            await worker.send(ANSWER)
            client.half_close()
        assert await client.rest() == ANSWER


# Limits


async def test_connections_beyond_the_limit_wait(hurried_clock: trio.abc.Clock) -> None:
    async with routing(fastrouter_max_connections=1) as (gateway, backend):
        first = await gateway.ask(packet())
        second = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            assert await backend.is_idle()
            await worker.send(ANSWER)
        assert await first.rest() == ANSWER
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(ANSWER)
        assert await second.rest() == ANSWER


async def test_a_drain_gives_who_has_said_nothing_a_moment(hurried_clock: trio.abc.Clock) -> None:
    async with routing() as (gateway, backend):
        late = await gateway.connect()
        silent = await gateway.connect()
        await trio.testing.wait_all_tasks_blocked(0.05)
        gateway.drain(5.0)
        await late.send(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(ANSWER)
        assert await late.rest() == ANSWER
        assert await silent.rest() == b""
