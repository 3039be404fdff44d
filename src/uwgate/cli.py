"""The command ``uwgate``: loads the configuration, then runs the master or another command."""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
from collections.abc import Mapping, Sequence

from uwgate import __version__, exits, launch, pid_file
from uwgate.conf.check import report
from uwgate.conf.errors import ConfigError
from uwgate.conf.help import help_text
from uwgate.conf.loading import ENVIRONMENT_PREFIXES, Loaded, load
from uwgate.conf.logs import wants_colour
from uwgate.conf.pair import Command, Note, Severity
from uwgate.conf.settings import Settings
from uwgate.gateways.command import gateway_command
from uwgate.generation import Commands
from uwgate.workers.command import spawner_command

log = logging.getLogger("uwgate.master")

SHORT_HELP = """\
uwgate serves web applications. Try one of these:

  uwgate --http :8080 --wsgi-file app.py            one file with a WSGI application
  uwgate --http :8080 --module shop.wsgi -p 4       a module, in four processes
  uwgate --uwsgi-socket /run/shop.sock shop.ini     behind nginx, the rest from a file
  uwgate --check shop.ini                           what a file means, without starting
  uwgate --help                                     every option
"""
COMMANDS = Commands(gateway=gateway_command, spawner=spawner_command)
COLOURS = {Severity.NOTE: "2", Severity.WARNING: "33"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (without the program's name); returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    environ = dict(os.environ)  # as it was: a reload reads the same
    try:
        if not arguments and not any(map(_is_option, environ)):
            sys.stderr.write(SHORT_HELP)
            return exits.ERROR
        loaded = load(arguments, environ)
        for note in loaded.notes:
            _show(note, environ)
        if loaded.command is not None:
            return _execute(loaded.command, loaded)
        if loaded.show_config:
            sys.stdout.write(report(loaded))
            sys.stdout.flush()
        return launch.run(
            loaded.settings, COMMANDS, lambda: _load_again(arguments, environ), environ
        )
    except ConfigError as error:
        _complain(str(error), environ)
        return exits.ERROR
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def _is_option(variable: str) -> bool:
    return variable.startswith(ENVIRONMENT_PREFIXES)


def _load_again(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    loaded = load(arguments, environ, reloading=True)
    for note in loaded.notes:
        if note.severity is not Severity.NOTE:
            log.warning("%s", note)
    return loaded.settings


def _execute(command: Command, loaded: Loaded) -> int:
    match command.name, command.arguments:
        case "check", _:
            sys.stdout.write(report(loaded))
        case "get", values:
            sys.stdout.write("".join(f"{value}\n" for value in values))
        case "help", topic:
            sys.stdout.write(help_text(topic[0] if topic else None))
        case "version", _:
            sys.stdout.write(f"{__version__}\n")
        case "python-version", _:
            sys.stdout.write(f"{platform.python_version()}\n")
        case "stop", (path,):
            pid_file.send_signal(path, signal.SIGINT)
        case "reload", (path,):
            pid_file.send_signal(path, signal.SIGHUP)
        case name, _:
            raise ConfigError(f"--{name} is no command, or lacks its pid file")
    return exits.OK


def _show(note: Note, environ: Mapping[str, str]) -> None:
    if note.severity is Severity.PRINT:
        sys.stdout.write(f"{note.text}\n")
        return
    _write_marked(note.severity.value, COLOURS[note.severity], str(note), environ)


def _complain(problems: str, environ: Mapping[str, str]) -> None:
    for problem in problems.splitlines():
        _write_marked("error", "31", problem, environ)


def _write_marked(word: str, colour: str, text: str, environ: Mapping[str, str]) -> None:
    mark = f"\x1b[{colour}m{word}:\x1b[0m" if wants_colour(2, environ) else f"{word}:"
    sys.stderr.write(f"uwgate: {mark} {text}\n")
