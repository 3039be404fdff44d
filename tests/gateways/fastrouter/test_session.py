"""One request through the fastrouter, told from both ends."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio

from tests.gateways.fastrouter.instance import Instance, packet, routing, running
from tests.gateways.peers import Client, Uwsgi
from tests.gateways.test_names import Resolver
from uwgate.gateways.wire.uwsgi import encode_block

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def status_of(client: Client) -> int:
    """The status of an answer that the fastrouter gives in its own name."""
    response = await client.response()
    assert response.fields[b"connection"] == b"close"
    assert await client.rest() == b""
    return response.status


def held(gateway: Instance) -> int:
    """Bytes that the fastrouter keeps of its one session, whatever the kernel keeps."""
    (session,) = gateway.gateway._sessions
    relay = session._relay
    assert relay is not None
    return len(relay.up.pending) + (len(relay.down.pending) if relay.down is not None else 0)


async def test_a_packet_and_its_answer_pass_unchanged() -> None:
    request = packet(b"", 5, 3, PATH_INFO="/x")
    async with routing() as (gateway, backend):
        client = await gateway.ask(request)
        async with await backend.accept() as worker:
            assert await worker.exactly(len(request)) == request
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 40])
async def test_a_packet_may_come_in_pieces(cut: int) -> None:
    request = packet()
    async with routing() as (gateway, backend):
        client = await gateway.ask(request[:cut])
        assert await backend.is_idle()
        await client.send(request[cut:])
        async with await backend.accept() as worker:
            assert await worker.exactly(len(request)) == request
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


async def test_a_client_that_has_to_be_waited_for_does_not_block() -> None:
    async with routing() as (gateway, backend):
        await gateway.connect()
        assert await backend.is_idle()
        (session,) = gateway.gateway._sessions
        assert session.sock.gettimeout() == 0.0


async def test_the_largest_packet_passes() -> None:
    room = 0xFFFF - (len(packet(PAD="")) - 4)
    request = packet(PAD="x" * room)
    assert len(request) == 4 + 0xFFFF
    async with routing() as (gateway, backend):
        client = await gateway.ask(request)
        async with await backend.accept() as worker:
            assert await worker.exactly(len(request)) == request
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


async def test_a_unix_socket_on_either_side_does_the_same(tmp_path: Path) -> None:
    backend = Uwsgi.on_path(f"{tmp_path}/b")
    async with running(path=f"{tmp_path}/d", to=(backend.address,)) as gateway:
        client = await gateway.ask(packet(b"body"))
        async with await backend.accept() as worker:
            assert (await worker.packet())[b"CONTENT_LENGTH"] == b"4"
            assert await worker.exactly(4) == b"body"
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER
    backend.close()


async def test_bytes_go_both_ways_until_both_ends_are_done() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet(HTTP_UPGRADE="websocket"))
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            await client.until(b"\r\n\r\n")
            for number in range(3):
                await client.send(b"ping %d;" % number)
                assert await worker.until(b";") == b"ping %d;" % number
                await worker.send(b"pong %d;" % number)
                assert await client.until(b";") == b"pong %d;" % number
            client.half_close()
            assert await worker.rest() == b""
            await worker.send(b"last words")
        assert await client.rest() == b"last words"


async def test_a_client_may_go_on_sending_when_the_backend_has_said_everything() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet(CONTENT_LENGTH="6") + b"abc")
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(ANSWER)
            worker.half_close()
            assert await client.rest() == ANSWER
            assert await worker.exactly(3) == b"abc"
            await client.send(b"def")
            assert await worker.exactly(3) == b"def"
            client.half_close()
            assert await worker.rest() == b""


async def test_an_end_of_file_behind_the_request_is_carried_over() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        client.half_close()
        async with await backend.accept() as worker:
            await worker.packet()
            assert await worker.rest() == b""
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


async def test_a_client_that_is_gone_takes_its_request_along() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            client.reset()
            assert await worker.rest() == b""
        assert gateway.gateway.counters["client-gone"] == 1


async def test_a_client_of_a_unix_socket_that_closes_is_gone(tmp_path: Path) -> None:
    backend = Uwsgi.on_path(f"{tmp_path}/b")
    async with running(path=f"{tmp_path}/d", to=(backend.address,)) as gateway:
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            client.close()
            assert await worker.rest() == b""
    backend.close()


async def test_a_slow_client_holds_the_backend_back() -> None:
    async with routing(fastrouter_buffer_size=4096) as (gateway, backend):
        client = await gateway.connect()
        await client.send(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            sent = await worker.send_until_blocked(os.urandom(1 << 16))
            assert 0 < held(gateway) <= 4096
            worker.half_close()
            total = 0
            while data := await client.receive():
                total += len(data)
            assert total == sent


async def test_a_slow_backend_holds_the_client_back() -> None:
    async with routing(fastrouter_buffer_size=4096) as (gateway, backend):
        client = await gateway.ask(packet(CONTENT_LENGTH=str(1 << 40)))
        async with await backend.accept() as worker:
            await worker.packet()
            sent = await client.send_until_blocked(b"x" * (1 << 16))
            assert 0 < held(gateway) <= 4096
            client.half_close()
            total = 0
            while data := await worker.receive():
                total += len(data)
            assert total == sent
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


async def test_both_directions_move_at_the_same_time() -> None:
    size = 1 << 22
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet(CONTENT_LENGTH=str(size)))
        async with await backend.accept() as worker, trio.open_nursery() as nursery:
            await worker.packet()
            nursery.start_soon(client.send, b"u" * size)
            nursery.start_soon(worker.send, b"d" * size)
            assert len(await worker.exactly(size)) == size
            assert len(await client.exactly(size)) == size


# Bad packets


@pytest.mark.parametrize(
    "block", [b"\0\0\0\0", b"\5\0abc", b"\1\0K\5\0abc"], ids=["empty key", "short key", "short"]
)
async def test_a_malformed_block_is_refused(block: bytes) -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(encode_block(block))
        assert await status_of(client) == 400
        assert gateway.gateway.counters["malformed-packet"] == 1
        assert await backend.is_idle()


@pytest.mark.parametrize("size", [1, 4, 30])
async def test_a_packet_that_ends_too_early_is_counted(size: int) -> None:
    async with routing() as (gateway, _):
        client = await gateway.ask(packet()[:size])
        client.half_close()
        assert await client.rest() == b""
        assert gateway.gateway.counters["cut-short"] == 1


async def test_who_connects_and_leaves_is_nobodys_concern() -> None:
    async with routing() as (gateway, _):
        client = await gateway.connect()
        client.half_close()
        assert await client.rest() == b""
        assert gateway.gateway.counters.as_dict() == {}


async def test_a_packet_has_to_be_complete_in_time(hurried_clock: trio.abc.Clock) -> None:
    async with routing(fastrouter_timeout=5.0) as (gateway, _):
        client = await gateway.ask(packet()[:10])
        began = trio.current_time()
        for _ in range(4):
            await trio.sleep(1)
            await client.send(b"\0")  # every byte is one too few
        assert await status_of(client) == 408
        assert 5.0 <= trio.current_time() - began <= 6.5


async def test_a_client_that_says_nothing_is_closed(hurried_clock: trio.abc.Clock) -> None:
    async with routing(fastrouter_timeout=5.0) as (gateway, _):
        client = await gateway.connect()
        assert await client.rest() == b""


async def test_a_request_without_a_key_is_refused() -> None:
    async with routing() as (gateway, _):
        client = await gateway.ask(packet(HTTP_HOST=""))
        assert await status_of(client) == 400
        assert gateway.gateway.counters["no-key"] == 1


async def test_a_request_without_a_key_goes_to_the_fallback_if_that_is_wanted() -> None:
    fallback = Uwsgi.on_tcp()
    async with routing(fastrouter_fallback_on_no_key=True, fallback=(fallback.address,)) as (
        gateway,
        backend,
    ):
        client = await gateway.ask(packet(HTTP_HOST=""))
        async with await fallback.accept() as worker:
            await worker.packet()
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER
        assert await backend.is_idle()
    fallback.close()


# Backends that fail


def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


async def test_another_backend_gets_what_one_does_not_take() -> None:
    request = packet(b"body", 5, 3)
    backend = Uwsgi.on_tcp()
    async with running(to=(nobody(), backend.address)) as gateway:
        client = await gateway.ask(request)
        async with await backend.accept() as worker:
            assert await worker.exactly(len(request)) == request
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER
    backend.close()


async def test_nobody_there_makes_a_503_that_says_when_to_come_back(tmp_path: Path) -> None:
    async with running(to=(nobody(), f"{tmp_path}/nobody")) as gateway:
        client = await gateway.ask(packet())
        response = await client.response()
        assert response.status == 503
        assert int(response.fields[b"retry-after"]) >= 1
        assert await client.rest() == b""


async def test_a_backend_that_closes_without_a_word_makes_a_502() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
        assert await status_of(client) == 502


async def test_a_client_that_still_sends_gets_to_read_the_502() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet(CONTENT_LENGTH="1000000"))
        worker = await backend.accept()
        await worker.packet()
        worker.reset()
        response = await client.response()
        await client.send(b"x" * 500000)
        assert response.status == 502
        assert await client.rest() == b""


async def test_a_backend_may_refuse_a_body_before_it_has_come() -> None:
    answer = b"HTTP/1.1 413 Content Too Large\r\n\r\n"
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet(CONTENT_LENGTH="1000000"))
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(answer)
        await client.send(b"x" * 500000)
        assert await client.rest() == answer


async def test_a_backend_that_does_not_answer_makes_a_504(hurried_clock: trio.abc.Clock) -> None:
    async with routing(fastrouter_timeout=5.0) as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            assert await status_of(client) == 504
            assert await worker.rest() == b""


async def test_a_client_that_stops_sending_makes_a_408(hurried_clock: trio.abc.Clock) -> None:
    async with routing(fastrouter_timeout=5.0) as (gateway, backend):
        client = await gateway.ask(packet(CONTENT_LENGTH="10") + b"abc")
        async with await backend.accept() as worker:
            await worker.packet()
            assert await status_of(client) == 408


async def test_bytes_that_move_put_the_time_out_off(hurried_clock: trio.abc.Clock) -> None:
    async with routing(fastrouter_timeout=5.0) as (gateway, backend):
        client = await gateway.ask(packet(CONTENT_LENGTH="10"))
        async with await backend.accept() as worker:
            await worker.packet()
            for _ in range(10):
                await trio.sleep(3)
                await client.send(b"x")
            assert await worker.exactly(10) == b"x" * 10
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


async def test_an_answer_that_stops_is_reset_not_ended(hurried_clock: trio.abc.Clock) -> None:
    async with routing(fastrouter_timeout=3.0) as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
            await client.until(b"half")
            with pytest.raises(ConnectionResetError):
                await client.receive()


async def test_an_answer_whose_backend_is_reset_is_reset_too() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        worker = await backend.accept()
        await worker.packet()
        await worker.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await client.until(b"half")
        worker.reset()
        with pytest.raises(ConnectionResetError):
            await client.receive()


async def test_a_backend_that_does_not_accept_is_given_up(hurried_clock: trio.abc.Clock) -> None:
    backend = Uwsgi.on_tcp()
    # TEST-NET-1 (RFC 5737): packets to it go nowhere, or there is no route.
    async with running(to=("192.0.2.1:9", backend.address), connect_timeout=2.0) as gateway:
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER
    backend.close()


async def test_a_full_accept_queue_is_waited_for(tmp_path: Path) -> None:
    backend = Uwsgi.on_path(f"{tmp_path}/b", backlog=0)
    async with running(to=(backend.address,)) as gateway:
        clients = [await gateway.ask(packet()) for _ in range(5)]
        for _ in clients:
            async with await backend.accept() as worker:
                await worker.packet()
                await worker.send(ANSWER)
        assert [await client.rest() for client in clients] == [ANSWER] * 5
    backend.close()


async def test_a_full_accept_queue_is_not_waited_for_for_ever(
    tmp_path: Path, hurried_clock: trio.abc.Clock
) -> None:
    backend = Uwsgi.on_path(f"{tmp_path}/b", backlog=0)
    async with running(to=(backend.address,), connect_timeout=2.0) as gateway:
        clients = [await gateway.ask(packet()) for _ in range(3)]
        assert await status_of(clients[-1]) == 503
        backend.close()  # and with it the connection that waits there


async def test_a_backend_may_have_a_host_name_with_several_addresses() -> None:
    backend = Uwsgi.on_tcp()
    port = backend.address.rpartition(":")[2]
    trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.9", "127.0.0.1"))
    async with running(to=(f"here:{port}",)) as gateway:
        for _ in range(2):
            client = await gateway.ask(packet())
            async with await backend.accept() as worker:
                await worker.packet()
                await worker.send(ANSWER)
            assert await client.rest() == ANSWER
    backend.close()


async def test_a_host_name_that_nobody_has_is_a_backend_that_fails() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    async with running(to=("nowhere:3031",)) as gateway:
        client = await gateway.ask(packet())
        assert await status_of(client) == 503


# The end


async def test_a_drain_lets_running_requests_finish() -> None:
    async with routing() as (gateway, backend):
        client = await gateway.ask(packet())
        async with await backend.accept() as worker:
            await worker.packet()
            gateway.drain()
            await worker.send(ANSWER)
        assert await client.rest() == ANSWER


async def test_a_drain_closes_who_has_said_nothing() -> None:
    async with routing() as (gateway, _):
        client = await gateway.connect()
        await trio.testing.wait_all_tasks_blocked(0.05)
        gateway.drain()
        assert await client.rest() == b""
