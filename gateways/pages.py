"""The answers that a gateway gives in its own name."""

from __future__ import annotations

from http import HTTPStatus

EXPLANATIONS = {
    400: "The request could not be understood.",
    408: "The request did not arrive in time.",
    411: "The request needs a Content-Length.",
    413: "The request body is too large.",
    414: "The request line is too long.",
    417: "The expectation of the request cannot be met.",
    421: "This host wants a connection of its own.",
    426: "Only version 13 of WebSocket is spoken here.",
    431: "The request header is too large.",
    501: "The request uses something that is not supported here.",
    502: "The application broke off.",
    503: "No application is ready for the request.",
    504: "The application did not answer in time.",
    505: "The HTTP version of the request is not supported.",
}
FIELDS = {426: "Sec-WebSocket-Version: 13\r\n", 503: "Retry-After: {retry_after}\r\n"}
# RFC 9110 section 15.5.22, RFC 6455 section 4.4; in HTTP/1 only
CONNECTION = {426: b"Upgrade: websocket\r\nConnection: upgrade, close\r\n"}


def error_page(status: int, *, body: bool = True, retry_after: int = 1) -> bytes:
    """A whole response that closes the connection; without its body for HEAD requests.

    ``retry_after``: seconds until somebody may serve the request that got 503.
    """
    head, page = error_parts(status, retry_after)
    connection = CONNECTION.get(status, b"Connection: close\r\n")
    start = b"HTTP/1.1 %b%b\r\n" % (head, connection)
    return start + page if body else start


def error_parts(status: int, retry_after: int = 1) -> tuple[bytes, bytes]:
    """The head of such a response, in the form of ``wire.lease``, and its body."""
    phrase = HTTPStatus(status).phrase
    page = (
        f"<!doctype html>\n<title>{status} {phrase}</title>\n<h1>{phrase}</h1>\n"
        f"<p>{EXPLANATIONS.get(status, '')}</p>\n"
    ).encode()
    fields = FIELDS.get(status, "").format(retry_after=retry_after)
    head = (
        f"{status} {phrase}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(page)}\r\n{fields}"
    ).encode()
    return head, page
