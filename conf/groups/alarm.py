"""Alarms (spec/observability.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.alarms import read_alarm
from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmOptions:
    """Who is told when something happens that somebody should know."""

    alarm: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=read_alarm,
        help="NAME cmd:COMMAND, which reads the message, or NAME log:TEXT. Hooks of legions and "
        "rules of workers trigger it, alarm:NAME MESSAGE, and so does uwsgi.alarm().",
    )
    alarm_freq: float = option(
        3.0, kind=Kind.SECONDS, help="An alarm does not say the same again within this time."
    )
    alarm_msg_size: int = option(
        8192, kind=Kind.BYTES, minimum=1, help="Longer messages are cut off."
    )
