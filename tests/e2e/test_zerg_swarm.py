"""A swarm under load: zergs of both kinds come to givers of both kinds, and go again."""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING

import pytest

from .zergs import WITNESS, load, our_zerg, pool_address, real_giver, real_zerg, rest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Start
    from .zergs import Load

    Place = tuple[str, int]
    Giver = Callable[[Start, Path, Path], contextlib.AbstractContextManager[Place]]
    Zerg = Callable[[Start, Path, Path, str, Load], contextlib.AbstractContextManager[None]]

ROUNDS = int(os.environ.get("UWGATE_ZERG_ROUNDS", "3"))  # of attaching and detaching
SEED = int(os.environ.get("UWGATE_ZERG_SEED", "1"))


@contextlib.contextmanager
def our_pool(uwgate: Start, folder: Path, path: Path) -> Iterator[Place]:
    pool = uwgate(f"--zergpool={path}:127.0.0.1:0")
    pool.wait_for_log("generation 1 serves")
    yield pool_address(pool)


@contextlib.contextmanager
def our_server(uwgate: Start, folder: Path, path: Path) -> Iterator[Place]:
    server = uwgate(f"--zerg-server={path}", "--http-socket=127.0.0.1:0", "--wsgi-file", WITNESS)
    server.wait_for_log("generation 1 serves")
    yield server.address


@contextlib.contextmanager
def real_pool(uwgate: Start, folder: Path, path: Path) -> Iterator[Place]:
    with real_giver(folder, path, "--zergpool") as (_, address):
        yield address


@contextlib.contextmanager
def real_server(uwgate: Start, folder: Path, path: Path) -> Iterator[Place]:
    with real_giver(folder, path, "--zerg-server") as (_, address):
        yield address


@contextlib.contextmanager
def ours(uwgate: Start, folder: Path, path: Path, name: str, requests: Load) -> Iterator[None]:
    zerg = our_zerg(uwgate, path, name=name)
    (spawner,) = zerg.processes("spawner")
    zerg.wait_for(lambda: requests.has_answer_of(spawner), "answer of its own")
    yield
    assert zerg.stop() == 0


@contextlib.contextmanager
def real(uwgate: Start, folder: Path, path: Path, name: str, requests: Load) -> Iterator[None]:
    with real_zerg(folder, path, name) as zerg:
        zerg.wait_for(lambda: requests.has_answer_of(zerg.pid), "answer of its own")
        yield
        rest(folder, zerg)


@pytest.mark.parametrize("giver", [our_pool, our_server, real_pool, real_server])
def test_zergs_come_and_go_under_load_and_no_request_fails(
    uwgate: Start, folder: Path, giver: Giver, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(SEED)
    path = folder / "giver.sock"
    with contextlib.ExitStack() as staying:
        address = staying.enter_context(giver(uwgate, folder, path))
        our_zerg(uwgate, path, name="first")  # a pool serves nothing by itself
        requests = staying.enter_context(load(address))
        present: list[contextlib.ExitStack] = []
        for number in range(ROUNDS):
            zerg: Zerg = (ours, real)[number % 2]
            present.append(staying.enter_context(contextlib.ExitStack()))
            present[-1].enter_context(zerg(uwgate, folder, path, f"zerg{number}", requests))
            if len(present) > 1:  # so that they go in another order than they came
                present.pop(chance.randrange(len(present))).close()
        for one in present:
            one.close()
        record_property("requests", sum(requests.answered.values()))
        record_property("instances", len(requests.answered))
