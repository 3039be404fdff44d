"""Gateways that stand still."""

from __future__ import annotations

import faulthandler

import pytest
import trio
import trio.testing

from uwgate.gateways.watchdog import watch


class Timer:
    """What is asked of faulthandler, and when."""

    def __init__(self) -> None:
        self.due: list[float] = []

    def set(self, timeout: float, *, exit: bool) -> None:
        assert exit
        self.due.append(trio.current_time() + timeout)

    def cancel(self) -> None:
        self.due.append(-1)


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    timer = Timer()
    monkeypatch.setattr(faulthandler, "dump_traceback_later", timer.set)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", timer.cancel)
    return timer


async def test_a_loop_that_turns_is_never_ended(
    timer: Timer, autojump_clock: trio.testing.MockClock
) -> None:
    begin = trio.current_time()
    with trio.move_on_after(3.1):
        await watch(8)
    # A sign of life each second; from each the whole limit is left.
    assert timer.due == [begin + 9, begin + 10, begin + 11, begin + 12, -1]


async def test_short_limits_have_signs_of_life_more_often(
    timer: Timer, autojump_clock: trio.testing.MockClock
) -> None:
    begin = trio.current_time()
    with trio.move_on_after(0.2):
        await watch(0.5)
    assert timer.due == pytest.approx([begin + 0.625, begin + 0.75, -1])
