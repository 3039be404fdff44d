"""INI files as uWSGI reads them (spec/configuration.md section 3.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from uwgate.conf.formats.document import LENIENT, STRICT, Document

if TYPE_CHECKING:
    from uwgate.conf.pair import Pair

BLANKS = " \t\r"
CONFLICT = re.compile(r"(<{7}|>{7}|={7}|\|{7})(\s|$)")
MERGED = "left over from a merge conflict: {line!r}"


def parse(document: Document) -> list[Pair] | None:
    """The pairs of the sections, or None if the file has none of them.

    Lines end with LF or CRLF. Comments start with ``#`` or ``;`` at the start of a line;
    ``=`` is looked for once; a line without it is a key with an empty value.

    Raises:
        ConfigError: a strict section holds what a merge left behind.
    """
    pairs: list[Pair] = []
    section: str | None = None
    found = False
    for number, raw in enumerate(document.text.split("\n"), start=1):
        line = raw.strip(BLANKS)
        if not line or line[0] in ";#":
            continue
        if line[0] == "[":
            section = line[1:-1]
            if section in document.sections:
                found = True
            else:
                _suspect(document, line, number)
                section = None
        elif section is not None:
            if CONFLICT.match(line):
                if section == STRICT:
                    raise document.error(MERGED.format(line=line), number)
                document.warn(f"{MERGED.format(line=line)}, skipped", number)
                continue
            line = document.magic(line, number)
            key, _, value = line.partition("=")
            if not key.strip(BLANKS):
                document.warn(f"no option in front of '=', skipped: {line!r}", number)
                continue
            pairs.append(document.pair(section, key.strip(BLANKS), value.strip(BLANKS), number))
    return pairs if found else None


def _suspect(document: Document, line: str, number: int) -> None:
    """Warn about a header that is almost one of the sections."""
    name = line[1:].partition("]")[0].strip()
    if name in document.sections or (document.section is None and name.lower() == LENIENT):
        document.warn(
            f"the section {line!r} is skipped: a header is [{name}] without blanks, "
            "capitals or text behind it",
            number,
        )
