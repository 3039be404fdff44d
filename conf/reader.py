"""Reads every source of a configuration into one list of pairs.

A key of a file passes the open block (``logic``), then the words of the configuration
language act at once; everything else is appended. When all is read, ``finish`` loads what
is inherited and expands references (spec/configuration.md sections 1 and 2).
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, ClassVar

from uwgate.conf.errors import ConfigError
from uwgate.conf.expansion import References, has_parentheses, mentioned
from uwgate.conf.formats import ini, json, toml, xml, yaml
from uwgate.conf.formats.document import Document
from uwgate.conf.logic import END, ITEM, OPENERS, Frame, is_opener, open_block
from uwgate.conf.magic import file_variables, machine, replace_magic
from uwgate.conf.pair import Note, Pair, Place, Severity
from uwgate.conf.registry import canonical, find, nearest
from uwgate.conf.source import Location, locate, read
from uwgate.conf.values import is_false

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

MAX_DEPTH = 32  # files in files, declared options in declared options
MAX_PAIRS = 100_000  # files that include each other many times must not eat the memory

PARSERS: dict[str, ModuleType] = {
    "ini": ini,
    "yaml": yaml,
    "yml": yaml,
    "json": json,
    "js": json,
    "xml": xml,
    "toml": toml,
}

# Their texts are templates: what they define is expanded, not they themselves.
TEMPLATES = frozenset({"set", "set-placeholder", "declare-option", "declare-option2"})


class Reader:
    """The state of one load. ``pairs``, ``notes``, ``problems`` and ``files`` are its result."""

    def __init__(self, environ: Mapping[str, str], *, reloading: bool = False) -> None:
        self.environ = environ
        self.reloading = reloading
        self.pairs: list[Pair] = []
        self.notes: list[Note] = []
        self.problems: list[str] = []
        self.files: list[str] = []
        self.mentions: set[str] = set()  # names that some %( ) refers to
        self.declared: dict[str, str] = {}  # templates of declare-option
        self.ran: set[int] = set()  # indexes of pairs whose template was run
        self.strict = False
        self.unknown_under_strict: set[int] = set()  # indexes of pairs
        self._first: dict[str, int] = {}
        self._references = References(environ, self.first)
        self._machine = machine().values
        self._first_file: dict[str, str] = {}
        self._last_ini: str | None = None
        self._loading: list[tuple[str, str | None]] = []
        self._mode: str | None = None
        self._blacklist: frozenset[str] | None = None
        self._whitelist: frozenset[str] | None = None

    def first(self, name: str) -> Pair | None:
        """The first visible pair of that name: what ``%(name)`` and ``get`` look at."""
        index = self._first.get(canonical(name))
        return None if index is None else self.pairs[index]

    def warn(self, text: str, place: Place) -> None:
        """Tell the operator about something that stops nothing."""
        self.notes.append(Note(Severity.WARNING, text, place))

    def feed(self, pair: Pair, frame: Frame) -> None:
        """Take the next pair of a source."""
        self.mentions.update(mentioned(pair))
        name = pair.name
        if name in END:
            if frame.block is None:
                self.warn(f"{pair.key} ends nothing", pair.place)
            frame.block = None
        elif frame.block is not None:
            if is_opener(name):
                raise ConfigError(
                    f"{pair.place}: {pair.key} inside {frame.block.opener} of "
                    f"{frame.block.place}: blocks cannot be nested; write "
                    "'end' first"
                )
            for item in frame.block.items:
                value = pair.value
                if item is not None and value is not None:
                    value = value.replace(ITEM, item)
                self._add(dataclasses.replace(pair, value=value), frame)
        else:
            self._add(pair, frame)

    def end_of_source(self, frame: Frame) -> None:
        """Close a block that the source left open."""
        if frame.block is not None:
            self.warn(f"{frame.block.opener} is never ended", frame.block.place)
            frame.block = None

    def load(self, text: str, place: Place, parser: str | None = None) -> None:
        """Read ``file`` or ``file:section`` in place.

        ``parser`` is an extension; None chooses by the file's own.

        Raises:
            ConfigError: the file cannot be read or is broken.
        """
        location = self._locate(text, place, parser)
        identity = (os.path.realpath(location.name), location.section)
        if not location.is_file:
            identity = (location.name, location.section)
        if identity in self._loading:
            chain = " -> ".join(name for name, _ in [*self._loading, identity])
            raise ConfigError(f"{place}: files include each other: {chain}")
        if len(self._loading) >= MAX_DEPTH:
            raise ConfigError(f"{place}: files in files, limit {MAX_DEPTH}")
        chosen = PARSERS.get(parser or location.extension)
        if chosen is None:
            known = ", ".join("." + extension for extension in PARSERS)
            raise ConfigError(
                f"{place}: cannot tell the format of {location.name!r}: expected one of {known}"
            )
        if chosen is ini and location.name != "-":
            self._last_ini = location.name
        self._loading.append(identity)
        self._load(location, place, chosen)
        self._loading.pop()

    def finish(self) -> None:
        """Load what is inherited, then expand all references.

        Raises:
            ConfigError: an inherited file cannot be used.
        """
        position = 0
        while position < len(self.pairs):
            pair = self.pairs[position]
            known = find(pair.key)
            if known is not None and known.word == "inherit" and pair.value:
                self.load(self.expand(pair), pair.place)
            position += 1
        for symbol in "$@%":
            for index, pair in enumerate(self.pairs):
                known = find(pair.key)
                if (
                    pair.value
                    and symbol + "(" in pair.value
                    and (known is None or known.word not in TEMPLATES)
                ):
                    value = self._expand_symbol(pair, pair.value, symbol)
                    if symbol == "%" and has_parentheses(pair.value):
                        text = f"{pair.key} = {value}: parentheses group here; uWSGI miscounts"
                        self.notes.append(Note(Severity.NOTE, text, pair.place))
                    self.pairs[index] = dataclasses.replace(pair, value=value)

    def expand(self, pair: Pair) -> str:
        """The value of a pair that acts at once, with what is known so far."""
        value = pair.value or ""
        for symbol in "$@%$@":  # a placeholder's value has not been through its passes yet
            value = self._expand_symbol(pair, value, symbol)
        return value

    def is_referred_to(self, name: str) -> bool:
        """Whether some ``%(name)`` stands in a value, used or not."""
        return name in self.mentions or name in self._references.used

    def run_declared(self, pair: Pair, template: str) -> list[Pair]:
        """What a declared option expands to: pairs that are not visible."""
        words = (pair.value or "").split()
        text = template
        if not words:
            text = text.replace("$1", "")
        for number, word in enumerate(words, start=1):
            text = text.replace(f"${number}", word)
        inner: list[Pair] = []
        for item in text.split(";"):
            key, equals, value = item.partition("=")
            if not equals:
                break
            inner.append(
                dataclasses.replace(pair, key=key.strip(), value=value, visible=False, known=True)
            )
        return inner

    def _locate(self, text: str, place: Place, parser: str | None) -> Location:
        if not text.startswith(":"):
            return locate(text)
        if parser not in (None, "ini") or self._last_ini is None:
            raise ConfigError(f"{place}: {text!r} is a section of the last ini file; there is none")
        return Location(self._last_ini, text[1:] or None)

    def _load(self, location: Location, place: Place, parser: ModuleType) -> None:
        try:
            text = read(location.name)
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from error
        if text.startswith("\ufeff"):
            text = text[1:]
            self.notes.append(
                Note(Severity.NOTE, "the file starts with a byte order mark", Place(location.name))
            )
        path = location.name if location.is_file else None
        if path is not None and os.path.abspath(path) not in self.files:
            self.files.append(os.path.abspath(path))
        variables = self._variables(location, path)

        def magic(piece: str, line: int) -> str:
            def unknown(reference: str) -> None:
                self.warn(
                    f"{reference!r} is no magic variable and stays as it is; write '%%' for a "
                    "percent sign",
                    Place(location.name, line),
                )

            return replace_magic(piece, variables, unknown)

        def warn(remark: str, line: int) -> None:
            self.warn(remark, Place(location.name, line))

        document = Document(text, location.name, location.section, magic, warn, self._mode)
        pairs: list[Pair] | None = parser.parse(document)
        if pairs is None:
            wanted = " or ".join(f"[{section}]" for section in document.sections)
            self.warn(f"there is no section {wanted}: nothing was read", Place(location.name))
            return
        frame = Frame()
        for pair in pairs:
            self.feed(pair, frame)
        self.end_of_source(frame)

    def _variables(self, location: Location, path: str | None) -> dict[str, str]:
        own = file_variables(location.name, path, location.section or "")
        if not self._first_file:
            self._first_file = {
                letter.upper(): value for letter, value in own.items() if letter.isalpha()
            }
        # %b is the program, whatever the file is.
        return {**own, **self._first_file, **self._machine} | ({} if path else {"b": ""})

    def _add(self, pair: Pair, frame: Frame, *, depth: int = 0) -> None:
        name = pair.name
        if depth > MAX_DEPTH:
            raise ConfigError(f"{pair.place}: {pair.key} is declared by itself")
        self._check_lists(pair)
        if len(self.pairs) >= MAX_PAIRS:
            raise ConfigError(f"{pair.place}: more than {MAX_PAIRS} options, the limit")
        known = find(name)
        if known is None and name in self.declared:
            self.ran.add(len(self.pairs))
            self._append(pair)
            for inner in self.run_declared(pair, self.declared[name]):
                self._add(inner, frame, depth=depth + 1)
            return
        if known is None and self.strict:
            self.unknown_under_strict.add(len(self.pairs))
        self._append(pair)
        action = self._ACTIONS.get(known.word or "") if known else None
        if action is not None:
            action(self, pair, frame)

    def _append(self, pair: Pair) -> None:
        if pair.visible:
            self._first.setdefault(pair.name, len(self.pairs))
        self.pairs.append(pair)

    def _check_lists(self, pair: Pair) -> None:
        if self._blacklist is not None and pair.name in self._blacklist:
            raise ConfigError(f"{pair.place}: {pair.key} is blacklisted here")
        if self._whitelist is not None and pair.name not in self._whitelist:
            raise ConfigError(f"{pair.place}: {pair.key} is not on the whitelist")

    def _expand_symbol(self, pair: Pair, value: str, symbol: str) -> str:
        try:
            return self._references.expand(pair.name, value, symbol)
        except ConfigError as error:
            self.problems.append(f"{pair.place}: {pair.key} = {pair.value}: {error}")
            return value

    def _act_load(self, pair: Pair, frame: Frame) -> None:
        known = find(pair.key)
        parser = None if known is None or known.word == "include" else known.word
        self.load(self.expand(pair), pair.place, parser)

    def _act_strict(self, pair: Pair, frame: Frame) -> None:
        self.strict = not is_false(pair.value)

    def _act_set(self, pair: Pair, frame: Frame) -> None:
        name, equals, value = (pair.value or "").partition("=")
        if name != name.strip():  # written as "set = name = value"
            name, value = name.strip(), value.strip()
        if not equals or not name:
            self.problems.append(f"{pair.place}: {pair.key} = {pair.value}: expected NAME=value")
            return
        if pair.name != "set" and find(name) is not None:
            self.problems.append(
                f"{pair.place}: {pair.key}: {name!r} is an option, not free for a variable"
            )
            return
        self._add(
            dataclasses.replace(pair, key=name, value=value, known=True, visible=True),
            frame,
        )

    def _act_declare(self, pair: Pair, frame: Frame) -> None:
        name, equals, template = (pair.value or "").partition("=")
        if not equals or not name.strip():
            self.problems.append(
                f"{pair.place}: {pair.key} = {pair.value}: expected NAME=option=value;..."
            )
            return
        self.declared[canonical(name.strip())] = template

    def _act_open(self, pair: Pair, frame: Frame) -> None:
        try:
            frame.block = open_block(pair, self.expand(pair), self)
        except ConfigError as error:
            raise ConfigError(f"{pair.place}: {error}") from error

    def _act_blacklist(self, pair: Pair, frame: Frame) -> None:
        self._blacklist = frozenset(map(canonical, (pair.value or "").split()))

    def _act_whitelist(self, pair: Pair, frame: Frame) -> None:
        self._whitelist = frozenset(map(canonical, (pair.value or "").split()))

    def _act_end_list(self, pair: Pair, frame: Frame) -> None:
        if pair.name == "end-blacklist":
            self._blacklist = None
        else:
            self._whitelist = None

    def _act_exit(self, pair: Pair, frame: Frame) -> None:
        raise ConfigError(f"{pair.place}: the configuration asks to exit here")

    def _act_mode(self, pair: Pair, frame: Frame) -> None:
        self._mode = self.expand(pair)

    _ACTIONS: ClassVar[dict[str, Callable[[Reader, Pair, Frame], None]]] = {
        **dict.fromkeys(("ini", "yaml", "json", "xml", "toml", "include"), _act_load),
        **dict.fromkeys(("set", "set-placeholder"), _act_set),
        **dict.fromkeys(("declare-option", "declare-option2"), _act_declare),
        **dict.fromkeys(OPENERS, _act_open),
        **dict.fromkeys(("end-blacklist", "end-whitelist"), _act_end_list),
        "blacklist": _act_blacklist,
        "whitelist": _act_whitelist,
        "strict": _act_strict,
        "exit": _act_exit,
        "mode": _act_mode,
    }


def unknown_text(key: str) -> str:
    """What to say of a name that does not exist."""
    close = nearest(key)
    return f"there is no option {key!r}" + (f"; did you mean {close!r}?" if close else "")
