"""Hooks: what a node does when something happens to its legion (spec/legion.md section 7)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from uwgate.conf.errors import ConfigError

COMMANDS = ("cmd", "exec", "exec-as-root")
FILES = ("touch", "write", "append", "unlink")
ACTIONS = (*COMMANDS, "log", "print", "alarm", "signal", *FILES)
# Actions of uWSGI that stand on parts which do not exist here.
WITHOUT = {
    "legion-cache-fetch": "there is no cache to fetch",
}
MAX_SIGNAL = 255
MAX_HOOKS = 256  # of one legion


class Event(enum.Enum):
    """When hooks run; the value is the end of the option's name."""

    SETUP = "setup"  # the process has started
    JOIN = "join"  # the node is part of a quorum, for the first time
    LORD = "lord"
    UNLORD = "unlord"
    DEATH = "death"  # it leaves for good
    NODE_JOINED = "node-joined"
    NODE_LEFT = "node-left"


@dataclass(frozen=True, slots=True)
class Hook:
    """What to do, and with what."""

    action: str
    argument: str

    def __str__(self) -> str:
        return f"{self.action}:{self.argument}"


def read_hook(text: str) -> Hook:
    """``ACTION:ARGUMENT``.

    Raises:
        ConfigError: the text cannot be one; it does not say which option it was in.
    """
    action, colon, argument = text.partition(":")
    if not colon:
        raise ConfigError("expected NAME ACTION:ARGUMENT")
    if action in WITHOUT:
        raise ConfigError(f"the action {action} is not offered: {WITHOUT[action]}")
    if action not in ACTIONS:
        raise ConfigError(f"there is no action {action!r}, only {', '.join(ACTIONS)}")
    if not argument:
        raise ConfigError(f"the action {action} needs an argument")
    if action == "signal" and not (argument.isascii() and argument.isdigit() and len(argument) < 4):
        raise ConfigError("expected signal:NUMBER")
    if action == "signal" and int(argument) > MAX_SIGNAL:
        raise ConfigError(f"signal:{argument}: expected a number from 0 to {MAX_SIGNAL}")
    if action == "alarm" and " " not in argument:
        raise ConfigError("expected alarm:NAME MESSAGE")
    if action in ("write", "append") and " " not in argument:
        raise ConfigError(f"expected {action}:FILE TEXT")
    return Hook(action, argument)
