"""Actions that make a document of others: XSLT and server-side includes."""

from __future__ import annotations

from collections.abc import Callable

from uwgate.routing.actions.files import checked_path, default_root
from uwgate.routing.actions.response import checked
from uwgate.routing.keyval import read_pairs
from uwgate.routing.libraries import require
from uwgate.routing.results import Answer, ApplyStylesheet, Ask, Failed, FillPage, Reply, Result
from uwgate.routing.statuses import reason_of
from uwgate.routing.template import Template
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop

MAX_PARAMS = 64
_HTML = b"text/html"

Params = Callable[[Scope], tuple[tuple[bytes, bytes], ...]]


def _answer(reply: Reply, content_type: bytes) -> Result:
    if isinstance(reply, Failed):
        raise RuleError(reply.reason, reply.status)
    body = reply if isinstance(reply, bytes) else b""
    length = (b"Content-Length", b"%d" % len(body))
    return Answer(200, reason_of(200), (length, (b"Content-Type", content_type)), body)


def read_params(workshop: Workshop, text: bytes) -> Params:
    """Parameters like ``a=1&b=${TAG}``.

    What a text with variables brings belongs to its own parameter, whatever is in it; one
    without a name in front (``${QUERY_STRING}``) brings several.

    Raises:
        Mistake: a text names a function that does not exist.
    """
    readers: list[tuple[bytes | None, Template]] = []
    for item in filter(None, text.split(b"&")):
        name, equals, value = item.partition(b"=")
        if equals and b"$" not in name:
            readers.append((name, workshop.template(value)))
        else:
            readers.append((None, workshop.template(item)))

    def read(scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
        found: dict[bytes, bytes] = {}
        for name, template in readers:
            value = template.expand(scope)
            if name is not None:
                found[name] = value
                continue
            for item in value.split(b"&"):
                key, equals, rest = item.partition(b"=")
                if equals and key:
                    found[key] = rest
        if len(found) > MAX_PARAMS:
            raise RuleError(f"{len(found)} parameters, limit {MAX_PARAMS}", 400)
        return tuple(found.items())

    return read


def _xslt(workshop: Workshop, text: bytes) -> Act:
    require("xslt")
    pairs = read_pairs(
        text, ("doc", "stylesheet", "content_type", "params"), required=("doc", "stylesheet")
    )
    document, stylesheet = workshop.template(pairs["doc"]), workshop.template(pairs["stylesheet"])
    params = read_params(workshop, pairs.get("params", b""))
    content_type = workshop.template(pairs.get("content_type", _HTML))

    def act(scope: Scope) -> Result:
        path = checked_path(document.expand(scope))
        sheet = checked_path(stylesheet.expand(scope))
        given = checked(content_type.expand(scope))
        question = ApplyStylesheet(
            sheet,
            default_root(stylesheet, sheet),
            params(scope),
            path,
            default_root(document, path),
        )
        return Ask(question, lambda reply: _answer(reply, given))

    return act


def _ssi(workshop: Workshop, text: bytes) -> Act:
    if not text:
        raise Mistake("expected the path of a page")
    template = workshop.template(text)

    def act(scope: Scope) -> Result:
        path = checked_path(template.expand(scope))
        # Later rules, which another thread does not wait for, may change the variables.
        variables = dict(scope.transaction.variables)
        question = FillPage(path, default_root(template, path), variables)
        return Ask(question, lambda reply: _answer(reply, _HTML))

    return act


ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(
        ("xslt",),
        "doc=...,stylesheet=...[,params=a=1&b=2][,content_type=]",
        "send an XML document as an XSLT stylesheet makes it",
        _xslt,
    ),
    ActionKind(("ssi",), "path", "send a page with server-side includes", _ssi),
)
