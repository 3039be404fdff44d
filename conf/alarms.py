"""Alarms: what ``alarm`` says, and which messages are repetitions.

See spec/observability.md section 5. What raises them is elsewhere: hooks of legions, and workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uwgate.conf.errors import ConfigError

PLUGINS = ("cmd", "log")
NOT_OFFERED = {
    "signal": "in hooks of legions signal:N does that; else use cmd:kill -USR1 ...",
    "mule": "there are no mules; use cmd:",
    "curl": "use cmd:curl -d @- URL",
    "xmpp": "use cmd: and a program that speaks it",
    "speech": "use cmd: and a program that speaks",
}


@dataclass(frozen=True, slots=True)
class AlarmSpec:
    """``plugin`` is ``cmd`` (a shell command, which reads the message) or ``log`` (a text)."""

    name: str
    plugin: str
    argument: str


def read_alarm(text: str) -> AlarmSpec:
    """``NAME PLUGIN:ARGUMENT``.

    Raises:
        ConfigError: it is something else, or there is no such plugin.
    """
    name, _, rest = text.strip().partition(" ")
    plugin, colon, argument = rest.strip().partition(":")
    if not colon or not plugin:
        raise ConfigError(f"{text!r}: expected NAME PLUGIN:ARGUMENT")
    if plugin in NOT_OFFERED:
        raise ConfigError(f"{plugin}: is not offered: {NOT_OFFERED[plugin]}")
    if plugin not in PLUGINS:
        raise ConfigError(f"there is no alarm {plugin!r}, only {', '.join(PLUGINS)}")
    if plugin == "cmd" and not argument.strip():
        raise ConfigError("cmd: needs a command")
    return AlarmSpec(name, plugin, argument.strip())


def alarms_by_name(texts: Sequence[str]) -> dict[str, tuple[AlarmSpec, ...]]:
    """The alarms; several of one name are all triggered.

    Raises:
        ConfigError: one is none.
    """
    found: dict[str, tuple[AlarmSpec, ...]] = {}
    for spec in map(read_alarm, texts):
        found[spec.name] = (*found.get(spec.name, ()), spec)
    return found


class Repetitions:
    """Tells messages that came just before. ``frequency``: for how many seconds that counts."""

    def __init__(self, frequency: float) -> None:
        self._frequency = frequency
        self._last: dict[str, tuple[str, float]] = {}  # by alarm: its last message, and when

    def is_one(self, alarm: str, message: str, now: float) -> bool:
        """Whether this alarm said the same last, and not long ago; else it says it now."""
        last = self._last.get(alarm)
        if last is not None and last[0] == message and now - last[1] < self._frequency:
            return True
        self._last[alarm] = (message, now)
        return False
