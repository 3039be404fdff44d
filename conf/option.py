"""How an option is declared: once, as a field of a frozen dataclass.

Command line, file check, ``--help`` and ``docs/reference/options.md`` are computed
from these declarations (spec/configuration.md section 11).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

from uwgate.conf.catalog import catalog


class Kind(enum.Enum):
    """What a value means, and how its text is read."""

    BOOL = "boolean"
    INT = "number"
    SECONDS = "seconds"
    BYTES = "bytes"
    MEGABYTES = "megabytes"
    TEXT = "text"
    PATH = "path"
    ADDRESS = "address"
    PAIR = "key=value"
    OCTAL = "octal mode"


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """One option: its names, its value and what it is for.

    ``name`` is hyphenated. ``true_means`` is the number that ``true`` stands for on a
    number option (None: 1). ``value`` says whether the command line wants a value.
    ``check`` raises ConfigError for a text that the option cannot mean. ``mask`` makes a value
    fit to be shown, where it has a secret in it.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    group: str
    repeatable: bool = False
    aliases: tuple[str, ...] = ()
    short: str | None = None
    inverted: bool = False
    true_means: float | None = None
    optional_value: bool = False
    minimum: float | None = 0
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[str], object] | None = None
    mask: Callable[[str], str] | None = None
    ours: bool = False  # not an option of uWSGI


def option(
    default: Any,
    *,
    kind: Kind,
    help: str,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    short: str | None = None,
    inverted: bool = False,
    true_means: float | None = None,
    optional_value: bool = False,
    minimum: float | None = 0,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    check: Callable[[str], object] | None = None,
    mask: Callable[[str], str] | None = None,
    ours: bool = False,
) -> Any:
    """Declare an option as a dataclass field.

    A tuple as default makes the option repeatable. ``name`` is needed only where the
    field's own name, with hyphens, is not the option's. ``inverted``: the option
    switches the field off (``disable-logging``).
    """
    return dataclasses.field(
        default=default,
        metadata={
            "option": {
                "name": name,
                "kind": kind,
                "help": help,
                "aliases": aliases,
                "short": short,
                "inverted": inverted,
                "true_means": true_means,
                "optional_value": optional_value,
                "minimum": minimum,
                "maximum": maximum,
                "choices": choices,
                "check": check,
                "mask": mask,
                "ours": ours,
                "repeatable": isinstance(default, tuple),
            }
        },
    )


def options_of(group_class: type, group: str) -> dict[str, Option]:
    """The options that a group declares, by field name, in order of declaration.

    A class with a ``PREFIX`` puts it before every name; then uWSGI's own list says which of the
    options are ours.
    """
    prefix: str = getattr(group_class, "PREFIX", "")
    found: dict[str, Option] = {}
    for field in dataclasses.fields(group_class):
        declared = dict(field.metadata["option"])
        declared["name"] = prefix + (declared["name"] or field.name.replace("_", "-"))
        declared["aliases"] = tuple(prefix + alias for alias in declared["aliases"])
        if prefix:
            declared["ours"] = declared["name"] not in catalog()
        found[field.name] = Option(default=field.default, group=group, **declared)
    return found
