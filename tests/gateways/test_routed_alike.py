"""The examples that were compared with the real uWSGI, through the gateway and its own framing.

``tests/routing/simulation.py`` says what is expected; the real uWSGI has been asked the same.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio

from tests.gateways.instance import running
from tests.gateways.peers import Lease, Response, Workers, request
from tests.routing.examples import ALIKE, Ask, Example
from tests.routing.mirror import application
from tests.routing.simulation import Response as Expected
from tests.routing.simulation import Server
from uwgate.gateways.wire import lease as wire
from uwgate.gateways.wire.chunked import ChunkedDecoder

# Not a gateway's: caches, functions and metrics.
ELSEWHERE = frozenset(("page cache", "calls and metrics that do not exist"))
EXAMPLES = [one for one in ALIKE if one.name not in ELSEWHERE]
FRAMING = frozenset((b"date", b"content-length", b"transfer-encoding", b"connection"))
HOST = socket.gethostname()


async def work(workers: Workers) -> None:
    """Be one worker with the application."""
    lease = await workers.accept()
    while True:
        await answer(lease)


async def answer(lease: Lease) -> None:
    """Answer one request."""
    packet = await lease.packet()
    started: list[tuple[str, list[tuple[str, str]]]] = []
    environ = {name.decode("latin-1"): value.decode("latin-1") for name, value in packet.variables}
    pieces = list(application(environ, lambda status, head: started.append((status, head))))
    (status, fields), *_ = started
    head = f"{status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
    flags = wire.LENGTH if any(name == "Content-Length" for name, _ in fields) else 0
    await lease.begin(b"", head.encode(), flags)
    for piece in pieces:
        await lease.more(piece)
    await lease.last()


def plain(expected: Expected) -> Expected:
    """Without what frames the message."""
    body = expected.body
    if (b"Transfer-Encoding", b"chunked") in expected.headers and body:
        body = ChunkedDecoder().feed(body)
    kept = tuple(pair for pair in expected.headers if pair[0].lower() not in FRAMING)
    return Expected(expected.status, kept, body)


def received(response: Response) -> Expected:
    """The same of what a client has got."""
    kept = tuple(pair for pair in response.lines if pair[0].lower() not in FRAMING)
    return Expected(b"%d %b" % (response.status, response.reason), kept, response.body)


def with_host(ask: Ask) -> dict[str, str]:
    return {"Host": HOST, **ask.headers}


@pytest.mark.parametrize("rules", EXAMPLES, ids=lambda rules: rules.name)
async def test_an_example_gets_the_same_responses(tmp_path: Path, rules: Example) -> None:
    simulated = Server(rules.lines)
    door = str(tmp_path / "door.sock")
    async with (
        running(path=door, rules=rules.lines) as instance,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(work, instance.workers)
        for ask in rules.asks:
            headers = with_host(ask)
            expected = plain(simulated.get(ask.target, headers, ask.method))
            client = await instance.connect()
            host = headers.pop("Host").encode()
            lines = [f"{name}: {value}".encode() for name, value in headers.items()]
            method = ask.method.encode()
            await client.send(request(method, ask.target.encode("latin-1"), *lines, host=host))
            if expected.status is None:
                start = await client.receive()
                assert not start or int(start[9:12]) >= 400  # no silence but where it is asked for
            else:
                assert received(await client.response(method)) == expected, ask
        nursery.cancel_scope.cancel()
