"""A bench: work in threads, with limits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from uwgate.experts.bench import Bench, FullError, OverdueError

PATIENCE = 60.0  # seconds; only a failing test waits this long


class Stuck:
    """Work that hangs until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.free = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.free.wait(PATIENCE)
        return "late"


def test_work_gives_its_result() -> None:
    assert Bench("b", 1, 0).run(lambda: 7, PATIENCE) == 7


def test_a_mistake_in_the_work_is_whose_who_waits() -> None:
    def work() -> None:
        raise ZeroDivisionError

    bench = Bench("b", 1, 0)
    with pytest.raises(ZeroDivisionError):
        bench.run(work, PATIENCE)
    assert bench.run(lambda: 1, PATIENCE) == 1


def test_work_that_takes_too_long_is_not_waited_for() -> None:
    stuck = Stuck()
    with pytest.raises(OverdueError, match=r"b: not done within 0\.01 s"):
        Bench("b", 1, 0).run(stuck, 0.01)
    stuck.free.set()


@contextlib.contextmanager
def occupied(bench: Bench) -> Iterator[Stuck]:
    """A bench one of whose threads has work that hangs, until the end of the block."""
    stuck = Stuck()
    caller = threading.Thread(target=bench.run, args=(stuck, PATIENCE))
    caller.start()
    assert stuck.begun.wait(PATIENCE)
    try:
        yield stuck
    finally:
        stuck.free.set()
        caller.join(PATIENCE)


def run_when_free(bench: Bench, work: Callable[[], object]) -> object:
    while True:  # a thread says that it is free a moment after its work is done
        with contextlib.suppress(FullError):
            return bench.run(work, PATIENCE)


def test_too_much_work_is_refused_until_some_is_done() -> None:
    bench = Bench("b", 1, 0)
    with occupied(bench), pytest.raises(FullError):
        bench.run(lambda: 1, PATIENCE)
    assert run_when_free(bench, lambda: 1) == 1


def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    bench = Bench("b", 1, 1)
    begun: list[int] = []
    with occupied(bench), pytest.raises(OverdueError):
        bench.run(lambda: begun.append(1), 0.01)
    run_when_free(bench, lambda: begun.append(2))
    assert begun == [2]


def test_two_threads_work_at_a_time() -> None:
    bench, one, two = Bench("b", 2, 0), Stuck(), Stuck()
    callers = [threading.Thread(target=bench.run, args=(work, PATIENCE)) for work in (one, two)]
    for caller in callers:
        caller.start()
    assert one.begun.wait(PATIENCE)
    assert two.begun.wait(PATIENCE)
    one.free.set()
    two.free.set()
    for caller in callers:
        caller.join(PATIENCE)
        assert not caller.is_alive()
