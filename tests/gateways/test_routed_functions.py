"""Rules that are Python functions in a gateway: in time, too late, too many."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from uwgate.conf.groups.application import ApplicationOptions
from uwgate.gateways.counters import Counters
from uwgate.gateways.routed import functions as module
from uwgate.gateways.routed.functions import FunctionCalls, find_modules
from uwgate.routing.functions import Functions
from uwgate.routing.results import CallFunction, Decision, Failed
from uwgate.routing.transaction import Transaction
from uwgate.routing.view import Request


@pytest.fixture
def gate() -> threading.Event:
    """What functions called ``wait`` wait for."""
    return threading.Event()


@pytest.fixture
def functions(gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Functions:
    """``at_once``, ``wait`` and ``crash``."""
    rules = type(sys)("ruled_here")
    monkeypatch.setattr(rules, "at_once", lambda request: None, raising=False)
    monkeypatch.setattr(rules, "wait", lambda request: gate.wait(30) and None, raising=False)
    monkeypatch.setattr(rules, "crash", lambda request: 1 // 0, raising=False)
    monkeypatch.setitem(sys.modules, "ruled_here", rules)
    made = Functions()
    made.load([f"ruled_here:{name}" for name in ("at_once", "wait", "crash")])
    return made


def question(name: str, budget: float = 30.0) -> CallFunction:
    view = Request(Transaction({}), responding=False)
    return CallFunction(f"ruled_here:{name}", view, budget)


def calls(functions: Functions) -> FunctionCalls:
    return FunctionCalls(functions, Counters())


async def test_a_function_that_is_in_time_decides(functions: Functions) -> None:
    assert await calls(functions).decide(question("at_once")) == Decision()
    assert functions.counts["ruled_here:at_once"].calls == 1


async def test_a_function_that_fails_is_counted(functions: Functions) -> None:
    ours = calls(functions)
    failed = await ours.decide(question("crash"))
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("ZeroDivisionError")
    assert functions.counts["ruled_here:crash"].failures == 1


async def test_nobody_waits_longer_than_the_budget(
    functions: Functions, gate: threading.Event, autojump_clock: MockClock
) -> None:
    try:
        failed = await calls(functions).decide(question("wait", 0.5))
    finally:
        gate.set()
    assert failed == Failed("took 0.500 s, budget 0.5 s")
    assert trio.current_time() == 0.5
    assert functions.counts["ruled_here:wait"].overruns == 1


async def test_functions_that_hang_make_others_late_and_nothing_more(
    functions: Functions, gate: threading.Event, mock_clock: MockClock
) -> None:
    ours = calls(functions)
    late: list[object] = []

    async def hang() -> None:
        late.append(await ours.decide(question("wait", 1.0)))

    try:
        async with trio.open_nursery() as nursery:
            for _ in range(module.THREADS + 1):
                nursery.start_soon(hang)
            await wait_all_tasks_blocked()
            mock_clock.jump(2.0)
    finally:
        gate.set()
    assert late == [Failed("took 2.000 s, budget 1 s")] * (module.THREADS + 1)


async def test_too_many_are_not_even_asked(
    functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING", 0)
    failed = await calls(functions).decide(question("at_once"))
    assert failed == Failed("0 requests wait for functions")
    assert functions.counts["ruled_here:at_once"].calls == 0


def test_modules_are_found_behind_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib-a").mkdir()
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", list(before))
    find_modules(ApplicationOptions(chdir=str(tmp_path), pythonpath=("lib-*", "/other")))
    assert sys.path == [*before, str(tmp_path), str(tmp_path / "lib-a"), "/other"]
