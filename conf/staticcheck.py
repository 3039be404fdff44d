"""Whether the options of static files can be used, and whether their directories are there."""

from __future__ import annotations

import os
from collections.abc import Mapping

from uwgate.conf.groups.static import StaticOptions
from uwgate.conf.pair import Note, Place, Severity
from uwgate.conf.settings import Settings

Places = Mapping[tuple[str, str], list[Place]]

# Options that name a directory, and how it stands in their value.
_DIRECTORIES = ("check_static", "static_map", "static_map2", "static_internal", "static_safe")
_PAIRS = ("static_map", "static_map2", "static_internal")


def check_static(settings: Settings, places: Places) -> tuple[list[str], list[Note]]:
    """What is wrong, one line each, and what is worth a word."""
    if settings.static == StaticOptions():
        return [], []
    # Here, because most have no use for it.
    from uwgate.files.disk import RealDisk
    from uwgate.files.rules import try_rules

    folder = settings.application.chdir or ""
    _, problems = try_rules(settings.static, RealDisk(), folder)
    told = [
        f"{_place(places, one.option.replace('-', '_'), one.number)}: {one}" for one in problems
    ]
    return told, [] if told else _missing(settings.static, folder, places)


def _missing(options: StaticOptions, folder: str, places: Places) -> list[Note]:
    """Directories that are not there. uWSGI starts without them, and they may come later."""
    notes: list[Note] = []
    for field in _DIRECTORIES:
        for number, value in enumerate(getattr(options, field)):
            path = value.partition("=")[2] if field in _PAIRS else value
            if not os.path.exists(os.path.join(folder, path)):
                option = field.replace("_", "-")
                text = f"{option} = {value}: nothing is there now; requests go on without it"
                notes.append(Note(Severity.WARNING, text, _place(places, field, number)))
    return notes


def _place(places: Places, field: str, number: int) -> Place:
    """Where a value stood; of an option that has one value, the last counts."""
    where = places[("static", field)]
    return where[number] if isinstance(getattr(StaticOptions(), field), tuple) else where[-1]
