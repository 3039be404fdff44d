"""Requests that wait for room."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from tests.gateways.corerouter.routers import (
    announce,
    begin,
    leave,
    name,
    pool,
    router,
    served,
    table_of,
)
from uwgate.gateways.corerouter.attempts import Attempts
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.router import Corerouter

A, B, F = (f"127.0.0.1:{port}" for port in (3001, 3002, 3009))
LIMITS: dict[str, Any] = {"node_connections": 1, "node_pending": 2, "connect_timeout": 5.0}


def full(made: Corerouter) -> Attempts:
    """A request that takes the only place."""
    attempts = begin(made)
    assert attempts.next(0.0) is not None
    attempts.connected(0.0)
    return attempts


class Waiter:
    """A request that waits in a task, and then runs until it is ended."""

    def __init__(self, made: Corerouter, nursery: trio.Nursery) -> None:
        self.attempts = begin(made)
        self.got: str | None = "nothing yet"
        self.scope = trio.CancelScope()
        nursery.start_soon(self.run)

    async def run(self) -> None:
        with self.scope:
            await self.attempts.prepare()
            self.got = name(self.attempts.next(0.0))


async def waiters(made: Corerouter, nursery: trio.Nursery, count: int) -> list[Waiter]:
    found = []
    for _ in range(count):
        found.append(Waiter(made, nursery))
        await trio.testing.wait_all_tasks_blocked()
    return found


@pytest.mark.parametrize("kind", ["pool", "static"])
async def test_who_came_first_is_served_first(nursery: trio.Nursery, kind: str) -> None:
    made = pool(A, **LIMITS) if kind == "pool" else router(to=(A,), **LIMITS)
    assert made.needs_task
    running = full(made)
    first, second = await waiters(made, nursery, 2)
    running.end(0.0)
    # Nobody who comes now is served before those who wait.
    late = begin(made)
    assert late.next(0.0) is None
    assert late.outcome is Outcome.FULL
    await trio.testing.wait_all_tasks_blocked()
    assert (first.got, second.got) == (A, "nothing yet")
    first.attempts.end(0.0)
    await trio.testing.wait_all_tasks_blocked()
    assert second.got == A
    second.attempts.end(0.0)
    assert served(made) == A


async def test_no_more_than_node_pending_wait(nursery: trio.Nursery) -> None:
    made = pool(A, **LIMITS)
    running = full(made)
    *_, third = await waiters(made, nursery, 3)
    assert third.got is None
    assert third.attempts.outcome is Outcome.FULL
    running.end(0.0)
    nursery.cancel_scope.cancel()


async def test_who_waits_too_long_is_sent_away(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    made = pool(A, **LIMITS)
    full(made)
    (waiter,) = await waiters(made, nursery, 1)
    await trio.sleep(4.9)
    assert waiter.got == "nothing yet"
    await trio.sleep(0.2)
    assert waiter.got is None
    assert waiter.attempts.outcome is Outcome.FULL


async def test_a_node_that_comes_takes_who_waits(nursery: trio.Nursery) -> None:
    made = pool(A, **LIMITS)
    full(made)
    (waiter,) = await waiters(made, nursery, 1)
    announce(made, B)
    await trio.testing.wait_all_tasks_blocked()
    assert waiter.got == B


async def test_when_the_last_node_goes_nobody_waits_for_it(nursery: trio.Nursery) -> None:
    made = pool(A, fallback=(F,), **LIMITS)
    running = full(made)
    (waiter,) = await waiters(made, nursery, 1)
    leave(made, A)
    await trio.testing.wait_all_tasks_blocked()
    assert waiter.got == F
    running.end(0.0)
    assert table_of(made).is_empty


async def test_when_the_node_fails_who_waits_goes_to_the_fallback(nursery: trio.Nursery) -> None:
    made = pool(A, fallback=(F,), **LIMITS)
    attempts = begin(made)
    attempts.next(0.0)
    (waiter,) = await waiters(made, nursery, 1)
    attempts.failed(0.0, "refused")
    await trio.testing.wait_all_tasks_blocked()
    assert waiter.got == F


@pytest.mark.parametrize("granted", [True, False])
async def test_who_leaves_takes_nobodys_place(nursery: trio.Nursery, granted: bool) -> None:
    made = pool(A, **LIMITS)
    running = full(made)
    first, second = await waiters(made, nursery, 2)
    first.scope.cancel()
    if granted:  # at the very same moment
        running.end(0.0)
    await trio.testing.wait_all_tasks_blocked()
    first.attempts.end(0.0)
    running.end(0.0)
    await trio.testing.wait_all_tasks_blocked()
    assert second.got == A
    second.attempts.end(0.0)
    assert table_of(made).slots["a"].reference == 0
    assert served(made) == A


async def test_without_node_pending_nobody_waits() -> None:
    made = pool(A, node_connections=1)
    assert not made.needs_task
    full(made)
    attempts = begin(made)
    await attempts.prepare()
    assert attempts.next(0.0) is None
    assert attempts.outcome is Outcome.FULL


async def test_waiting_for_a_node_that_was_tried_would_not_help(nursery: trio.Nursery) -> None:
    made = pool(A, **LIMITS)
    attempts = begin(made)
    attempts.next(0.0)
    attempts.failed(0.0, "full", busy=True)
    await attempts.prepare()
    assert attempts.next(0.0) is None
    assert attempts.outcome is Outcome.EXHAUSTED
