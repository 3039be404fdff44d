"""Fills in pages with server-side includes (``ssi:``; routing/includes.py)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from uwgate.experts.reading import UnreadableError, read_file
from uwgate.routing.includes import Command, Mistaken, escape, read_page
from uwgate.routing.results import Cached, CacheGet, FillPage

MAX_PAGE = 4 << 20  # bytes
MAX_OUTPUT = 16 << 20  # bytes
MAX_COMMANDS = 4096  # of one page


class PageError(Exception):
    """A page would be too much."""


class Pages:
    """Fills in pages. ``look_up`` asks a cache; ``say`` is told of commands that fail."""

    def __init__(self, look_up: Callable[[CacheGet], object], say: Callable[[str], None]) -> None:
        self._look_up = look_up
        self._say = say

    def fill(self, wanted: FillPage) -> bytes:
        """The page with what its commands say. A command that fails says nothing.

        Raises:
            UnreadableError: there is no such page.
            PageError: it has too many commands, or becomes too long.
        """
        file = read_file(wanted.path, wanted.root, MAX_PAGE)
        root = os.path.realpath(wanted.root or os.path.dirname(wanted.path) or b".")
        parts: list[bytes] = []
        size = commands = 0
        for piece in read_page(file.data):
            if isinstance(piece, bytes):
                part = piece
            else:
                commands += 1
                if commands > MAX_COMMANDS:
                    raise PageError(f"more than {MAX_COMMANDS} commands")
                part = self._run(piece, wanted, file.path, root)
            size += len(part)
            if size > MAX_OUTPUT:
                raise PageError(f"more than {MAX_OUTPUT} bytes")
            parts.append(part)
        return b"".join(parts)

    def _run(
        self, command: Command | Mistaken, wanted: FillPage, page: bytes, root: bytes
    ) -> bytes:
        match command:
            case Mistaken(text):
                return self._failed(wanted, f"{_shown(text)!r} is no command")
            case Command(b"echo", arguments):
                value = wanted.variables.get(arguments.get(b"var", b""), b"")
                return _encoded(value, arguments)
            case Command(b"printenv", arguments):
                lines = (b"%b=%b\n" % pair for pair in wanted.variables.items())
                return _encoded(b"".join(lines), arguments)
            case Command(b"cache", arguments):
                key, name = arguments.get(b"key", b""), arguments.get(b"name", b"")
                found = self._look_up(CacheGet(name, key)) if key else None
                return found.value if isinstance(found, Cached) else b""
            case Command(b"include", arguments):
                try:
                    return _included(arguments.get(b"file", b""), page, root)
                except UnreadableError as error:
                    return self._failed(wanted, str(error))
            case Command(name):
                return self._failed(wanted, f"unknown command {_shown(name)!r}")

    def _failed(self, wanted: FillPage, why: str) -> bytes:
        self._say(f"ssi: {_shown(wanted.path)}: {why}")
        return b""


def _encoded(value: bytes, arguments: Mapping[bytes, bytes]) -> bytes:
    return value if arguments.get(b"encoding") == b"none" else escape(value)


def _included(name: bytes, page: bytes, root: bytes) -> bytes:
    """The bytes of a file: looked for beside the page, then in the root, and never outside.

    Raises:
        UnreadableError: it is not there.
    """
    if not name:
        raise UnreadableError("include without a file", 404)
    try:
        return read_file(os.path.join(os.path.dirname(page), name), root, MAX_PAGE).data
    except UnreadableError as error:
        if error.status != 404:
            raise
    return read_file(os.path.join(root, name), root, MAX_PAGE).data


def _shown(text: bytes) -> str:
    return text[:200].decode("utf-8", "backslashreplace")
