"""Loads the whole configuration: environment, command line and files.

``load`` reads, checks and returns; it changes nothing in the process, so that the master
can call it again for a reload and keep what it has when that fails.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uwgate.conf import commandline
from uwgate.conf.backendcheck import check_backends
from uwgate.conf.crosscheck import Places, crosscheck
from uwgate.conf.effective import Builder
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions
from uwgate.conf.logic import Frame
from uwgate.conf.pair import COMMAND_LINE, Command, Note, Pair, Place
from uwgate.conf.reader import PARSERS, Reader
from uwgate.conf.registry import find
from uwgate.conf.settings import Settings
from uwgate.conf.source import locate
from uwgate.conf.staticcheck import check_static

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ENVIRONMENT_PREFIXES = ("UWSGI_", "UWGATE_")

# Variables of that prefix that are messages to a process, not options.
NOT_OPTIONS = frozenset(
    [
        "RELOADS",
        "VASSALS_DIR",
        "EMPEROR_FD",
        "BROODLORD_NUM",
        "EMPEROR_FD_CONFIG",
        "EMPEROR_PROXY",
        "JAIL_PID",
        "ORIGINAL_PROC_NAME",
    ]
)

PYTHON_FILE = re.compile(r"(?P<file>.+\.(?:py|wsgi))(?::(?P<callable>\w+))?")
PYTHON_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.\w+)*(\(\))?")

# Commands that look at nothing else, so a broken configuration does not stop them.
AT_ONCE = ("help", "version", "python-version", "stop", "reload", "connect-and-read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that can be used.

    ``command`` is what to do instead of running, None to run. ``files`` are the absolute
    paths of the files that were read. ``show_config``: print the effective options at the
    start. ``pairs`` are all pairs with their places, references expanded.
    """

    settings: Settings
    notes: tuple[Note, ...] = ()
    command: Command | None = None
    files: tuple[str, ...] = ()
    show_config: bool = False
    pairs: tuple[Pair, ...] = ()


def load(argv: Sequence[str], environ: Mapping[str, str], *, reloading: bool = False) -> Loaded:
    """Load the configuration that arguments (without the program's name) ask for.

    ``reloading`` answers ``if-reload``.

    Raises:
        ConfigError: all that is wrong, one line each, with file and line, option and value.
    """
    line = commandline.parse(argv)
    if command := _command_at_once(line):
        return Loaded(settings=Settings(), command=command)
    reader = Reader(environ, reloading=reloading)
    reader.problems += line.problems
    try:
        _read(reader, line, environ)
    except ConfigError as error:
        raise _all_of([*reader.problems, str(error)], reader.notes) from error
    names = [pair.value or "" for pair in line.pairs if _word(pair) == "get"]
    if names and not reader.problems:
        values = tuple(_get(reader, name) for name in names)
        return Loaded(
            settings=Settings(),
            command=Command(name="get", arguments=values),
            pairs=tuple(reader.pairs),
        )
    builder = Builder(reader)
    settings = builder.build()
    if not reader.problems:
        reader.problems += crosscheck(settings, builder.places)
        for check in (check_backends, check_static):
            problems, notes = check(settings, builder.places)
            reader.problems += problems
            reader.notes += notes
    if settings.rules:
        _check_rules(reader, settings)
    speaks_tls = settings.https != HttpsOptions() or settings.terminates_tls
    if not reader.problems and speaks_tls:
        _check_tls(reader, settings, builder.places, environ)
    if reader.problems:
        raise _all_of(reader.problems, reader.notes)
    checking = any(_word(pair) == "check" for pair in line.pairs)
    return Loaded(
        settings=settings,
        notes=tuple(dict.fromkeys(reader.notes)),
        command=Command(name="check") if checking else None,
        files=tuple(reader.files),
        show_config=builder.show_config,
        pairs=tuple(reader.pairs),
    )


def _check_rules(reader: Reader, settings: Settings) -> None:
    # Here, because routing knows the settings, and most configurations have no rules.
    from uwgate.routing.places import open_places
    from uwgate.routing.ruleset import read_rule_set

    try:
        if read_rule_set(settings) is not None:
            open_places(settings.geoip)
    except ConfigError as error:
        reader.problems += str(error).splitlines()


def _check_tls(
    reader: Reader, settings: Settings, places: Places, environ: Mapping[str, str]
) -> None:
    # Here, because cryptography is large, and most have no use for it.
    from uwgate.conf.tlscheck import check_tls

    problems, notes = check_tls(settings, places, environ, datetime.datetime.now(datetime.UTC))
    reader.problems += problems
    reader.notes += notes


def _read(reader: Reader, line: commandline.CommandLine, environ: Mapping[str, str]) -> None:
    frame = Frame()
    for pair in _from_environment(environ):
        reader.feed(pair, frame)
    reader.end_of_source(frame)
    for pair in line.pairs:
        reader.feed(pair, frame)
    for positional in line.positionals:
        if _is_file(positional):
            reader.load(positional, COMMAND_LINE)
        else:
            for pair in _application(positional):
                reader.feed(pair, frame)
    reader.end_of_source(frame)
    reader.finish()


def _from_environment(environ: Mapping[str, str]) -> Iterable[Pair]:
    for variable, value in environ.items():
        prefix, _, name = variable.partition("_")
        if prefix + "_" in ENVIRONMENT_PREFIXES and name and name not in NOT_OPTIONS:
            key = name.lower().replace("_", "-")
            yield Pair(key, value, Place(f"environment {variable}"))


def _is_file(positional: str) -> bool:
    return locate(positional).extension in PARSERS


def _application(positional: str) -> list[Pair]:
    """What ``app.py`` or ``pkg.mod:app`` as an argument stands for.

    Raises:
        ConfigError: it is neither.
    """
    if positional.startswith("["):  # uWSGI skips these as well: markers for ps
        return []
    if match := PYTHON_FILE.fullmatch(positional):
        found = [Pair("wsgi-file", match["file"], COMMAND_LINE, strict=True)]
        if match["callable"]:
            found.append(Pair("callable", match["callable"], COMMAND_LINE, strict=True))
        return found
    if PYTHON_MODULE.fullmatch(positional):
        return [Pair("module", positional, COMMAND_LINE, strict=True)]
    raise ConfigError(
        f"{COMMAND_LINE}: cannot tell what {positional!r} is: expected a configuration "
        f"({', '.join('.' + one for one in PARSERS)}), an application file (app.py) or a "
        "module with its callable (pkg.mod:app)"
    )


def _command_at_once(line: commandline.CommandLine) -> Command | None:
    for pair in line.pairs:
        word = _word(pair)
        if word is None or word not in AT_ONCE:
            continue
        if word == "help":
            # "--help http": the option takes no value, so its topic is a positional argument.
            return Command(name="help", arguments=tuple(line.positionals[:1]))
        return Command(name=word, arguments=(pair.value,) if pair.value is not None else ())
    return None


def _word(pair: Pair) -> str | None:
    name = find(pair.key)
    return None if name is None else name.word


def _get(reader: Reader, name: str) -> str:
    pair = reader.first(name)
    return "" if pair is None or pair.value is None else pair.value


def _all_of(problems: Sequence[str], notes: Sequence[Note]) -> ConfigError:
    return ConfigError("\n".join(dict.fromkeys(problems)), tuple(dict.fromkeys(notes)))
