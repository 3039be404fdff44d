"""workers/signals.py: uWSGI signals, and who runs their handlers."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from uwgate.workers.signals import Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Of two workers."""
    made = Signals(2)
    yield made
    made.close()


def ready(signals: Signals, worker: int) -> list[int]:
    """The descriptors of a worker at which a signal waits."""
    return select.select(signals.descriptors(worker), [], [], 0)[0]


def test_a_signal_of_any_worker_is_run_once(signals: Signals) -> None:
    ran: list[int] = []
    signals.register(7, "", ran.append)
    assert signals.throw(7)
    (fd,) = ready(signals, 1)
    assert ready(signals, 2) == [fd]
    signals.take(fd)
    signals.take(fd)  # somebody was faster
    assert ran == [7]
    assert ready(signals, 1) == []


def test_a_signal_of_all_workers_reaches_each(signals: Signals) -> None:
    ran: list[int] = []
    signals.register(7, "workers", ran.append)
    assert signals.throw(7)
    for worker in (1, 2):
        (fd,) = ready(signals, worker)
        signals.take(fd)
    assert ran == [7, 7]


def test_a_signal_of_one_worker_reaches_no_other(signals: Signals) -> None:
    signals.register(255, "worker2", print)
    assert signals.throw(255)
    assert ready(signals, 1) == []
    assert len(ready(signals, 2)) == 1


def test_a_signal_that_nobody_knows_is_told(
    signals: Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not signals.throw(1)
    assert "signal 1: no handler is registered" in capfd.readouterr().err
    assert not signals.is_registered(1)


def test_a_signal_of_a_worker_that_does_not_exist_is_told(
    signals: Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    signals.register(1, "worker3", print)
    assert not signals.throw(1)
    assert "signal 1: there is no worker 3" in capfd.readouterr().err


def test_a_full_queue_is_told_and_blocks_nobody(
    signals: Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    signals.register(1, "worker", print)
    while signals.throw(1):
        pass
    assert "signal 1: the queue is full" in capfd.readouterr().err


def test_a_handler_that_fails_ends_nothing(
    signals: Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    signals.register(1, "worker", lambda number: 1 // 0)
    signals.throw(1)
    (fd,) = ready(signals, 1)
    signals.take(fd)
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("number", "target"), [(-1, ""), (256, ""), (1, "worker99999"), (1, "mule"), (1, "workerx")]
)
def test_what_does_not_exist_is_an_error(signals: Signals, number: int, target: str) -> None:
    with pytest.raises(ValueError, match=r"expected 0 to 255|there is no target"):
        signals.register(number, target, print)
