"""What reading a configuration produces: pairs that know where they stood, and notes."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stood. ``line`` counts from 1; 0 means that no line is known."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


COMMAND_LINE = Place("command line")


@dataclass(frozen=True, slots=True)
class Pair:
    """One key as written with its value, None without one.

    ``strict``: an unknown name or a value of the wrong type is an error. ``visible``:
    ``%(key)``, ``get`` and the application see the pair; what a declared option expands
    to is not visible. ``known``: the writer says that this is no mistyped option.
    """

    key: str
    value: str | None
    place: Place
    strict: bool = False
    visible: bool = True
    known: bool = False

    @property
    def name(self) -> str:
        """The key with hyphens, as the registry has it."""
        return self.key.replace("_", "-")


class Severity(enum.Enum):
    """How much a note matters."""

    NOTE = "note"
    WARNING = "warning"
    PRINT = "print"  # text that the configuration itself asks to show


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell the operator, which stops nothing."""

    severity: Severity
    text: str
    place: Place | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to do instead of running.

    ``check`` (print ``uwgate.conf.check.report``), ``get`` (print ``arguments``, one a
    line), ``help`` (``arguments`` holds the topic or nothing), ``version``,
    ``python-version``, ``stop`` and ``reload`` (``arguments`` holds the pid file).
    """

    name: str
    arguments: tuple[str, ...] = ()
