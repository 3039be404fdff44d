"""The command line as pairs and positional arguments (spec/configuration.md section 1.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uwgate.conf.errors import ConfigError
from uwgate.conf.pair import COMMAND_LINE, Pair
from uwgate.conf.registry import Argument, Name, Standing, canonical, find, nearest, registry
from uwgate.conf.registry import short_names as short_names_of_registry
from uwgate.conf.values import FALSE_WORDS, TRUE_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class CommandLine:
    """What was written: options in order, positional arguments in order, complaints."""

    pairs: list[Pair] = field(default_factory=list[Pair])
    positionals: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])


def parse(arguments: Sequence[str]) -> CommandLine:
    """Read arguments, without the program's name.

    Options that ``--declare-option`` makes are known behind it. Every mistake becomes a
    problem, so that all of them can be told at once.
    """
    line = CommandLine()
    declared: dict[str, Argument] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        try:
            if word == "--":
                line.positionals += rest
                break
            if word.startswith("--"):
                pair = _long(word[2:], rest, declared)
                line.pairs.append(pair)
                if canonical(pair.key).startswith("declare-option") and pair.value:
                    name, _, template = pair.value.partition("=")
                    takes = any(f"${number}" in template for number in (1, 2, 3))
                    declared[canonical(name)] = Argument.REQUIRED if takes else Argument.NONE
            elif word.startswith("-") and word != "-":
                line.pairs += _short(word[1:], rest)
            else:
                line.positionals.append(word)
        except ConfigError as error:
            line.problems.append(f"{COMMAND_LINE}: {error}")
    return line


def _long(word: str, rest: list[str], declared: dict[str, Argument]) -> Pair:
    written, equals, value = word.partition("=")
    key = canonical(written)
    if key in declared:
        argument = declared[key]
    else:
        name = _lookup(written)
        key, argument = name.name, name.argument
        if argument is Argument.NONE and equals:
            raise ConfigError(_refusal(name, value))
    if equals:
        return _pair(key, value)
    if argument is Argument.REQUIRED:
        return _pair(key, _next(f"--{written}", rest))
    return _pair(key, None)


def _refusal(name: Name, value: str) -> str:
    text = f"--{name.name} takes no value, {value!r} was given"
    if name.standing is Standing.WORKS and value.lower() in FALSE_WORDS | TRUE_WORDS:
        text += "; it is a switch: write it or leave it out"
    return text


def _short(letters: str, rest: list[str]) -> list[Pair]:
    if len(letters) > 2 and find(letters) is not None:  # not a bundle that begins with -h
        raise ConfigError(f"long options have two dashes: --{letters}")
    pairs: list[Pair] = []
    while letters:
        letter, letters = letters[0], letters[1:]
        name = short_names_of_registry().get(letter)
        if name is None:
            raise ConfigError(f"there is no option -{letter}")
        if name.argument is Argument.NONE:
            pairs.append(_pair(name.name, None))
            continue
        if letters:
            return [*pairs, _pair(name.name, letters)]
        value = _next(f"-{letter}", rest) if name.argument is Argument.REQUIRED else None
        return [*pairs, _pair(name.name, value)]
    return pairs


def _lookup(written: str) -> Name:
    key = canonical(written)
    if (exact := find(key)) is not None:
        return exact
    candidates = (
        [name for known, name in registry().items() if known.startswith(key)] if key else []
    )
    if candidates and len({name.meaning for name in candidates}) == 1:
        return candidates[0]
    if candidates:
        some = ", ".join(f"--{name.name}" for name in candidates[:6])
        more = ", ..." if len(candidates) > 6 else ""
        raise ConfigError(f"--{written} could be {some}{more}")
    close = nearest(key)
    raise ConfigError(
        f"there is no option --{written}" + (f"; did you mean --{close}?" if close else "")
    )


def _next(option: str, rest: list[str]) -> str:
    if not rest:
        raise ConfigError(f"{option} needs a value")
    return rest.pop(0)


def _pair(key: str, value: str | None) -> Pair:
    return Pair(key, value, COMMAND_LINE, strict=True)
