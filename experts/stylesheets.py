"""XSLT 1.0 (``xslt:`` and ``toxslt:``), by the package lxml.

Stylesheets are the operator's, but neither they nor documents get anything of the network or
write a file, and read no other files than those in the stylesheet's own folder.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from uwgate.experts.reading import UnreadableError, read_file, state_of
from uwgate.routing.results import ApplyStylesheet

MAX_SIZE = 16 << 20  # bytes of a document, a stylesheet, and what becomes of them
KEPT = 64  # stylesheets, in each thread
_States = dict[bytes, tuple[int, ...]]  # by path


class StylesheetError(Exception):
    """A document cannot be transformed."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    transform: Any  # lxml.etree.XSLT
    states: _States  # of all files that it is made of


class Stylesheets:
    """Transforms documents.

    A compiled stylesheet is kept for as long as its files stay as they are. Each thread has its
    own: lxml would make a copy for every use in another one.
    """

    def __init__(self) -> None:
        self._etree: Any = importlib.import_module("lxml.etree")
        self._threads = threading.local()
        self._access = self._etree.XSLTAccessControl(
            read_file=True,  # as far as its folder goes, see ``_read``
            write_file=False,
            create_dir=False,
            read_network=False,
            write_network=False,
        )

    def apply(self, wanted: ApplyStylesheet) -> bytes:
        """The document as the stylesheet makes it.

        Raises:
            UnreadableError: a file cannot be read.
            StylesheetError: document or stylesheet are broken, or what comes out is too long.
        """
        content = wanted.content
        if content is None:
            content = read_file(wanted.document, wanted.root, MAX_SIZE).data
        compiled = self._compile(wanted.stylesheet, wanted.stylesheet_root)
        document = self._parse(content, _shown(wanted.document) or "the response")
        etree = self._etree
        params: dict[str, Any] = {}
        try:
            for name, value in wanted.params:
                params[name.decode()] = etree.XSLT.strparam(value.decode())
            output = bytes(compiled.transform(document, **params))
        except UnreadableError as error:
            raise StylesheetError(str(error)) from error
        except (etree.LxmlError, ValueError) as error:  # no UTF-8 is a ValueError, too
            raise StylesheetError(f"{_shown(wanted.stylesheet)}: {_line(error)}") from error
        if len(output) > MAX_SIZE:
            raise StylesheetError(f"{len(output)} bytes come out, limit {MAX_SIZE}")
        return output

    @property
    def kept(self) -> OrderedDict[bytes, _Compiled]:
        """This thread's compiled stylesheets by path; the one used last is the last."""
        found: OrderedDict[bytes, _Compiled] | None = getattr(self._threads, "kept", None)
        if found is None:
            found = self._threads.kept = OrderedDict()
        return found

    def _parse(self, content: bytes, name: str) -> Any:
        try:
            document = self._etree.fromstring(content, self._parser(entities=False)).getroottree()
        except (self._etree.LxmlError, ValueError) as error:
            raise StylesheetError(f"{name}: {_line(error)}") from error
        dtd = document.docinfo.internalDTD
        if dtd is not None and any(True for _ in dtd.iterentities()):
            raise StylesheetError(f"{name}: declares entities, which are not expanded")
        return document

    def _parser(self, *, entities: bool | str) -> Any:
        return self._etree.XMLParser(
            resolve_entities=entities, no_network=True, load_dtd=False, huge_tree=False
        )

    def _compile(self, path: bytes, root: bytes | None) -> _Compiled:
        kept = self.kept
        compiled = kept.get(path)
        if compiled is None or not _are_unchanged(compiled.states):
            compiled = self._read(path, root)
            kept[path] = compiled
            if len(kept) > KEPT:
                kept.popitem(last=False)
        kept.move_to_end(path)
        return compiled

    def _read(self, path: bytes, root: bytes | None) -> _Compiled:
        etree = self._etree
        file = read_file(path, root, MAX_SIZE)
        states: _States = {path: file.state}
        folder = os.path.dirname(file.path)

        def resolve(resolver: Any, url: str, public_id: object, context: object) -> Any:
            """What ``xsl:include``, ``xsl:import`` and ``document()`` name."""
            del public_id
            found = read_file(_path_of(url, folder), folder, MAX_SIZE)
            states[found.path] = found.state
            return resolver.resolve_string(found.data, context, base_url=_url_of(found.path))

        parser = self._parser(entities="internal")  # such as nbsp
        parser.resolvers.add(type("Folder", (etree.Resolver,), {"resolve": resolve})())
        try:
            tree = etree.fromstring(file.data, parser, base_url=_url_of(file.path))
            transform = etree.XSLT(tree, access_control=self._access)
        except UnreadableError as error:
            raise StylesheetError(str(error)) from error
        except (etree.LxmlError, ValueError) as error:
            raise StylesheetError(f"{_shown(path)}: {_line(error)}") from error
        return _Compiled(transform, states)


def _path_of(url: str, folder: bytes) -> bytes:
    """The path that a reference names.

    Raises:
        UnreadableError: it is something else than a file of this machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise UnreadableError(f"{url}: no file", 403)
    return os.path.join(folder, unquote_to_bytes(parts.path))


def _url_of(path: bytes) -> str:
    return f"file://{quote_from_bytes(path)}"


def _are_unchanged(states: _States) -> bool:
    for path, state in states.items():
        try:
            if state_of(os.stat(path)) != state:
                return False
        except OSError:
            return False
    return True


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
