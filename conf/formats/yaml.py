"""YAML: the block below ``uwsgi:`` or ``uwgate:``, with repeated keys.

Needs PyYAML (``pip install uwgate[yaml]``). Scalars are taken as text. uWSGI replaces
magic variables before it parses, so plain scalars may start with what YAML reserves
(``%(x)``, ``@(file)``, ``*:80``, ``{...}``): those are quoted first. Nothing but the
block is parsed: the rest of the file belongs to others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from uwgate.conf.errors import ConfigError

if TYPE_CHECKING:
    import yaml

    from uwgate.conf.formats.document import Document
    from uwgate.conf.pair import Pair

RESERVED = re.compile(r"^(?P<head>\s*(?:- +)?(?:[^\s#'\"{\[][^:#]*:[ \t]+)?)(?P<value>[%@*`{].*)$")
COMMENT = re.compile(r"\s+#.*$")


def parse(document: Document) -> list[Pair] | None:
    """The pairs of the sections, or None if the file has none of them.

    Raises:
        ConfigError: no YAML, PyYAML is missing, or a value that is a mapping.
    """
    pairs: list[Pair] = []
    found = False
    lines = document.text.replace("\r\n", "\n").split("\n")
    for section in document.sections:
        for start, end in _blocks(lines, section):
            found = True
            pairs += _parse_block(document, section, lines[start:end], start + 1)
    return pairs if found else None


def _blocks(lines: list[str], section: str) -> list[tuple[int, int]]:
    """Where the section starts and ends, as indexes of lines."""
    header = re.compile(rf"""(['"]?){re.escape(section)}\1\s*:(\s|$)""")
    starts = [number for number, line in enumerate(lines) if header.match(line)]
    blocks: list[tuple[int, int]] = []
    for start in starts:
        end = start + 1
        while end < len(lines) and (not lines[end] or lines[end][0] in " \t#"):
            end += 1
        blocks.append((start, end))
    return blocks


def _parse_block(document: Document, section: str, lines: list[str], first_line: int) -> list[Pair]:
    try:
        import yaml
    except ImportError as error:
        raise ConfigError(
            f"{document.source}: YAML files need PyYAML: pip install 'uwgate[yaml]'"
        ) from error
    text = "\n".join(
        _quote_reserved(document.magic(line, number))
        for number, line in enumerate(lines, start=first_line)
    )
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = first_line + mark.line if mark else first_line
        raise document.error(f"no YAML: {error.problem}", line) from error
    assert isinstance(root, yaml.MappingNode)  # the first line is a key
    body = root.value[0][1]
    if isinstance(body, yaml.ScalarNode) and not body.value.strip():
        return []
    if not isinstance(body, yaml.MappingNode):
        raise document.error(f"expected 'option: value' lines below {section!r}", first_line)
    pairs: list[Pair] = []
    for key, value in body.value:
        line = first_line + key.start_mark.line
        pairs += [
            document.pair(section, str(key.value), text, line)
            for text in _texts(document, str(key.value), value, line)
        ]
    return pairs


def _texts(document: Document, key: str, node: yaml.Node, line: int) -> list[str | None]:
    import yaml

    match node:
        case yaml.ScalarNode():
            empty = node.style is None and node.value == ""
            return [None if empty else str(node.value)]
        case yaml.SequenceNode():
            return [text for item in node.value for text in _texts(document, key, item, line)]
        case _:
            raise document.error(f"{key}: expected a value or a list of values", line)


def _quote_reserved(line: str) -> str:
    match = RESERVED.match(line)
    if match is None:
        return line
    value = COMMENT.sub("", match["value"]).rstrip().replace("'", "''")
    return f"{match['head']}'{value}'"
