"""src/uwgate/legion/alarms.py: hooks that trigger alarms."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.alarm import AlarmOptions
from uwgate.conf.loading import load
from uwgate.legion.alarms import Alarms
from uwgate.legion.check import check
from uwgate.legion.hooks import Hooks
from uwgate.subscriptions.legion.hook import Event, Hook

LEGION = "ring 127.0.0.1:4242 1 aes-256-gcm:sixteen letters.."


async def nobody(event: Event, number: int, environ: Mapping[str, str], seconds: float) -> None:
    raise AssertionError("nothing of root's here")


def make(options: AlarmOptions, *hooks: str) -> Hooks:
    return Hooks(
        "ring",
        {Event.LORD: [Hook("alarm", text) for text in hooks]},
        timeout=240.0,
        run_as_root=nobody,
        alarms=Alarms(options),
    )


async def test_a_command_reads_the_message_and_knows_what_happens(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = f"box cmd:(cat; echo $UWGATE_LEGION_EVENT) >> {out}"
    hooks = make(
        AlarmOptions(alarm=(command,), alarm_msg_size=7, alarm_freq=600.0),
        "box we rule now",
        "box we rule",
    )
    assert await hooks.run(Event.LORD, {})
    # Cut off, the second is the same as the first, and said just before.
    assert out.read_text() == "we rule\nlord\n"


async def test_a_text_goes_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hooks = make(AlarmOptions(alarm=("box log:look here",)), "box we rule")
    assert await hooks.run(Event.LORD, {})
    assert "ALARM: look here we rule" in caplog.text


async def test_a_failure_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    hooks = make(AlarmOptions(alarm=("box cmd:exit 3",)), "box we rule")
    assert not await hooks.run(Event.LORD, {})
    assert "alarm:box we rule: ended with status 3" in caplog.text


@pytest.mark.parametrize(
    ("hook", "text"),
    [
        ("alarm:bell we rule", "legion-lord = ring alarm:bell we rule: no such alarm"),
        ("alarm:box", "expected alarm:NAME MESSAGE"),
    ],
)
def test_an_alarm_that_does_not_exist_is_told_at_the_start(hook: str, text: str) -> None:
    options = ["--legion", LEGION, "--legion-lord", f"ring {hook}", "--alarm", "box log:x"]
    with pytest.raises(ConfigError, match=text):
        check(load(options, {}))
