"""Alarms that workers trigger, and what the spawner makes of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.workers.visits import Ruled
from uwgate.conf.groups.alarm import AlarmOptions
from uwgate.workers.alarms import COMMAND_LIMIT, MOST_COMMANDS, AlarmCalls, Alarms
from uwgate.workers.signals import Signals


@contextmanager
def made(*texts: str, size: int = 8192) -> Iterator[Alarms]:
    alarms = Alarms(AlarmOptions(alarm=texts, alarm_msg_size=size, alarm_freq=600.0))
    yield alarms
    alarms.close()


def reap(alarms: Alarms) -> int:
    """Wait for one command; its status."""
    pid, status = os.waitpid(next(iter(alarms.commands)), 0)
    assert alarms.ended(pid, status)
    return os.waitstatus_to_exitcode(status)


def test_a_text_goes_to_the_log_once_within_a_while(capfd: pytest.CaptureFixture[str]) -> None:
    with made("box log:look here", "box log:and there") as alarms:
        assert alarms.trigger("box", b"one\n\x1b")
        assert alarms.trigger("box", b"one\n\x1b")
        assert alarms.trigger("box", b"two")
        for _ in range(4):
            alarms.take()
        assert capfd.readouterr().err.splitlines() == [
            "ALARM: look here one\\n\\x1b",
            "ALARM: and there one\\n\\x1b",
            "ALARM: look here two",
            "ALARM: and there two",
        ]


def test_an_alarm_that_is_not_there_is_nothing() -> None:
    with made("box log:x") as alarms:
        assert not alarms.trigger("other", b"text")
    with made() as alarms:
        assert not alarms.trigger("box", b"text")
        assert alarms.fileno() == -1


def test_a_command_reads_the_message_as_far_as_it_may_go(tmp_path: Path) -> None:
    with made(f"box cmd:cat > {tmp_path}/said", size=5) as alarms:
        alarms.trigger("box", b"hello world")
        alarms.take()
        assert alarms.due is not None
        assert reap(alarms) == 0
        assert alarms.due is None
        assert (tmp_path / "said").read_bytes() == b"hello\n"


def test_a_command_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with made("box cmd:exit 3") as alarms:
        alarms.trigger("box", b"x")
        alarms.take()
        assert reap(alarms) == 3
        assert "alarm box: ended with status 3" in capfd.readouterr().err


def test_a_command_that_does_not_end_is_killed_with_all_that_it_started(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with made("box cmd:sleep 1000 & sleep 1000") as alarms:
        alarms.trigger("box", b"x")
        alarms.take()
        alarms.expire(time.monotonic() + COMMAND_LIMIT / 2)
        assert "killed" not in capfd.readouterr().err
        alarms.expire(time.monotonic() + COMMAND_LIMIT)
        assert reap(alarms) == -9
        assert "did not end" in capfd.readouterr().err


def test_there_are_never_too_many_commands(capfd: pytest.CaptureFixture[str]) -> None:
    with made("box cmd:sleep 1000") as alarms:
        for number in range(MOST_COMMANDS + 2):
            alarms.trigger("box", b"%d" % number)
            alarms.take()
        assert capfd.readouterr().err.count("not run") == 2
        alarms.expire(time.monotonic() + COMMAND_LIMIT)
        for _ in range(MOST_COMMANDS):
            assert reap(alarms) == -9
        assert not alarms.commands


def test_a_queue_that_is_full_holds_nobody_up(capfd: pytest.CaptureFixture[str]) -> None:
    with made("box log:x") as alarms:
        for _ in range(10_000):
            assert alarms.trigger("box", b"x" * 1000)
        assert "not triggered" in capfd.readouterr().err


def test_a_process_that_is_no_command_is_somebody_else_s() -> None:
    with made("box log:x") as alarms:
        assert not alarms.ended(1, 0)


def test_an_application_triggers_alarms(capfd: pytest.CaptureFixture[str]) -> None:
    calls = AlarmCalls()
    calls.alarm("box", "nobody is there")
    with made("box log:x") as alarms:
        calls.alarms = alarms
        calls.alarm(b"box", "grün")
        alarms.take()
        assert capfd.readouterr().err == "ALARM: x grün\n"


def test_a_rule_triggers_an_alarm(capfd: pytest.CaptureFixture[str]) -> None:
    with made("box log:x") as alarms:
        rules = ["route = ^/a alarm:box ${REMOTE_ADDR} ${PATH_INFO}", "route = ^/b alarm:no one"]
        ruled = Ruled(rules, alarms=alarms)
        assert ruled.get("/a").status == b"200 OK"
        alarms.take()
        assert "ALARM: x 0.0.0.0 /a\n" in capfd.readouterr().err
        ruled.get("/b")
        ruled.get("/b")
        assert capfd.readouterr().err.count("there is none of that name") == 1


def test_a_rule_raises_a_signal() -> None:
    signals = Signals(1)
    seen: list[int] = []
    signals.register(17, "", seen.append)
    Ruled(["route-run = signal:17"], signals=signals).get("/")
    for fd in signals.descriptors(1):
        signals.take(fd)
    signals.close()
    assert seen == [17]
