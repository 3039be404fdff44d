"""conf/metric_file.py: numbers that processes share."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from uwgate.conf import metric_file
from uwgate.conf.errors import ConfigError
from uwgate.conf.metric_file import SIZE, Ledger, Metrics
from uwgate.conf.metrics import read_metrics


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger()
    yield ledger
    ledger.close()


def metrics(ledger: Ledger, *texts: str) -> Metrics:
    """The metrics as a process with this configuration has them."""
    found = read_metrics(texts)
    return Metrics(found, ledger.provide(found))


def forked(work: object) -> int:
    """Do something in a process of its own; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()  # type: ignore[operator]  # a function without arguments
    finally:
        os._exit(0)


def test_a_metric_begins_with_its_first_value(ledger: Ledger) -> None:
    ours = metrics(ledger, "a", "name=b,initial_value=-7")
    assert (ours.get("a"), ours.get("b"), ours.get("c")) == (0, -7, None)


def test_what_one_changes_all_see(ledger: Ledger) -> None:
    ours, theirs = metrics(ledger, "a", "b"), metrics(ledger, "b")
    assert ours.change("b", "inc", 5)
    assert theirs.get("b") == 5
    assert theirs.get("a") is None


@pytest.mark.parametrize(("name", "operation", "amount"), [("no", "inc", 1), ("a", "div", 0)])
def test_what_cannot_be_done_changes_nothing(
    ledger: Ledger, name: str, operation: str, amount: int
) -> None:
    ours = metrics(ledger, "name=a,initial_value=3")
    assert not ours.change(name, operation, amount)
    assert ours.get("a") == 3
    assert ours.change("a", "mul", 2)  # and nothing stays locked
    assert ours.get("a") == 6


def test_without_metrics_there_are_none(ledger: Ledger) -> None:
    assert ledger.provide(()) is None
    assert Metrics().get("a") is None
    assert not Metrics().change("a", "inc", 1)
    assert Metrics().statistics() == {}


def test_a_metric_keeps_its_value_over_reloads(ledger: Ledger) -> None:
    before = metrics(ledger, "a", "name=b,initial_value=2")
    before.change("b", "set", 40)
    after = metrics(ledger, "name=c,initial_value=9", "name=b,initial_value=3")
    assert (after.get("a"), after.get("b"), after.get("c")) == (None, 40, 9)
    before.change("b", "inc", 1)  # a process of the old generation goes on
    assert after.get("b") == 41
    assert metrics(ledger, "a", "b").get("b") == 41


def test_there_are_never_too_many(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_file, "MOST", 2)
    metrics(ledger, "a", "b")
    with pytest.raises(ConfigError, match="more than 2"):
        metrics(ledger, "c")
    assert metrics(ledger, "b").get("b") == 0


def test_no_change_of_any_process_or_thread_is_lost(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_file, "PATIENCE", 60.0)  # however busy the machine is
    ours = metrics(ledger, "a", "b")

    def work() -> None:
        for _ in range(500):
            assert ours.change("a", "inc", 1)
            assert ours.change("b", "dec", 2)

    def work_in_threads() -> None:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    pids = [forked(work_in_threads) for _ in range(3)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    assert (ours.get("a"), ours.get("b")) == (4500, -9000)


def test_who_is_killed_holding_a_lock_holds_up_nobody(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_file, "PATIENCE", 0.05)
    ours = metrics(ledger, "a")
    read, write = os.pipe()
    file = ledger.provide(ours.all)
    assert file is not None

    def hold() -> None:
        fcntl.lockf(file.fd, fcntl.LOCK_EX, SIZE, 0)
        os.write(write, b"x")
        signal.pause()

    pid = forked(hold)
    os.read(read, 1)
    assert not ours.change("a", "inc", 1)  # nobody waits for ever
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert ours.change("a", "inc", 1)
    assert ours.get("a") == 1
    os.close(read)
    os.close(write)


def test_a_fork_does_not_inherit_the_lock_of_a_thread(ledger: Ledger) -> None:
    ours = metrics(ledger, "a")
    with ours._lock:
        pid = forked(lambda: ours.change("a", "inc", 1))
    os.waitpid(pid, 0)
    assert ours.get("a") == 1


def test_statistics_are_those_of_uwsgi(ledger: Ledger) -> None:
    ours = metrics(ledger, "a", "name=b,type=gauge,initial_value=4,oid=1.2")
    assert ours.statistics() == {
        "a": {"type": 0, "oid": "", "value": 0},
        "b": {"type": 1, "oid": "1.2", "value": 4},
    }
