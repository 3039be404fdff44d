"""Triggering alarms."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import trio

from uwgate.conf.alarms import AlarmSpec, Repetitions, alarms_by_name
from uwgate.conf.groups.alarm import AlarmOptions
from uwgate.legion.commands import run_command

log = logging.getLogger("uwgate.alarm")


class Alarms:
    """The alarms of an instance."""

    def __init__(self, options: AlarmOptions) -> None:
        self._by_name = alarms_by_name(options.alarm)
        self._repetitions = Repetitions(options.alarm_freq)
        self._size = options.alarm_msg_size

    async def trigger(self, text: str, environ: Mapping[str, str], seconds: float) -> str | None:
        """``NAME MESSAGE``; None if all went well, else what did not.

        Commands have so many ``seconds`` each.
        """
        name, _, message = text.partition(" ")
        if name not in self._by_name:
            return f"there is no alarm {name}"
        message = message.encode("utf-8", "surrogateescape")[: self._size].decode(
            "utf-8", "replace"
        )
        if self._repetitions.is_one(name, message, trio.current_time()):
            log.debug("%s: repeated, left out", name)
            return None
        reasons = [await self._say(one, message, environ, seconds) for one in self._by_name[name]]
        return next((reason for reason in reasons if reason is not None), None)

    async def _say(
        self, alarm: AlarmSpec, message: str, environ: Mapping[str, str], seconds: float
    ) -> str | None:
        if alarm.plugin == "log":
            log.error("ALARM: %s %s", alarm.argument, message)
            return None
        return await run_command(alarm.argument, environ, seconds, text=f"{message}\n")
