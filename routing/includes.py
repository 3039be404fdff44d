"""Server-side includes: pages with commands such as ``<!--#echo var="REMOTE_ADDR" -->``.

The commands are those of uWSGI: ``echo``, ``printenv``, ``include`` and ``cache``. Reading a
page is done here; who fills it in, looks for files and caches (experts/pages.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_ARGUMENTS = 8  # of one command; uWSGI's number
_COMMAND = re.compile(rb"<!--#(.*?)-->", re.DOTALL)
_NAME = re.compile(rb"\s*([^\s]+)\s*")
_ARGUMENT = re.compile(rb'\s*([^\s="]+)="([^"]*)"')
_BLANK = re.compile(rb"\s*")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a page. ``arguments`` are by name; of repeated ones the first counts."""

    name: bytes
    arguments: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Mistaken:
    """Something that begins like a command and is none."""

    text: bytes


Piece = bytes | Command | Mistaken


def read_page(page: bytes) -> Iterator[Piece]:
    """The pieces of a page in order; a command without an end is text."""
    at = 0
    for match in _COMMAND.finditer(page):
        if match.start() > at:
            yield page[at : match.start()]
        yield _read_command(match[1])
        at = match.end()
    if at < len(page):
        yield page[at:]


def _read_command(text: bytes) -> Command | Mistaken:
    name = _NAME.match(text)
    if name is None:
        return Mistaken(text)
    arguments: dict[bytes, bytes] = {}
    at, count = name.end(), 0
    while found := _ARGUMENT.match(text, at):
        count += 1
        arguments.setdefault(found[1], found[2])
        at = found.end()
    if count > MAX_ARGUMENTS or not _BLANK.fullmatch(text, at):
        return Mistaken(text)
    return Command(name[1], arguments)


def escape(value: bytes) -> bytes:
    """A value as text of HTML, in elements and in quoted attributes."""
    for special, entity in _ENTITIES:
        value = value.replace(special, entity)
    return value


_ENTITIES = (
    (b"&", b"&amp;"),
    (b"<", b"&lt;"),
    (b">", b"&gt;"),
    (b'"', b"&quot;"),
    (b"'", b"&#39;"),
)
