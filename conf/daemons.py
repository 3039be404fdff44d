"""Programs that run beside the application: the values of ``attach-daemon`` and its like.

See spec/workers.md section 24. ``attach-daemon2`` takes ``legion=`` here, and refuses keys that it
does not know.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace

from uwgate.conf.errors import ConfigError
from uwgate.conf.keyval import read_keyval

CHECKS = 10  # looks at a pid file, one a second, before a daemon counts as dead
FLAG_OFF = ("",)  # as in uWSGI: any other value switches a flag on, 0 too
LONGEST_PAUSE = 60  # seconds between two starts of what dies at once
NOT_OFFERED = {
    "stdin": "a daemon has no terminal",
    "ns_pid": "use systemd, or unshare(1) in the command",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSpec:
    """A command that is kept running.

    With a ``pidfile`` it goes on over reloads and stops of the instance, and is started when the
    file has named no living process for ``checks`` seconds; ``daemonize``: we put it into the
    background and write that file. ``is_control``: the instance stops when it ends. ``legion``:
    it runs only while this node is the lord. ``touch``: files whose change ends and starts it
    again. ``stop_signal`` and ``reload_signal`` (0: the same) end it; ``notify``: one that goes on
    over reloads and stops gets them as well. ``user``, ``group``: None for those of the instance.
    ``longest_pause``: seconds.
    """

    command: str
    pidfile: str | None = None
    checks: int = CHECKS
    daemonize: bool = False
    is_control: bool = False
    legion: str = ""
    touch: tuple[str, ...] = ()
    stop_signal: int = signal.SIGTERM
    reload_signal: int = 0
    notify: bool = False
    user: int | None = None
    group: int | None = None
    directory: str | None = None
    longest_pause: int = LONGEST_PAUSE

    @property
    def is_smart(self) -> bool:
        """Whether a pid file tells if it runs."""
        return self.pidfile is not None


def read_daemon(text: str) -> DaemonSpec:
    """``attach-daemon``: a command.

    Raises:
        ConfigError: there is none.
    """
    if not text.strip():
        raise ConfigError("expected a command")
    return DaemonSpec(command=text.strip())


def read_control_daemon(text: str) -> DaemonSpec:
    """``attach-control-daemon``: the same.

    Raises:
        ConfigError: there is none.
    """
    return replace(read_daemon(text), is_control=True)


def read_smart_daemon(text: str) -> DaemonSpec:
    """``smart-attach-daemon``: ``PIDFILE[,CHECKS] COMMAND``.

    Raises:
        ConfigError: it is something else.
    """
    place, _, command = text.strip().partition(" ")
    path, comma, checks = place.partition(",")
    if not path or not command.strip():
        raise ConfigError(f"{text!r}: expected PIDFILE[,CHECKS] COMMAND")
    count = _number("CHECKS", checks, 1, 1 << 16) if comma else CHECKS
    return DaemonSpec(command=command.strip(), pidfile=path, checks=count)


def read_smart_daemon2(text: str) -> DaemonSpec:
    """``smart-attach-daemon2``: the same; the command stays in the foreground.

    Raises:
        ConfigError: it is something else.
    """
    return replace(read_smart_daemon(text), daemonize=True)


def of_legion(read: Callable[[str], DaemonSpec]) -> Callable[[str], DaemonSpec]:
    """What reads the name of a legion, a blank, and what ``read`` reads."""

    def read_legion_daemon(text: str) -> DaemonSpec:
        legion, blank, rest = text.strip().partition(" ")
        if not blank:
            raise ConfigError(f"{text!r}: expected LEGION and a command behind it")
        return replace(read(rest), legion=legion)

    return read_legion_daemon


read_legion_daemon = of_legion(read_daemon)
read_legion_smart_daemon = of_legion(read_smart_daemon)
read_legion_smart_daemon2 = of_legion(read_smart_daemon2)


def read_daemon2(text: str) -> DaemonSpec:
    """``attach-daemon2``: ``KEY=VALUE,KEY=VALUE``.

    Raises:
        ConfigError: it is something else.
    """
    found: dict[str, object] = {}
    for key, value in read_keyval(text).items():
        if key in NOT_OFFERED:
            raise ConfigError(f"{key}= is not offered: {NOT_OFFERED[key]}")
        if key not in READERS:
            raise ConfigError(f"{key}: expected one of {', '.join(READERS)}")
        field, read = READERS[key]
        if field in found:
            raise ConfigError(f"{key}: the same was said before")
        found[field] = read(key, value)
    if not found.get("command"):
        raise ConfigError("no command=")
    spec = DaemonSpec(**found)  # type: ignore[arg-type]  # READERS has the types
    if (spec.daemonize or spec.notify) and not spec.is_smart:
        raise ConfigError("daemonize and notifypid need a pidfile")
    if spec.is_control and spec.is_smart:
        raise ConfigError("control= with pidfile=: nobody sees when that program ends")
    return spec


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not least <= int(text) <= most:
        raise ConfigError(f"{name} {text!r}: expected a number from {least} to {most}")
    return int(text)


def _bounded(least: int, most: int) -> Callable[[str, str], int]:
    return lambda key, value: _number(key, value, least, most)


def _text(key: str, value: str) -> str:
    if not value.strip():
        raise ConfigError(f"{key}= without a value")
    return value.strip()


def _flag(key: str, value: str) -> bool:
    return value not in FLAG_OFF


def _files(key: str, value: str) -> tuple[str, ...]:
    return tuple(path for path in value.split(";") if path)


MOST = (1 << 31) - 1
READERS: dict[str, tuple[str, Callable[[str, str], object]]] = {
    "command": ("command", _text),
    "cmd": ("command", _text),
    "exec": ("command", _text),
    "freq": ("checks", _bounded(1, 1 << 16)),
    "pidfile": ("pidfile", _text),
    "control": ("is_control", _flag),
    "daemonize": ("daemonize", _flag),
    "daemon": ("daemonize", _flag),
    "touch": ("touch", _files),
    "stopsignal": ("stop_signal", _bounded(1, 64)),
    "stop_signal": ("stop_signal", _bounded(1, 64)),
    "reloadsignal": ("reload_signal", _bounded(0, 64)),
    "reload_signal": ("reload_signal", _bounded(0, 64)),
    "uid": ("user", _bounded(1, MOST)),  # 0 is uWSGI's word for none
    "gid": ("group", _bounded(1, MOST)),
    "chdir": ("directory", _text),
    "max_throttle": ("longest_pause", _bounded(1, 86400)),
    "notifypid": ("notify", _flag),
    "legion": ("legion", _text),
}
