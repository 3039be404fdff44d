"""The texts of ``--help``: a short page, a group, one option, or a word."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from uwgate.conf.option import Kind, Option, options_of
from uwgate.conf.registry import Argument, Name, Standing, find, nearest, registry, short_names
from uwgate.conf.settings import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COMMON = (
    "http",
    "module",
    "wsgi-file",
    "processes",
    "threads",
    "chdir",
    "virtualenv",
    "socket",
    "http-to",
    "logto",
    "uid",
    "gid",
)

COMMANDS = (
    ("--check FILE", "Read and check FILE, print the effective options, start nothing."),
    ("--get NAME", "Print the value of an option or variable."),
    ("--stop PIDFILE, --reload PIDFILE", "Stop or reload the master whose pid is there."),
    ("legion simulate FILE", "Simulate the legions of FILE under faults (docs/howto/legion.md)."),
    ("--version, --python-version", "Print the version of uwgate, of its Python."),
    ("--help [GROUP | OPTION | WORD]", "This page, or help on that."),
)

EXAMPLES = (
    ("uwgate --http :8080 app.py", "serve app.py, its callable named 'application'"),
    ("uwgate --http :8080 -p 4 pkg.mod:app", "the same from a module, with four workers"),
    ("uwgate site.ini", "everything from a file with a [uwsgi] or [uwgate] section"),
    ("uwgate --check site.ini", "what that file means, and what is wrong with it"),
)

# The smallest width at which two columns are still readable.
TWO_COLUMNS = 60
LEFT = 28


class Page:
    """Lines of help: headings, texts and two-column entries, wrapped to a width."""

    def __init__(self, width: int, colours: bool) -> None:
        self._width = max(width, 30)
        self._colours = colours
        self._lines: list[str] = []

    def heading(self, text: str) -> None:
        """A bold line with a blank line in front of it."""
        if self._lines:
            self._lines.append("")
        self._lines.append(self._bold(text))

    def text(self, text: str, indent: str = "") -> None:
        """A paragraph."""
        self._lines += textwrap.wrap(
            text,
            self._width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )

    def entry(self, left: str, right: str) -> None:
        """A term and what it means."""
        if self._width < TWO_COLUMNS or len(left) > LEFT - 4:
            self._lines.append("  " + self._bold(left))
            self.text(right, " " * (LEFT if self._width >= TWO_COLUMNS else 6))
            return
        wrapped = textwrap.wrap(right, self._width - LEFT, break_on_hyphens=False) or [""]
        self._lines.append("  " + self._bold(left) + " " * (LEFT - 2 - len(left)) + wrapped[0])
        self._lines += [" " * LEFT + line for line in wrapped[1:]]

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._colours else text


def help_text(topic: str | None = None, *, width: int = 80, colours: bool = False) -> str:
    """What ``--help TOPIC`` prints.

    ``topic`` is None, the name of a group, the name of an option, or a word to look for
    in names and explanations.
    """
    page = Page(width, colours)
    if topic is None:
        _overview(page)
    elif topic in GROUPS:
        _group(page, topic)
    elif (name := find(topic.lstrip("-")) or short_names().get(topic.lstrip("-"))) is not None:
        _one(page, name)
    else:
        _search(page, topic)
    return str(page)


def usage(option: Option) -> str:
    """An option as it stands on the command line: ``-p, --processes N``."""
    short = f"-{option.short}, " if option.short else ""
    return f"{short}--{option.name}{_metavar(option)}"


def default_text(option: Option) -> str:
    """The default as a configuration writes it, empty where there is none."""
    default = option.default
    if default is None or default == ():
        return ""
    if option.kind is Kind.BOOL:
        return "true" if default is not option.inverted else "false"
    if option.kind is Kind.OCTAL:
        return f"{default:o}"
    if isinstance(default, float):
        return f"{default:g}"
    return str(default)


def all_options() -> Iterator[Option]:
    """Every declared option, in order of declaration."""
    for group, group_class in GROUPS.items():
        yield from options_of(group_class, group).values()


def group_title(group: str) -> str:
    """What a group is about: the first line of its docstring."""
    return str(GROUPS[group].__doc__).strip().splitlines()[0]


def _metavar(option: Option) -> str:
    if option.kind is Kind.BOOL:
        return "[=false]" if option.default and not option.inverted else ""
    word = {
        Kind.INT: "N",
        Kind.SECONDS: "SECONDS",
        Kind.BYTES: "BYTES",
        Kind.MEGABYTES: "MB",
        Kind.TEXT: "TEXT",
        Kind.PATH: "PATH",
        Kind.ADDRESS: "ADDRESS",
        Kind.PAIR: "NAME=VALUE",
        Kind.OCTAL: "MODE",
    }[option.kind]
    if option.choices:
        word = "|".join(option.choices)
    return f"[={word}]" if option.optional_value else f" {word}"


def _overview(page: Page) -> None:
    page.text("uwgate [OPTION...] [FILE.ini | APP.py | PKG.MOD:APP]")
    page.heading("Examples")
    for command, meaning in EXAMPLES:
        page.entry(command, meaning)
    page.heading("Common options")
    by_name = {option.name: option for option in all_options()}
    for name in COMMON:
        _entry(page, by_name[name])
    page.heading("Commands")
    for command, meaning in COMMANDS:
        page.entry(command, meaning)
    page.heading("Groups of options, for --help GROUP")
    for group in GROUPS:
        page.entry(group, group_title(group))
    page.heading("Addresses")
    page.text(
        "host:port, :port, [IPv6]:port, a path, @abstract, fd://N, =N (the Nth shared-socket)",
        "  ",
    )


def _group(page: Page, group: str) -> None:
    page.heading(f"Options of the group {group!r}")
    page.text(group_title(group))
    for option in options_of(GROUPS[group], group).values():
        _entry(page, option)


def _one(page: Page, name: Name) -> None:
    if name.option is not None:
        _entry(page, name.option)
        if name.option.aliases:
            page.text("Also: " + ", ".join(name.option.aliases), " " * 6)
        page.text(f"Group: {name.option.group}", " " * 6)
        return
    if name.word is not None:
        takes = "" if name.argument is Argument.NONE else " VALUE"
        page.entry(f"--{name.name}{takes}", WORD_HELP[name.word])
        return
    page.entry(f"--{name.name}", f"{name.standing.value}: {name.reason}.")


def _search(page: Page, word: str) -> None:
    found = [
        option
        for option in all_options()
        if word.lower() in " ".join((option.name, *option.aliases, option.help)).lower()
    ]
    others = [
        name
        for name in registry().values()
        if word.lower() in name.name and name.standing is not Standing.WORKS
    ]
    if not found and not others:
        close = nearest(word)
        page.text(f"Nothing is known about {word!r}." + (f" Nearest: {close}" if close else ""))
        return
    if found:
        page.heading(f"Options about {word!r}")
        for option in found:
            _entry(page, option)
    _others(page, others)


def _others(page: Page, names: Iterable[Name]) -> None:
    for standing in (Standing.ACCEPTED, Standing.NOT_OFFERED):
        of_standing = [name.name for name in names if name.standing is standing]
        if of_standing:
            page.heading(standing.value.capitalize())
            page.text(", ".join(of_standing), "  ")


def _entry(page: Page, option: Option) -> None:
    default = default_text(option)
    text = option.help
    if default and option.kind is not Kind.BOOL:
        text += f" [{default}]"
    if option.repeatable:
        text += " Repeatable."
    page.entry(usage(option), text)


WORD_HELP: dict[str, str] = {
    "ini": "Read an ini file here; FILE:SECTION for another section, :SECTION of the last file.",
    "yaml": "Read a YAML file here (extra 'yaml').",
    "json": "Read a JSON file here.",
    "xml": "Read an XML file here (extra 'xml').",
    "toml": "Read a TOML file here.",
    "include": "Read a file here, its format told by its extension.",
    "inherit": "Read a file behind everything else; its values win.",
    "strict": "From here on, an unknown name is an error.",
    "set": "Set a variable or an option: NAME=value.",
    "set-placeholder": "Set a variable for %(NAME): NAME=value.",
    "declare-option": "Make an option of others: NAME=option=$1;option=$2.",
    "declare-option2": "Like declare-option.",
    "for": "Repeat each line up to endfor for every word; %(_) is the word.",
    "for-glob": "Repeat each line up to endfor for every path that matches.",
    "for-times": "Repeat each line up to endfor for 1 to N.",
    "for-readline": "Repeat each line up to endfor for every line of a file.",
    "if-opt": "Up to endif: only if an option is set, NAME or NAME=value.",
    "if-not-opt": "Up to endif: only if an option is not set.",
    "if-env": "Up to endif: only if an environment variable is set, NAME or NAME=value.",
    "if-not-env": "Up to endif: only if an environment variable is not set.",
    "if-reload": "Up to endif: only at a reload.",
    "if-not-reload": "Up to endif: only at the start.",
    "if-hostname": "Up to endif: only on this machine.",
    "if-not-hostname": "Up to endif: only on other machines.",
    "if-hostname-match": "Up to endif: only if the machine's name matches the expression.",
    "if-not-hostname-match": "Up to endif: only if the machine's name does not match.",
    "if-exists": "Up to endif: only if the path exists.",
    "if-not-exists": "Up to endif: only if the path does not exist.",
    "if-plugin": "Up to endif: only if that part is built in (python, http).",
    "if-not-plugin": "Up to endif: only if that part is not built in.",
    "if-file": "Up to endif: only if the path is a file.",
    "if-not-file": "Up to endif: only if the path is no file.",
    "if-dir": "Up to endif: only if the path is a directory.",
    "if-not-dir": "Up to endif: only if the path is no directory.",
    "end": "The end of a loop or condition.",
    "blacklist": "Up to end-blacklist: these options are an error.",
    "end-blacklist": "The end of blacklist.",
    "whitelist": "Up to end-whitelist: only these options are allowed.",
    "end-whitelist": "The end of whitelist.",
    "print": "Print a text at the start.",
    "exit": "Do not start.",
    "envdir": "Set environment variables from a directory: a file for each.",
    "mode": "Use only XML elements of this mode, and those without one.",
    "help": "Print help on a group, an option or a word.",
    "version": "Print the version.",
    "python-version": "Print the version of Python.",
    "check": "Check the configuration, print the effective options, start nothing.",
    "get": "Print the value of an option or variable.",
    "show-config": "Print the effective options at the start.",
    "stop": "Stop the master whose pid is in this file.",
    "reload": "Reload the master whose pid is in this file.",
    "connect-and-read": "Print what the socket at this address says, such as a stats server.",
}
