"""src/uwgate/legion/hooks.py: hooks run in order, with an end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from uwgate.legion.hooks import Hooks
from uwgate.subscriptions.legion.hook import Event, Hook

from .waiting import wait_until

LONG = 3600.0


async def nobody(event: Event, number: int, environ: Mapping[str, str], seconds: float) -> None:
    raise AssertionError("nothing of root's here")


def make(*hooks: Hook, timeout: float = 30.0) -> Hooks:
    return Hooks("ring", {Event.LORD: hooks}, timeout=timeout, run_as_root=nobody)


async def test_hooks_run_in_their_order_and_know_what_happens(tmp_path: Path) -> None:
    out = tmp_path / "out"
    say = "echo $UWGATE_LEGION_NAME $UWGATE_LEGION_EVENT $UWGATE_LEGION_TERM"
    hooks = make(
        Hook("cmd", f"{say} 1 >> {out}"),
        Hook("append", f"{out} from us"),
        Hook("exec", f"{say} 2 >> {out}"),
    )
    assert await hooks.run(Event.LORD, {"UWGATE_LEGION_TERM": "77"})
    assert out.read_text() == "ring lord 77 1\nfrom us\nring lord 77 2\n"


async def test_files_are_touched_written_and_removed(tmp_path: Path) -> None:
    here, gone, text = tmp_path / "here", tmp_path / "gone", tmp_path / "text"
    gone.touch()
    hooks = make(
        Hook("touch", str(here)),
        Hook("unlink", str(gone)),
        Hook("write", f"{text} one two"),
    )
    assert await hooks.run(Event.LORD, {})
    assert here.exists()
    assert not gone.exists()
    assert text.read_text() == "one two\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [("exit 3", "ended with status 3"), ("kill -9 $$", "killed by signal 9")],
)
async def test_a_failure_is_seen_and_the_others_still_run(
    command: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hooks = make(Hook("cmd", command), Hook("touch", str(tmp_path / "ran")))
    assert not await hooks.run(Event.LORD, {})
    assert reason in caplog.text
    assert (tmp_path / "ran").exists()


async def test_the_first_failure_can_be_the_end(tmp_path: Path) -> None:
    hooks = make(Hook("cmd", "false"), Hook("touch", str(tmp_path / "ran")))
    assert not await hooks.run(Event.LORD, {}, stop_at_failure=True)
    assert not (tmp_path / "ran").exists()


async def test_a_command_that_takes_too_long_is_killed_with_what_it_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pid = tmp_path / "pid"
    hooks = make(Hook("cmd", f"sleep 600 & echo $! > {pid}; wait"), timeout=5.0)
    assert not await hooks.run(Event.LORD, {})
    assert "did not end in 5 s: killed" in caplog.text
    await wait_until(lambda: not is_running(int(pid.read_text())))


async def test_cancelling_kills_the_command(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    hooks = make(Hook("cmd", f"echo $$ > {pid}; exec sleep 600"), timeout=LONG)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hooks.run, Event.LORD, {})
        await wait_until(lambda: pid.exists() and bool(pid.read_text().strip()))
        nursery.cancel_scope.cancel()
    assert not is_running(int(pid.read_text()))


async def test_nothing_runs_for_who_is_no_lord_any_more(tmp_path: Path) -> None:
    hooks = make(Hook("touch", str(tmp_path / "ran")))
    assert not await hooks.run(Event.LORD, {}, still=lambda: False)
    assert not (tmp_path / "ran").exists()


async def test_log_writes_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert await make(Hook("log", "we rule")).run(Event.LORD, {})
    assert "legion ring: we rule" in caplog.text


async def test_a_file_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    assert not await make(Hook("touch", str(tmp_path / "no" / "file"))).run(Event.LORD, {})


async def test_root_hooks_are_handed_over() -> None:
    asked: list[tuple[Event, int, float]] = []

    async def ask(event: Event, number: int, environ: Mapping[str, str], seconds: float) -> str:
        asked.append((event, number, seconds))
        return "no"

    given = {Event.UNLORD: (Hook("log", "x"), Hook("exec-as-root", "id"))}
    hooks = Hooks("ring", given, timeout=5.0, run_as_root=ask)
    assert not await hooks.run(Event.UNLORD, {})
    assert asked == [(Event.UNLORD, 1, 5.0)]


def is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
