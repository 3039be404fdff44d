"""The options for static files, read and checked once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.static import StaticOptions
from uwgate.files.disk import Disk
from uwgate.files.expiry import KINDS, ExpiryRule
from uwgate.files.mapping import Mapping
from uwgate.files.mime import DEFAULT_FILES, MAX_TABLE, MimeTable
from uwgate.files.twins import TwinRules
from uwgate.routing.regexp.pattern import Pattern
from uwgate.routing.regexp.reading import PatternError

MAX_SECONDS = 100 * 366 * 86400  # a hundred years of keeping something

_NAMING = {
    "x-sendfile": b"X-Sendfile",
    "xsendfile": b"X-Sendfile",
    "x-accel-redirect": b"X-Accel-Redirect",
    "xaccelredirect": b"X-Accel-Redirect",
    "nginx": b"X-Accel-Redirect",
}
_EXPIRES = {"static-expires": "path"} | {f"static-expires-{kind}": kind for kind in KINDS[1:]}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StaticRules:
    """What is served, and how. All paths are bytes; ``folder`` is what relative ones are below.

    ``mappings`` stand in the order in which they are tried; ``internal`` are those that only an
    application can ask for. ``naming``: the field that names the file to a front server, None:
    the file is sent. ``remember``: seconds for which it is known by which mapping a path was found.
    """

    mappings: tuple[Mapping, ...]
    types: MimeTable
    internal: tuple[Mapping, ...] = ()
    by_document_root: bool = False
    indexes: tuple[bytes, ...] = ()
    skipped: tuple[bytes, ...] = ()
    safe: tuple[bytes, ...] = ()
    links: bool = True
    twins: TwinRules = field(default_factory=TwinRules)
    expiry: tuple[ExpiryRule, ...] = ()
    ranges: bool = True
    naming: bytes | None = None
    remember: int = 0
    folder: bytes = b""


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that cannot be used: the ``number``-th of its option, from 0."""

    option: str
    number: int
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.option} = {self.value}: {self.reason}"


def read_rules(options: StaticOptions, disk: Disk, folder: str = "") -> StaticRules:
    """Rules of the options' values. ``disk`` reads the files of types.

    ``folder``: what relative paths are below (``chdir``); empty: the process's own directory.

    Raises:
        ConfigError: a value cannot be used; one line for each.
    """
    rules, problems = try_rules(options, disk, folder)
    if problems:
        raise ConfigError("\n".join(map(str, problems)))
    return rules


def try_rules(
    options: StaticOptions, disk: Disk, folder: str = ""
) -> tuple[StaticRules, list[Problem]]:
    """The rules without what cannot be used, and what that is."""
    reader = _Reader(folder.encode(errors="surrogateescape"))
    below = reader.below
    whole = reader.all("check-static", options.check_static, lambda text: _whole(b"", below(text)))
    mapped = reader.all("static-map", options.static_map, lambda text: _mapping(text, below))
    mapped2 = reader.all("static-map2", options.static_map2, lambda text: _mapping2(text, below))
    internal = reader.all(
        "static-internal", options.static_internal, lambda text: _mapping(text, below)
    )
    indexes = reader.all("static-index", options.static_index, _index)
    skipped = reader.all("static-skip-ext", options.static_skip_ext, _text)
    safe = reader.all("static-safe", options.static_safe, below)
    twins = TwinRules(
        options.static_gzip_all,
        reader.all("static-gzip-dir", options.static_gzip_dir, below),
        reader.all("static-gzip-ext", options.static_gzip_ext, _text),
        reader.all("static-gzip", options.static_gzip, _pattern),
    )
    expiry: list[ExpiryRule] = []
    for name, kind in _EXPIRES.items():
        for end in ("", "-mtime"):
            option = name + end
            values: tuple[str, ...] = getattr(options, option.replace("-", "_"))
            make = _keeper(kind, from_change=bool(end))
            expiry += reader.all(option, values, make)
    naming = None
    if options.file_serve_mode is not None:
        naming = _NAMING.get(options.file_serve_mode.lower())
        if naming is None:
            reader.problem("file-serve-mode", 0, options.file_serve_mode, "no such mode")
    types = _types(options.mime_file, disk, reader)
    rules = StaticRules(
        mappings=whole + mapped + mapped2,
        types=types,
        internal=internal,
        by_document_root=options.check_static_docroot,
        indexes=indexes,
        skipped=skipped,
        safe=safe,
        links=options.static_symlinks == "inside",
        twins=twins,
        expiry=tuple(expiry),
        ranges=options.honour_range,
        naming=naming,
        remember=options.static_cache_paths,
        folder=reader.folder,
    )
    return rules, reader.problems


class _Reader:
    def __init__(self, folder: bytes) -> None:
        self.folder = folder
        self.problems: list[Problem] = []

    def problem(self, option: str, number: int, value: str, reason: str) -> None:
        self.problems.append(Problem(option, number, value, reason))

    def below(self, text: bytes) -> bytes:
        """A path; a relative one is below the folder."""
        path = _path(text)
        return path if not self.folder or path.startswith(b"/") else self.folder + b"/" + path

    def all(self, option: str, values: Iterable[str], make: Callable[[bytes], T]) -> tuple[T, ...]:
        found: list[T] = []
        for number, value in enumerate(values):
            try:
                text = value.encode(errors="surrogateescape")
                if b"\0" in text:
                    raise ValueError("a NUL byte in it")
                found.append(make(text))
            except PatternError as error:
                self.problem(option, number, value, f"a pattern that cannot be used: {error}")
            except ValueError as error:
                self.problem(option, number, value, str(error))
        return tuple(found)


def _text(text: bytes) -> bytes:
    if not text:
        raise ValueError("expected a text")
    return text


def _path(text: bytes) -> bytes:
    if not text:
        raise ValueError("expected a path")
    return text


def _index(text: bytes) -> bytes:
    if not text.strip(b"/") or b".." in text.split(b"/"):
        raise ValueError("expected the name of a file, such as index.html")
    return text.lstrip(b"/")


def _pattern(text: bytes) -> Pattern:
    return Pattern(_text(text))


def _whole(prefix: bytes, root: bytes) -> Mapping:
    return Mapping(prefix, _path(root), whole=True)


def _split_mapping(text: bytes) -> tuple[bytes, bytes]:
    prefix, equals, root = text.partition(b"=")
    if not equals or not root or not prefix.startswith(b"/"):
        raise ValueError("expected /prefix=directory")
    if b".." in prefix.split(b"/"):
        raise ValueError("a prefix that leads up")
    return prefix.rstrip(b"/"), root


def _mapping(text: bytes, below: Callable[[bytes], bytes]) -> Mapping:
    prefix, root = _split_mapping(text)
    return Mapping(prefix, below(root))


def _mapping2(text: bytes, below: Callable[[bytes], bytes]) -> Mapping:
    prefix, root = _split_mapping(text)
    return _whole(prefix, below(root))


def _keeper(kind: str, *, from_change: bool) -> Callable[[bytes], ExpiryRule]:
    mark = b"=" if kind == "type" else b" "

    def make(text: bytes) -> ExpiryRule:
        wanted, found, seconds = text.rpartition(mark)
        digits = seconds.strip().decode("ascii", "replace")
        if not found or not wanted.strip() or not digits.removeprefix("-").isdecimal():
            what = "type=seconds" if kind == "type" else "pattern seconds"
            raise ValueError(f"expected {what}")
        # Longer numbers would make no other date, and int() refuses those of thousands of digits.
        if len(digits) > 12 or abs(int(digits)) > MAX_SECONDS:
            raise ValueError(f"more than {MAX_SECONDS} seconds")
        matcher = wanted.strip() if kind == "type" else Pattern(wanted.strip())
        return ExpiryRule(kind, matcher, int(digits), from_change)

    return make


def _types(files: tuple[str, ...], disk: Disk, reader: _Reader) -> MimeTable:
    texts: list[str] = []
    for number, file in enumerate(files):
        try:
            found = disk.read(_path(file.encode(errors="surrogateescape")), MAX_TABLE + 1)
        except ValueError as error:
            reader.problem("mime-file", number, file, str(error))
            continue
        if found is None:
            reader.problem("mime-file", number, file, "cannot be read")
        elif len(found) > MAX_TABLE:
            reader.problem("mime-file", number, file, f"more than {MAX_TABLE} bytes")
        else:
            texts.append(found.decode("utf-8", "replace"))
    if not files:
        tables = (disk.read(path, MAX_TABLE) for path in DEFAULT_FILES)
        first = next((table for table in tables if table is not None), b"")
        texts.append(first.decode("utf-8", "replace"))
    return MimeTable(texts)
