"""What the text of a value means, by the kind of its option.

Files of uWSGI hold texts that look wrong and are not (spec/ini-usage.md section 2.1):
comments behind numbers and booleans, ``true`` for a number, ``0660`` for a mode. Those
are understood with a remark; anything else is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from uwgate.conf.address import parse_backend, parse_listen
from uwgate.conf.errors import ConfigError
from uwgate.conf.option import Kind, Option

FALSE_WORDS = frozenset({"false", "off", "no", "0"})
TRUE_WORDS = frozenset({"true", "on", "yes", "1"})

INLINE_COMMENT = re.compile(r"(?P<value>\S+)\s+(?P<comment>(?:;|#|//).*)", re.DOTALL)
COMMENT_IN_TEXT = re.compile(r"\s(;|#|//)")
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
SIZE = re.compile(r"(?i)([0-9]{1,18})\s*([kmgt]?)i?b?")
DURATION = re.compile(r"(?i)([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|sec|m|min|h|d)?")
MODE = re.compile(r"0?[0-7]{3}|0")
QUOTED = re.compile(r"([\"']).*\1", re.DOTALL)
UNRESOLVED = re.compile(r"[$%@]\(.*\)")

# Options whose value is connected to.
BACKEND = re.compile("(http|(fast|raw|ssl)router)-(to|fallback)")

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
MAX_SECONDS = 10 * 365 * 86400.0

EXPECTED = {
    Kind.INT: "a number",
    Kind.SECONDS: "seconds, or a duration such as 30s or 2m",
    Kind.BYTES: "bytes, or a size such as 64k or 1m",
    Kind.MEGABYTES: "megabytes, or a size such as 512m or 2g",
    Kind.OCTAL: "an octal mode such as 660",
    Kind.BOOL: "true or false",
    Kind.PAIR: "NAME=value",
}

Remark = Callable[[str], None]


def is_false(value: str | None) -> bool:
    """Whether uWSGI reads a boolean's text as false."""
    return value is not None and value.strip().lower() in FALSE_WORDS


def parse(option: Option, value: str | None, *, strict: bool, remark: Remark) -> Any:
    """The value of an option, of the type that its kind says.

    ``remark`` is called with what was understood but should be written otherwise.
    ``strict`` allows no words that are merely tolerated. For an inverted option the
    result is what the field gets.

    Raises:
        ConfigError: the text says what was expected, but not where it stood.
    """
    if option.kind is Kind.BOOL:
        return _boolean(value, strict, remark) is not option.inverted
    if value is None or value == "":
        return _absent(option, value, remark)
    if option.kind in NUMBERS:
        return _number(option, value, strict, remark)
    if option.kind is Kind.TEXT and option.optional_value:
        return _optional_text(option, value)
    if option.choices or option.kind is Kind.ADDRESS:
        value = _without_comment(value, remark)  # neither may hold a blank
    if option.choices and value not in option.choices:
        raise ConfigError(f"{value!r} is not one of: {', '.join(option.choices)}")
    _check_text(option, value)
    if option.check is not None:
        option.check(value)
    if COMMENT_IN_TEXT.search(value) and option.kind is Kind.PATH:
        remark("what looks like a comment is part of the value; put it on a line of its own")
    if QUOTED.fullmatch(value) and option.name != "log-format":
        remark(f"the quotes are part of the value: {value}")
    return value


def _boolean(value: str | None, strict: bool, remark: Remark) -> bool:
    if value is None:
        return True
    text = _without_comment(value, remark)
    word = text.strip().lower()
    if word in FALSE_WORDS:
        return False
    if word in TRUE_WORDS or word == "":
        return True
    if strict:
        raise ConfigError(f"{value!r}: expected true or false")
    remark(f"{value!r} is read as true")
    return True


def _absent(option: Option, value: str | None, remark: Remark) -> Any:
    if option.optional_value and option.true_means is not None:
        return _typed(option, option.true_means)
    if option.kind in NUMBERS and option.true_means is not None:
        remark(f"no value; it stands for {option.true_means:g}")
        return _typed(option, option.true_means)
    if option.optional_value and option.kind is Kind.TEXT:
        return ""
    if option.kind in (Kind.TEXT, Kind.PATH) and value == "":
        return ""
    raise ConfigError(f"no value, expected {EXPECTED.get(option.kind, option.kind.value)}")


def _number(option: Option, value: str, strict: bool, remark: Remark) -> Any:
    text = _without_comment(value, remark).strip()
    word = text.lower()
    if option.optional_value and option.true_means is not None and word == "1":
        return _typed(option, option.true_means)
    if word in TRUE_WORDS - {"1"} and option.true_means is not None:
        if not option.optional_value:
            remark(f"a number is expected; {text!r} stands for {option.true_means:g}")
        return _typed(option, option.true_means)
    if word in FALSE_WORDS - {"0"} and (option.minimum or 0) <= 0 and option.kind is not Kind.OCTAL:
        if not option.optional_value:
            remark(f"a number is expected; {text!r} stands for 0")
        return _typed(option, 0)
    if word in TRUE_WORDS - {"1"} and not strict:
        remark(f"a number is expected; {text!r} changes nothing, the default stays")
        return option.default
    number = _read_number(option, text, value)
    return _typed(option, _bounded(option, number, text, remark))


def _read_number(option: Option, text: str, value: str) -> float:
    match option.kind:
        case Kind.INT:
            if INTEGER.fullmatch(text):
                return int(text)
        case Kind.SECONDS:
            if match := DURATION.fullmatch(text):
                return float(match[1]) * SECONDS[(match[2] or "s").lower()]
        case Kind.BYTES:
            if match := SIZE.fullmatch(text):
                return int(match[1]) * UNITS[match[2].lower()]
        case Kind.MEGABYTES:
            if match := SIZE.fullmatch(text):
                unit = UNITS[match[2].lower() or "m"]
                return -(-int(match[1]) * unit // UNITS["m"])  # a part of a megabyte counts
        case Kind.OCTAL:
            if MODE.fullmatch(text) or (
                option.name == "umask" and re.fullmatch("[0-7]{1,4}", text)
            ):
                return int(text, 8)
        case _:  # pragma: no cover - only kinds of NUMBERS come here
            raise AssertionError(option.kind)
    hint = ""
    if UNRESOLVED.search(value):
        hint = "; what it refers to is not set"
    raise ConfigError(f"{value!r}: expected {EXPECTED[option.kind]}{hint}")


def _bounded(option: Option, number: float, text: str, remark: Remark) -> float:
    if option.minimum is not None and number < option.minimum:
        raise ConfigError(f"{text!r}: expected at least {option.minimum:g}")
    if option.kind is Kind.SECONDS and number > MAX_SECONDS:
        raise ConfigError(f"{text!r}: expected at most ten years")
    if option.maximum is not None and number > option.maximum:
        if option.name == "buffer-size":  # uWSGI clamps it as well, and files rely on that
            remark(f"{text} is more than the limit, {option.maximum:g} is used")
            return option.maximum
        raise ConfigError(f"{text!r}: expected at most {option.maximum:g}")
    return number


def _typed(option: Option, number: float) -> float:
    return float(number) if option.kind is Kind.SECONDS else int(number)


def _without_comment(value: str, remark: Remark) -> str:
    match = INLINE_COMMENT.fullmatch(value)
    if match is None:
        return value
    remark(f"{match['comment']!r} is taken as a comment; put it on a line of its own")
    return match["value"]


def _optional_text(option: Option, value: str) -> Any:
    """``log-date = true`` switches on what ``log-date`` without a value does."""
    word = value.strip().lower()
    if word in FALSE_WORDS:
        return option.default
    return "" if word in TRUE_WORDS else value


def _check_text(option: Option, value: str) -> None:
    if option.kind is Kind.PAIR:
        name, equals, _ = value.partition("=")
        if not equals or (not name and option.name != "mount"):
            raise ConfigError(f"{value!r}: expected {EXPECTED[Kind.PAIR]}")
    if option.kind is Kind.ADDRESS:
        try:
            (parse_backend if BACKEND.fullmatch(option.name) else parse_listen)(value)
        except ConfigError as error:
            if UNRESOLVED.search(value):
                raise ConfigError(f"{error}; what it refers to is not set") from error
            raise


NUMBERS = frozenset({Kind.INT, Kind.SECONDS, Kind.BYTES, Kind.MEGABYTES, Kind.OCTAL})
