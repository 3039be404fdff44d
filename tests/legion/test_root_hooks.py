"""src/uwgate/legion/root_hooks.py: hooks that the master runs for the legion process."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from uwgate.legion.root_hooks import RootHooks, RootRunner, acceptable
from uwgate.subscriptions.legion.hook import Event, Hook
from uwgate.subscriptions.legion.spec import Endpoint, LegionSpec


def spec(*hooks: Hook) -> dict[str, LegionSpec]:
    listen = Endpoint("127.0.0.1", 1)
    return {"ring": LegionSpec(name="ring", listen=listen, valor=1, hooks={Event.LORD: hooks})}


@pytest.fixture
def link() -> Iterator[tuple[socket.socket, socket.socket]]:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for one in pair:
        one.setblocking(False)
    yield pair
    for one in pair:
        one.close()


@dataclass
class Master:
    """Answers what comes on a link as the master does."""

    link: socket.socket
    runner: RootRunner

    async def serve(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self.link)
            message: dict[str, Any] = json.loads(self.link.recv(65536))
            assert self.runner.take(message, self.tell)

    def tell(self, kind: str, **fields: object) -> None:
        self.link.send(json.dumps({"type": kind, **fields}).encode())


async def ask(
    link: tuple[socket.socket, socket.socket], specs: dict[str, LegionSpec], number: int
) -> str | None:
    ours, theirs = link
    hooks = RootHooks(ours)
    answers: list[str | None] = []

    async def listen() -> None:
        while True:
            await trio.lowlevel.wait_readable(ours)
            hooks.answer(json.loads(ours.recv(65536)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(Master(theirs, RootRunner(specs, nursery)).serve)
        nursery.start_soon(listen)
        environ = {"UWGATE_LEGION_TERM": "5", "LD_PRELOAD": "evil.so"}
        answers.append(await hooks.of("ring")(Event.LORD, number, environ, 30.0))
        nursery.cancel_scope.cancel()
    return answers[0]


async def test_the_master_runs_a_hook_of_the_configuration(
    link: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    hook = Hook("exec-as-root", f"echo $UWGATE_LEGION_TERM-$LD_PRELOAD > {out}")
    assert await ask(link, spec(hook), 0) is None
    assert out.read_text() == "5-\n"


async def test_how_it_failed_comes_back(link: tuple[socket.socket, socket.socket]) -> None:
    assert await ask(link, spec(Hook("exec-as-root", "exit 9")), 0) == "ended with status 9"


@pytest.mark.parametrize("number", [-1, 1, 7])
async def test_what_is_not_in_the_configuration_does_not_run(
    link: tuple[socket.socket, socket.socket], number: int
) -> None:
    specs = spec(Hook("exec-as-root", "true"), Hook("cmd", "true"))
    assert await ask(link, specs, number) == "there is no such hook"


async def test_an_answer_that_never_comes_has_an_end(
    link: tuple[socket.socket, socket.socket], autojump_clock: trio.testing.MockClock
) -> None:
    reason = await RootHooks(link[0]).of("ring")(Event.LORD, 0, {}, 30.0)
    assert reason == "no answer of the master"
    assert trio.current_time() == 32.0
    assert json.loads(link[1].recv(65536))["type"] == "root-hook"
    assert json.loads(link[1].recv(65536))["type"] == "root-hook-stop"


def test_only_plain_variables_of_ours_reach_a_hook_of_root() -> None:
    given: dict[object, object] = {
        "UWGATE_LEGION_NAME": "ring",
        "UWGATE_LEGION_NODE_NAME": "a\nb",
        "UWGATE_LEGION_LONG": "x" * 2000,
        "UWGATE_LEGION_NUMBER": 5,
        "PATH": "/evil",
    }
    assert acceptable(given) == {"UWGATE_LEGION_NAME": "ring"}
