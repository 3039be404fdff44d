"""Loops and conditions of configuration files (spec/configuration.md section 7)."""

from __future__ import annotations

import glob
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from uwgate.conf.errors import ConfigError
from uwgate.conf.registry import find

if TYPE_CHECKING:
    from uwgate.conf.pair import Pair, Place

ITEM = "%(_)"
END = frozenset({"end", "endfor", "end-for", "endif", "end-if"})
LOADED_PLUGINS = re.compile(r"python[0-9.]*|http|corerouter")
MAX_REPETITIONS = 65536  # a typing error in for-times must not eat the memory


class Surroundings(Protocol):
    """What conditions ask about."""

    environ: Mapping[str, str]
    reloading: bool

    def first(self, name: str) -> Pair | None:
        """The first pair of that name so far."""


@dataclass(frozen=True, slots=True)
class Block:
    """An open loop or condition: the values of ``%(_)``, None where it stays as it is."""

    opener: str
    place: Place
    items: tuple[str | None, ...]


@dataclass(slots=True)
class Frame:
    """The state of one file: which block is open."""

    block: Block | None = None
    blocks: int = field(default=0)


def is_opener(name: str) -> bool:
    """Whether an option opens a block."""
    known = find(name)
    return known is not None and known.word in OPENERS


def open_block(pair: Pair, argument: str, around: Surroundings) -> Block:
    """The block that an opener starts.

    Raises:
        ConfigError: the argument makes no sense.
    """
    known = find(pair.key)
    assert known is not None
    assert known.word is not None
    items = OPENERS[known.word](argument, around)
    if len(items) > MAX_REPETITIONS:
        raise ConfigError(f"{pair.key}: {len(items)} repetitions, limit {MAX_REPETITIONS}")
    return Block(pair.key, pair.place, tuple(items))


Items = list[str | None]
Opener = Callable[[str, Surroundings], Items]


def _when(condition: bool, item: str | None) -> Items:
    return [item] if condition else []


def _for(argument: str, _: Surroundings) -> Items:
    return list(argument.split())


def _for_glob(argument: str, _: Surroundings) -> Items:
    found = sorted(glob.glob(argument)) or [argument]
    return [path + "/" if os.path.isdir(path) and path[-1] != "/" else path for path in found]


def _for_times(argument: str, _: Surroundings) -> Items:
    if not argument.isdigit() or int(argument) > MAX_REPETITIONS:
        raise ConfigError(f"for-times: {argument!r}, expected a number up to {MAX_REPETITIONS}")
    return [str(number) for number in range(1, int(argument) + 1)]


def _for_readline(argument: str, _: Surroundings) -> Items:
    try:
        with open(argument, encoding="utf-8", errors="surrogateescape") as file:
            return [line.rstrip("\n") for line in file]
    except OSError as error:
        raise ConfigError(f"for-readline: cannot read {argument!r}: {error.strerror}") from error


def _env(argument: str, around: Surroundings) -> tuple[bool, str | None]:
    name, equals, wanted = argument.partition("=")
    value = around.environ.get(name)
    return value is not None and (not equals or value == wanted), value


def _option(argument: str, around: Surroundings) -> tuple[bool, str | None]:
    name, equals, wanted = argument.partition("=")
    pair = around.first(name.strip())
    if pair is None:
        return False, None
    return not equals or pair.value == wanted, pair.value


def _if_env(argument: str, around: Surroundings) -> Items:
    holds, value = _env(argument, around)
    return _when(holds, value)


def _if_not_env(argument: str, around: Surroundings) -> Items:
    holds, value = _env(argument, around)
    return _when(not holds, value)


def _if_opt(argument: str, around: Surroundings) -> Items:
    holds, value = _option(argument, around)
    return _when(holds, value)


def _if_not_opt(argument: str, around: Surroundings) -> Items:
    holds, value = _option(argument, around)
    return _when(not holds, value)


def _about_path(test: Callable[[str], bool], *, wanted: bool) -> Opener:
    return lambda argument, _: _when(test(argument) is wanted, argument)


def _hostname(argument: str, _: Surroundings) -> bool:
    return socket.gethostname() == argument


def _hostname_match(argument: str, _: Surroundings) -> bool:
    try:
        return re.search(argument, socket.gethostname()) is not None
    except re.error as error:
        raise ConfigError(f"{argument!r} is no regular expression: {error}") from error


def _plugin(argument: str, _: Surroundings) -> bool:
    return LOADED_PLUGINS.fullmatch(argument) is not None


def _about(test: Callable[[str, Surroundings], bool], *, wanted: bool) -> Opener:
    return lambda argument, around: _when(test(argument, around) is wanted, argument)


OPENERS: dict[str, Opener] = {
    "for": _for,
    "for-glob": _for_glob,
    "for-times": _for_times,
    "for-readline": _for_readline,
    "if-env": _if_env,
    "if-not-env": _if_not_env,
    "if-opt": _if_opt,
    "if-not-opt": _if_not_opt,
    "if-exists": _about_path(os.path.exists, wanted=True),
    "if-not-exists": _about_path(os.path.exists, wanted=False),
    "if-file": _about_path(os.path.isfile, wanted=True),
    "if-not-file": _about_path(os.path.isfile, wanted=False),
    "if-dir": _about_path(os.path.isdir, wanted=True),
    "if-not-dir": _about_path(os.path.isdir, wanted=False),
    "if-reload": lambda _, around: _when(around.reloading, None),
    "if-not-reload": lambda _, around: _when(not around.reloading, None),
    "if-hostname": _about(_hostname, wanted=True),
    "if-not-hostname": _about(_hostname, wanted=False),
    "if-hostname-match": _about(_hostname_match, wanted=True),
    "if-not-hostname-match": _about(_hostname_match, wanted=False),
    "if-plugin": _about(_plugin, wanted=True),
    "if-not-plugin": _about(_plugin, wanted=False),
}
