"""What ``uwgate --check`` prints: the effective options, and what was noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uwgate.conf.option import Kind, Option, options_of
from uwgate.conf.pair import Note, Severity
from uwgate.conf.settings import GROUPS, RULE_GROUPS, Settings
from uwgate.conf.tls import without_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uwgate.conf.errors import ConfigError
    from uwgate.conf.loading import Loaded

COLOURS = {Severity.NOTE: "36", Severity.WARNING: "33", Severity.PRINT: "0"}
RED, GREEN = "31", "32"


def report(loaded: Loaded, *, colours: bool = False) -> str:
    """The effective options as the text of an ini file, then notes and warnings."""
    lines = [effective_ini(loaded.settings), ""]
    lines += [note_line(note, colours=colours) for note in loaded.notes]
    warnings = sum(note.severity is Severity.WARNING for note in loaded.notes)
    counted = "no warnings" if warnings == 0 else f"{warnings} warning" + "s" * (warnings > 1)
    files = f"{len(loaded.files)} file" + "s" * (len(loaded.files) != 1)
    lines.append(_coloured(f"ok: {files} read, {counted}", GREEN, colours))
    return "\n".join(lines) + "\n"


def report_error(error: ConfigError, *, colours: bool = False) -> str:
    """Warnings, then the problems of a configuration that cannot be used, one a line."""
    mark = _coloured("error:", RED, colours)
    lines = [note_line(note, colours=colours) for note in error.remarks]
    lines += [f"{mark} {line}" for line in str(error).splitlines()]
    return "".join(f"{line}\n" for line in lines)


def note_line(note: Note, *, colours: bool = False) -> str:
    """One note as a line for a terminal."""
    if note.severity is Severity.PRINT:
        return note.text
    return f"{_coloured(note.severity.value + ':', COLOURS[note.severity], colours)} {note}"


def effective_ini(settings: Settings) -> str:
    """The options that differ from their defaults, as an ini file that means the same.

    But for secrets, which are masked.
    """
    lines = ["[uwgate]"]
    for group, group_class in GROUPS.items():
        values = getattr(settings, group)
        for field, option in options_of(group_class, group).items():
            value = getattr(values, field)
            if option.repeatable and group in RULE_GROUPS:
                continue  # their order is told below
            if value != option.default:
                value = _masked(option, value)
                lines += [f"{option.name} = {text}" for text in _texts(option, value)]
    lines += [f"{name} = {_escaped(value)}" for name, value, _ in settings.rules]
    return "\n".join(lines)


def _masked(option: Option, value: Any) -> Any:
    """A value without its secrets."""
    if option.mask is None:
        return value
    return tuple(map(option.mask, value)) if option.repeatable else option.mask(value)


def _texts(option: Option, value: Any) -> Iterator[str]:
    for item in value if option.repeatable else (value,):
        match option.kind:
            case Kind.BOOL:
                yield "true" if item is not option.inverted else "false"
            case Kind.OCTAL:
                yield f"{item:o}".rjust(3, "0")
            case Kind.SECONDS:
                yield f"{item:g}"
            case _:
                yield _escaped(without_pem(str(item)))


def _escaped(text: str) -> str:
    """A value with its references expanded: what is left of them stays text."""
    return text.replace("%", "%%").replace("%%(", "%(")


def _coloured(text: str, colour: str, colours: bool) -> str:
    return f"\033[{colour}m{text}\033[0m" if colours else text
