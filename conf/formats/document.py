"""A configuration file on its way through a parser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uwgate.conf.errors import ConfigError
from uwgate.conf.pair import Pair, Place

if TYPE_CHECKING:
    from collections.abc import Callable

LENIENT = "uwsgi"
STRICT = "uwgate"


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one resource and how to read it.

    ``section`` is the one asked for; None reads ``uwsgi`` and ``uwgate``. ``magic``
    replaces magic variables in a piece of text that starts at a line; ``warn`` tells the
    operator about a line. ``mode`` is what elements of XML with that attribute must have.
    """

    text: str
    source: str
    section: str | None
    magic: Callable[[str, int], str]
    warn: Callable[[str, int], None]
    mode: str | None = None

    @property
    def sections(self) -> tuple[str, ...]:
        """The names of the sections to read."""
        return (LENIENT, STRICT) if self.section is None else (self.section,)

    def pair(self, section: str, key: str, value: str | None, line: int) -> Pair:
        """A pair that stands in ``section``."""
        place = Place(self.source, line)
        return Pair(key, value, place, strict=section == STRICT)

    def error(self, text: str, line: int = 0) -> ConfigError:
        """An error in this document."""
        return ConfigError(f"{Place(self.source, line)}: {text}")


class LineFinder:
    """Finds the line of each key, for parsers that do not tell.

    The nth request for a key yields the nth line on which it stands with ``mark`` around
    it; 0 if there is none.
    """

    def __init__(self, text: str, pattern: str) -> None:
        self._text = text
        self._pattern = pattern
        self._lines: dict[str, list[int]] = {}

    def line(self, key: str) -> int:
        """The line of the next occurrence of ``key``."""
        if key not in self._lines:
            regex = re.compile(self._pattern.replace("KEY", re.escape(key)), re.MULTILINE)
            starts = [match.start() for match in regex.finditer(self._text)]
            self._lines[key] = [self._text.count("\n", 0, start) + 1 for start in starts]
        lines = self._lines[key]
        return lines.pop(0) if lines else 0


def scalar(value: object) -> str | None:
    """A value of JSON or TOML as text; None if it is no scalar."""
    match value:
        case None:
            return "0"
        case bool():
            return "1" if value else "0"
        case str():
            return value
        case int() | float():
            return str(value)
        case _:
            return None
