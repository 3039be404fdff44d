"""XML: ``<uwsgi>`` as root or as a child of it (spec/configuration.md section 3.4).

Needs defusedxml (``pip install uwgate[xml]``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwgate.conf.errors import ConfigError
from uwgate.conf.formats.document import LENIENT, STRICT, Document, LineFinder

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from uwgate.conf.pair import Pair


def parse(document: Document) -> list[Pair] | None:
    """The pairs of the elements, or None if there is no such element.

    The section is the ``id`` of an element. An empty element has the value 1.

    Raises:
        ConfigError: no XML, or defusedxml is missing.
    """
    try:
        from defusedxml import ElementTree
        from defusedxml.common import DefusedXmlException
    except ImportError as error:
        raise ConfigError(
            f"{document.source}: XML files need defusedxml: pip install 'uwgate[xml]'"
        ) from error
    text = document.magic(document.text, 1)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise document.error(f"no XML: {error}", error.position[0]) from error
    except (DefusedXmlException, ValueError) as error:
        raise document.error(f"this XML is refused: {error}") from error
    chosen = [one for one in (root, *root) if _is_asked_for(document, one)]
    lines = LineFinder(text, r"<KEY(?=[\s/>])")
    pairs = [
        pair for one in chosen for child in one for pair in _pairs(document, one, child, lines)
    ]
    return pairs if chosen else None


def _is_asked_for(document: Document, element: Element) -> bool:
    if element.tag not in (LENIENT, STRICT):
        return False
    return document.section is None or element.get("id") == document.section


def _pairs(document: Document, parent: Element, child: Element, lines: LineFinder) -> list[Pair]:
    if not isinstance(child.tag, str):  # a comment
        return []
    line = lines.line(child.tag)
    mode = child.get("mode")
    if mode is not None and mode != document.mode:
        return []
    section = str(parent.tag)
    if child.tag == "app":
        target = next((one for one in child if one.tag in ("script", "file", "module")), None)
        if target is None:
            raise document.error("<app> needs <script>, <file> or <module>", line)
        value = f"{child.get('mountpoint', '')}={_text(target)}"
        return [document.pair(section, "mount", value, line)]
    if len(child):
        raise document.error(f"<{child.tag}>: expected text, not elements", line)
    return [document.pair(section, child.tag, _text(child), line)]


def _text(element: Element) -> str:
    return (element.text or "").strip() or "1"
