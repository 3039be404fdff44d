"""JSON: an object with the member ``uwsgi`` or ``uwgate`` (spec/configuration.md 3.3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from uwgate.conf.formats.document import Document, LineFinder, scalar

if TYPE_CHECKING:
    from uwgate.conf.pair import Pair


def parse(document: Document) -> list[Pair] | None:
    """The pairs of the sections, or None if the root has none of them.

    A list repeats its option, and so does a repeated member.

    Raises:
        ConfigError: no JSON, or a value that is an object.
    """
    text = document.magic(document.text, 1)
    try:
        root: Any = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        hint = ""
        if error.msg.startswith(("Expecting property name", "Illegal trailing comma")):
            hint = "; a comma behind the last member is not allowed in JSON"
        raise document.error(f"no JSON: {error.msg}{hint}", error.lineno) from error
    if not isinstance(root, list):
        raise document.error("expected an object", 1)
    lines = LineFinder(text, '"KEY"\\s*:')
    pairs: list[Pair] = []
    found = False
    members: list[Any] = root
    for section, body in members:
        if section not in document.sections:
            continue
        found = True
        if not isinstance(body, list):
            raise document.error(f"{section!r} must be an object", lines.line(section))
        options: list[Any] = body
        for option in options:
            pairs += _pairs(document, section, option, lines)
    return pairs if found else None


def _pairs(document: Document, section: str, option: Any, lines: LineFinder) -> list[Pair]:
    if not isinstance(option, tuple):
        raise document.error(f"{section!r} must be an object", lines.line(section))
    member: tuple[str, Any] = option
    key, value = member
    line = lines.line(key)
    pairs: list[Pair] = []
    items: list[Any] = value if isinstance(value, list) else [value]
    for item in items:
        text = scalar(item)
        if text is None:
            raise document.error(f"{key}: expected a value or a list of values", line)
        pairs.append(document.pair(section, key, text, line))
    return pairs
