"""Actions on the head and body of the response (spec sections 6.3, 6.4 and 6.9)."""

from __future__ import annotations

import re
from collections.abc import Callable

from uwgate.routing.actions.flow import read_status
from uwgate.routing.keyval import read_pairs
from uwgate.routing.results import Answer, Flow, Result
from uwgate.routing.statuses import reason_of
from uwgate.routing.transaction import MAX_VALUE, Header, RuleError, Scope
from uwgate.routing.variables import digits, http_date
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop, no_argument, show

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2: token
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def read_header(line: bytes) -> Header:
    """Name and value of a header line.

    Raises:
        RuleError: it is no header, or would be more than one.
    """
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):
        raise RuleError(f"{line[:80].decode('latin-1')!r} is no header")
    return name, checked(value.strip(b" \t"))


def checked(value: bytes) -> bytes:
    """The value of a header.

    Raises:
        RuleError: it has control characters, or too many bytes.
    """
    if _CONTROL.search(value):
        text = value[:80].decode("latin-1")
        raise RuleError(f"control characters in the value {text!r} of a header", 400)
    if len(value) > MAX_VALUE:
        raise RuleError(f"a header of {len(value)} bytes, limit {MAX_VALUE}")
    return value


def _add_header(workshop: Workshop, text: bytes) -> Act:
    line = workshop.template(text)
    if line.constant is not None:
        try:
            read_header(line.constant)
        except RuleError as error:
            raise Mistake(f"{error}: expected Name: value") from error

    def act(scope: Scope) -> Result:
        scope.transaction.added.append(read_header(line.expand(scope)))
        return Flow.NEXT

    return act


def _remove_header(workshop: Workshop, text: bytes) -> Act:
    if not text:
        raise Mistake("expected the name of a header")
    template = workshop.template(text)

    def act(scope: Scope) -> Result:
        transaction = scope.transaction
        name = template.expand(scope).lower()
        transaction.removed.add(name)
        transaction.headers = [pair for pair in transaction.headers if pair[0].lower() != name]
        return Flow.NEXT

    return act


def _clear_headers(workshop: Workshop, text: bytes) -> Act:
    template = workshop.template(text)
    if template.constant is not None:
        read_status(template.constant)

    def act(scope: Scope) -> Result:
        transaction = scope.transaction
        if transaction.headers_sent:
            raise RuleError("the headers were sent already")
        try:
            status, reason = read_status(template.expand(scope))
        except Mistake as error:
            raise RuleError(str(error)) from error
        transaction.headers.clear()
        transaction.set_status(status, reason or reason_of(status))
        return Flow.NEXT

    return act


def _disable_headers(workshop: Workshop, text: bytes) -> Act:
    del workshop
    no_argument(text)

    def act(scope: Scope) -> Result:
        scope.transaction.headers_off = True
        return Flow.NEXT

    return act


def _sends(end: bytes) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        template = workshop.template(text)

        def act(scope: Scope) -> Result:
            scope.transaction.send(template.expand(scope) + end)
            return Flow.NEXT

        return act

    return make


def _redirects(status: int, body: bytes) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        if not text:
            raise Mistake("expected where to")
        template = workshop.template(text)

        def act(scope: Scope) -> Result:
            location = checked(template.expand(scope))
            return Answer(status, reason_of(status), ((b"Location", location),), body)

        return act

    return make


def _expires(workshop: Workshop, text: bytes) -> Act:
    pairs = read_pairs(text, ("filename", "file", "unix", "value"))
    file = pairs.get("filename", pairs.get("file"))
    if (file is None) == ("unix" not in pairs):
        raise Mistake(f"{show(text)}: expected either filename or unix")
    path = None if file is None else workshop.template(file)
    unix = workshop.template(pairs.get("unix", b""))
    more = workshop.template(pairs.get("value", b"0"))

    def act(scope: Scope) -> Result:
        if path is None:
            since = float(digits(unix.expand(scope)))
        else:
            name = path.expand(scope)
            modified = None if b"\0" in name else scope.outside.modified(name)
            if modified is None:
                raise RuleError(f"there is no file {name.decode('latin-1')!r}")
            since = modified
        header = (b"Expires", http_date(since + digits(more.expand(scope))))
        scope.transaction.added.append(header)
        return Flow.NEXT

    return act


ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(
        ("addheader",), "Name: text", "add a header to the response, behind all others", _add_header
    ),
    ActionKind(("remheader", "delheader"), "name", "drop headers of that name", _remove_header),
    ActionKind(
        ("clearheaders", "resetheaders"),
        "NNN[ reason]",
        "drop the headers so far, set the status",
        _clear_headers,
    ),
    ActionKind(("disableheaders",), "", "send no headers", _disable_headers),
    ActionKind(("send",), "text", "put a text into the body", _sends(b"")),
    ActionKind(("send-crnl",), "text", "the same, and a line's end", _sends(b"\r\n")),
    ActionKind(("redirect", "redirect-302"), "location", "redirect", _redirects(302, b"Moved")),
    ActionKind(
        ("redirect-permanent", "redirect-301"),
        "location",
        "redirect for good",
        _redirects(301, b"Moved Permanently"),
    ),
    ActionKind(
        ("expires",),
        "filename=... or unix=...[,value=seconds]",
        "add Expires: a file's or any time, and seconds behind it",
        _expires,
    ),
)
