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
    426: "Only version 13 of WebSocket is spoken here.",
    431: "The request header is too large.",
    501: "The request uses something that is not supported here.",
    502: "The application broke off.",
    503: "No application is ready for the request.",
    504: "The application did not answer in time.",
    505: "The HTTP version of the request is not supported.",
}
CLOSE = "Connection: close\r\n"
FIELDS = {
    # RFC 9110 section 15.5.22, RFC 6455 section 4.4
    426: "Upgrade: websocket\r\nConnection: upgrade, close\r\nSec-WebSocket-Version: 13\r\n",
    503: "Retry-After: 1\r\n" + CLOSE,
}


def error_page(status: int, *, body: bool = True) -> bytes:
    """A whole response that closes the connection; without its body for HEAD requests."""
    phrase = HTTPStatus(status).phrase
    page = (
        f"<!doctype html>\n<title>{status} {phrase}</title>\n<h1>{phrase}</h1>\n"
        f"<p>{EXPLANATIONS.get(status, '')}</p>\n"
    ).encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(page)}\r\n{FIELDS.get(status, CLOSE)}\r\n"
    ).encode()
    return head + page if body else head
