"""TOML: the table ``[uwsgi]`` or ``[uwgate]``."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from uwgate.conf.formats.document import Document, LineFinder, scalar

if TYPE_CHECKING:
    from uwgate.conf.pair import Pair

AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


def parse(document: Document) -> list[Pair] | None:
    """The pairs of the tables, or None if the file has none of them. A list repeats.

    Raises:
        ConfigError: no TOML, or a value that is a table.
    """
    text = document.magic(document.text, 1)
    try:
        root: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = AT_LINE.search(str(error))
        raise document.error(f"no TOML: {error}", int(at[1]) if at else 0) from error
    lines = LineFinder(text, r"""^\s*(["']?)KEY\1\s*=""")
    pairs: list[Pair] = []
    tables = [name for name in document.sections if name in root]
    for section in tables:
        if not isinstance(root[section], dict):
            raise document.error(f"{section!r} must be a table")
        table: dict[str, Any] = root[section]
        for key, value in table.items():
            line = lines.line(key)
            items: list[Any] = value if isinstance(value, list) else [value]
            for item in items:
                item_text = scalar(item)
                if item_text is None:
                    raise document.error(f"{key}: expected a value or a list of values", line)
                pairs.append(document.pair(section, key, item_text, line))
    return pairs if tables else None
