"""How a response goes to an HTTP/1 client: framing, connection, and our own fields."""

from __future__ import annotations

import time
from email.utils import formatdate

from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.answers import Answers
from uwgate.gateways.exchange import Request
from uwgate.gateways.pages import error_page
from uwgate.gateways.wire.lease import CHUNKED, DATE, ENCODING, LENGTH, NO_BODY, SERVER

_PLAIN = LENGTH | NO_BODY
HSTS_LINE = b"\r\nstrict-transport-security:"


class ResponseWriter:
    """Writes response heads for all sessions of a gateway.

    ``hsts`` is the value of Strict-Transport-Security (RFC 6797) in answers to encrypted requests
    whose application sends none. ``keeps_alive`` is what the gateway allows; it is
    taken away when the gateway drains. ``answers`` counts them.
    """

    def __init__(
        self, options: HttpOptions, hsts: str | None = None, answers: Answers | None = None
    ) -> None:
        self.answers = Answers() if answers is None else answers
        self.keeps_alive = options.http_keepalive > 0
        self._auto_chunked = options.http_auto_chunked
        name = options.http_server_header
        self._server = f"Server: {name}\r\n".encode() if name else b""
        self._hsts = f"Strict-Transport-Security: {hsts}\r\n".encode() if hsts else b""
        self._date = b""
        self.tick()

    def tick(self) -> None:
        """Renew the Date field; to be called about once a second."""
        self._date = b"Date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()

    def start(
        self, request: Request, flags: int, head: bytes, size: int | None, keep: bool
    ) -> tuple[bytes, bool, bool]:
        """The head as the client gets it, whether the body goes chunked, and whether the
        connection is kept.

        ``flags`` and ``head`` are those of ``wire.lease``; ``size`` is the body's in bytes
        where all of it is at hand, else None; ``keep`` says that nothing on our side is
        against keeping the connection. A body that we encode ourselves (ENCODING) goes chunked
        even without http-auto-chunked: its end must be seen. CHUNKED asks for that
        even of one whose size is known.
        """
        self.answers.counts[head[0]] += 1
        keep = keep and request.keep_alive and self.keeps_alive
        chunked = False
        framing = b""
        if not flags & _PLAIN:
            if size is not None and not (flags & CHUNKED and request.minor):
                framing = b"Content-Length: %d\r\n" % size
            elif request.minor and (self._auto_chunked or flags & (ENCODING | CHUNKED)):
                chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
            else:
                keep = False
        if not keep:
            framing += b"Connection: close\r\n"
        elif not request.minor:
            framing += b"Connection: keep-alive\r\n"
        if self._hsts and request.secure and HSTS_LINE not in head.lower():
            framing += self._hsts
        start = b"HTTP/1.1 %b%b%b%b\r\n" % (
            head,
            b"" if flags & DATE else self._date,
            b"" if flags & SERVER else self._server,
            framing,
        )
        return start, chunked, keep

    def error(self, status: int, *, body: bool = True, retry_after: int = 1) -> bytes:
        """A whole response in our own name; see ``pages.error_page``."""
        self.answers.add(status)
        return error_page(status, body=body, retry_after=retry_after)
