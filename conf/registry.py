"""Every name that may stand in a configuration, and what becomes of it.

Computed: the options of the groups, the words of the configuration language, and
uWSGI's names (``catalog``), each in exactly one ``Standing``.
"""

from __future__ import annotations

import difflib
import enum
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uwgate.conf.catalog import Fact, catalog
from uwgate.conf.families import ACCEPTED, hint_for
from uwgate.conf.option import Kind, Option, options_of
from uwgate.conf.settings import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Standing(enum.Enum):
    """What becomes of a name."""

    WORKS = "works"
    ACCEPTED = "accepted, nothing to do"
    NOT_OFFERED = "not offered yet"


class Argument(enum.Enum):
    """Whether the command line wants a value."""

    NONE = "none"
    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """One name. ``option`` and ``field`` are None unless a group declares it.

    ``word`` is the name of the language's word or of the command, for those.
    ``reason`` says why nothing is to do, or what to use instead.
    """

    name: str
    standing: Standing
    argument: Argument
    short: str | None = None
    option: Option | None = None
    field: str | None = None
    word: str | None = None
    reason: str = ""
    fact: Fact | None = None

    @property
    def meaning(self) -> str:
        """The same text for all names of one thing: aliases share it."""
        if self.option is not None:
            return self.option.name
        return self.word or self.name


# Words of the configuration language by the word that explains them.
LANGUAGE: dict[str, str] = {
    "ini": "ini",
    "yaml": "yaml",
    "yml": "yaml",
    "json": "json",
    "js": "json",
    "xml": "xml",
    "xmlconfig": "xml",
    "toml": "toml",
    "config": "include",
    "include": "include",
    "inherit": "inherit",
    "strict": "strict",
    "set": "set",
    "set-ph": "set-placeholder",
    "set-placeholder": "set-placeholder",
    "declare-option": "declare-option",
    "declare-option2": "declare-option2",
    "for": "for",
    "for-glob": "for-glob",
    "for-times": "for-times",
    "for-readline": "for-readline",
    "if-opt": "if-opt",
    "if-not-opt": "if-not-opt",
    "if-env": "if-env",
    "ifenv": "if-env",
    "if-not-env": "if-not-env",
    "if-reload": "if-reload",
    "if-not-reload": "if-not-reload",
    "if-hostname": "if-hostname",
    "if-not-hostname": "if-not-hostname",
    "if-hostname-match": "if-hostname-match",
    "if-not-hostname-match": "if-not-hostname-match",
    "if-exists": "if-exists",
    "ifexists": "if-exists",
    "if-not-exists": "if-not-exists",
    "if-plugin": "if-plugin",
    "ifplugin": "if-plugin",
    "if-not-plugin": "if-not-plugin",
    "if-file": "if-file",
    "if-not-file": "if-not-file",
    "if-dir": "if-dir",
    "ifdir": "if-dir",
    "if-directory": "if-dir",
    "if-not-dir": "if-not-dir",
    "endfor": "end",
    "end-for": "end",
    "endif": "end",
    "end-if": "end",
    "blacklist": "blacklist",
    "end-blacklist": "end-blacklist",
    "whitelist": "whitelist",
    "end-whitelist": "end-whitelist",
    "print": "print",
    "iprint": "print",
    "exit": "exit",
    "envdir": "envdir",
    "early-envdir": "envdir",
    "mode": "mode",
}

# What uwgate does instead of running, and the option that only prints.
COMMANDS: dict[str, str] = {
    "help": "help",
    "usage": "help",
    "version": "version",
    "python-version": "python-version",
    "check": "check",
    "get": "get",
    "show-config": "show-config",
    "stop": "stop",
    "reload": "reload",
    "connect-and-read": "connect-and-read",
}

OUR_WORDS: dict[str, Argument] = {"toml": Argument.REQUIRED, "check": Argument.NONE}


def canonical(name: str) -> str:
    """A name as the registry has it: underscores equal hyphens."""
    return name.replace("_", "-")


@functools.cache
def registry() -> Mapping[str, Name]:
    """All names with hyphens, each once."""
    facts = {canonical(fact.name): fact for fact in catalog().values()}
    names = {name: _undeclared(name, fact) for name, fact in facts.items()}
    for word, argument in OUR_WORDS.items():
        names[word] = Name(name=word, standing=Standing.WORKS, argument=argument, word=word)
    for declared in _declared(facts):
        if declared.name in LANGUAGE or declared.name in COMMANDS:
            raise ValueError(f"{declared.name} is an option and a word of the language")
        names[declared.name] = declared
    return names


@functools.cache
def short_names() -> Mapping[str, Name]:
    """The names by short flag, without the dash."""
    found: dict[str, Name] = {}
    for name in registry().values():
        if name.short and found.setdefault(name.short, name).meaning != name.meaning:
            raise ValueError(f"-{name.short} is {found[name.short].name} and {name.name}")
    return found


def find(key: str) -> Name | None:
    """The name that a key of a file or of the command line means."""
    return registry().get(canonical(key))


def known(key: str) -> Name:
    """The name that a key means, which must exist."""
    return registry()[canonical(key)]


def nearest(key: str, also: Iterable[str] = ()) -> str | None:
    """The known name that looks most like ``key``; one that works is preferred."""
    names = registry()
    key = canonical(key)
    working = [name for name, entry in names.items() if entry.standing is not Standing.NOT_OFFERED]
    for pool, likeness in ((working + list(also), 0.75), (list(names), 0.85)):
        close = difflib.get_close_matches(key, pool, n=1, cutoff=likeness)
        if close:
            return close[0]
    return None


def _declared(facts: Mapping[str, Fact]) -> Iterable[Name]:
    for group, group_class in GROUPS.items():
        for field, option in options_of(group_class, group).items():
            for name in (option.name, *option.aliases):
                fact = facts.get(name)
                if fact is None and not option.ours:
                    raise ValueError(f"{name} is no option of uWSGI and not marked as ours")
                yield Name(
                    name=name,
                    standing=Standing.WORKS,
                    argument=_argument(option),
                    short=option.short if name == option.name else None,
                    option=option,
                    field=field,
                    fact=fact,
                )


def _argument(option: Option) -> Argument:
    if option.optional_value:
        return Argument.OPTIONAL
    if option.kind is not Kind.BOOL:
        return Argument.REQUIRED
    # A switch that is on already makes sense only with a value.
    return Argument.OPTIONAL if option.default and not option.inverted else Argument.NONE


def _undeclared(name: str, fact: Fact) -> Name:
    word = LANGUAGE.get(name) or COMMANDS.get(name)
    if word is not None:
        standing, reason = Standing.WORKS, ""
    elif name in ACCEPTED:
        standing, reason = Standing.ACCEPTED, ACCEPTED[name]
    else:
        standing, reason = Standing.NOT_OFFERED, hint_for(fact)
    return Name(
        name=name,
        standing=standing,
        argument=Argument(fact.argument),
        short=fact.short or None,
        word=word,
        reason=reason,
        fact=fact,
    )
