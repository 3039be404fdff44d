"""The command ``uwgate``: loads the configuration, then runs the master or another command."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence

from uwgate import __version__, exits, identity, pid_file
from uwgate.conf.check import effective_ini, note_line, report, report_error
from uwgate.conf.errors import ConfigError
from uwgate.conf.help import help_text
from uwgate.conf.loading import ENVIRONMENT_PREFIXES, Loaded, load
from uwgate.conf.logs import wants_colour
from uwgate.conf.pair import Command, Severity
from uwgate.conf.settings import Settings
from uwgate.legion.check import check as check_legions
from uwgate.readout import print_socket

log = logging.getLogger("uwgate.master")

SHORT_HELP = """\
uwgate serves web applications. Try one of these:

  uwgate --http :8080 --wsgi-file app.py            one file with a WSGI application
  uwgate --http :8080 --module shop.wsgi -p 4       a module, in four processes
  uwgate --uwsgi-socket /run/shop.sock shop.ini     behind nginx, the rest from a file
  uwgate --check shop.ini                           what a file means, without starting
  uwgate explain shop.ini /path                     what its rules do to a request, and why
  uwgate --help                                     every option
"""
LEVELS = {
    Severity.NOTE: logging.DEBUG,  # told at the start already
    Severity.WARNING: logging.WARNING,
    Severity.PRINT: logging.INFO,
}
WIDEST_HELP = 100  # columns


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (without the program's name); returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    environ = dict(os.environ)  # as it was: a reload reads the same
    colours = wants_colour(2, environ)
    try:
        if not arguments and not any(map(_is_option, environ)):
            sys.stderr.write(SHORT_HELP)
            return exits.ERROR
        if arguments[:2] == ["legion", "simulate"]:
            from uwgate.legion import simulate  # brings cryptography along

            return simulate.main(arguments[2:])
        if arguments[:1] == ["explain"]:
            from uwgate.explain import command  # servers have no use for it

            return command.main(arguments[1:])
        loaded = load(arguments, environ)
        check_legions(loaded)
        if loaded.command is not None:
            return _execute(loaded.command, loaded, colours=wants_colour(1, environ))
        for note in loaded.notes:
            sys.stderr.write(note_line(note, colours=colours) + "\n")
        if loaded.show_config:
            sys.stdout.write(effective_ini(loaded.settings) + "\n")
            sys.stdout.flush()
        if loaded.settings.header.router_list:
            sys.stderr.write(_actions() + "\n")
        from uwgate import launch, programs  # trio and the master, which only a server needs

        return launch.run(
            loaded.settings, programs.COMMANDS, lambda: _load_again(arguments, environ), environ
        )
    except ConfigError as error:
        sys.stderr.write(report_error(error, colours=colours))
        return exits.ERROR
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def _actions() -> str:
    """The names of all actions of rules."""
    from uwgate.routing.catalog import ACTION_KINDS  # brings all of routing along

    return "actions of rules: " + ", ".join(sorted(ACTION_KINDS))


def _is_option(variable: str) -> bool:
    return variable.startswith(ENVIRONMENT_PREFIXES)


def _load_again(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    loaded = load(arguments, environ, reloading=True)
    check_legions(loaded)
    for note in loaded.notes:
        log.log(LEVELS[note.severity], "%s", note)
    return loaded.settings


def _execute(command: Command, loaded: Loaded, *, colours: bool) -> int:
    match command.name, command.arguments:
        case "check", _:
            identity.check(loaded.settings)
            sys.stdout.write(report(loaded, colours=colours))
        case "get", values:
            sys.stdout.write("".join(f"{value}\n" for value in values))
        case "help", topic:
            width = min(shutil.get_terminal_size().columns, WIDEST_HELP)
            text = help_text(topic[0] if topic else None, width=width, colours=colours)
            sys.stdout.write(text.rstrip("\n") + "\n")
        case "version", _:
            sys.stdout.write(f"{__version__}\n")
        case "python-version", _:
            sys.stdout.write(f"{platform.python_version()}\n")
        case "stop", (path,):
            pid_file.send_signal(path, signal.SIGINT)
        case "reload", (path,):
            pid_file.send_signal(path, signal.SIGHUP)
        case "connect-and-read", (address,):
            print_socket(address, sys.stdout.buffer)
        case name, _:
            raise ConfigError(f"--{name} cannot be done")
    return exits.OK
