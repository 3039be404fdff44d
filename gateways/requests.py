"""From the bytes of a head to the request that a backend gets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httptools

from uwgate.conf.errors import ClientError
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.exchange import Request
from uwgate.gateways.wire import cgi, http1
from uwgate.gateways.wire.uwsgi import MAX_BLOCK

if TYPE_CHECKING:
    import re

ROOM = 64  # bytes of a block that an exchange may still add

_METHOD = cgi.pack_key(b"REQUEST_METHOD")
_URI = cgi.pack_key(b"REQUEST_URI")
_PATH = cgi.pack_key(b"PATH_INFO")
_QUERY = cgi.pack_key(b"QUERY_STRING")
_PROTOCOLS = tuple(
    cgi.pack((("SERVER_PROTOCOL", b"HTTP/1.%d" % minor), ("SCRIPT_NAME", b""))) for minor in (0, 1)
)


class _Parsed:
    """Target of the llhttp parser: the request line's URL and the header lines."""

    __slots__ = ("headers", "target")

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))


class RequestReader:
    """Reads heads for all sessions of a gateway, one whole head at a time."""

    def __init__(self, options: HttpOptions, limit_post: int) -> None:
        self.limits = http1.Limits(
            head=options.http_head_limit,
            line=options.http_line_limit,
            headers=options.http_header_limit,
        )
        self._options = options
        self._limit_post = limit_post
        self._name_block = cgi.pack((("SERVER_NAME", socket.gethostname().encode()),))
        self._extra_block = cgi.pack(
            (key, value.encode())
            for key, mark, value in (pair.partition("=") for pair in options.http_var)
            if mark
        )
        self._parsed = _Parsed()
        self._parser = httptools.HttpRequestParser(self._parsed)

    def read(self, head: bytes, peer: bytes) -> Request:
        """The request of a whole head; ``peer`` holds the connection's packed variables.

        Raises:
            ClientError: the request is refused.
        """
        line = http1.check_head(head, self.limits)
        try:
            return self._read(line, head, peer)
        except ClientError:
            # llhttp may wait for a body that never gets to it; the next head is someone else's.
            self._parser = httptools.HttpRequestParser(self._parsed)
            raise

    def _read(self, line: re.Match[bytes], head: bytes, peer: bytes) -> Request:
        method = line[1]
        minor = 1 if line[4] == b"1" else 0
        self._feed(head, method)
        target = self._parsed.target
        fields, framing = http1.fields_and_framing(minor, self._parsed.headers)
        path, query, host = cgi.split_target(method, target)
        if host is not None:
            fields[b"HTTP_HOST"] = host  # RFC 9112 section 3.2.2
        length = framing.length
        if length != 0 or not framing.keep_alive:
            # llhttp waits for a body now, which never gets to it, or for nothing at all.
            self._parser = httptools.HttpRequestParser(self._parsed)
            if length is None:
                if not self._options.http_chunked_input:
                    raise ClientError(411, "chunked request body")
            elif self._limit_post and length > self._limit_post:
                raise ClientError(413, f"body of {length} bytes, limit {self._limit_post}")
        cgi.remove_hop_by_hop(fields)
        name_block = self._name_block
        if self._options.http_server_name_as_http_host:
            name = fields.get(b"HTTP_HOST")
            name_block = cgi.pack((("SERVER_NAME", name),)) if name else b""
        # The order of spec/uwsgi-protocol.md section 9.2.
        size = cgi.pack_length
        block = b"".join(
            (
                *(_METHOD, size(len(method)), method),
                *(_URI, size(len(target)), target),
                *(_PATH, size(len(path)), path),
                *(_QUERY, size(len(query)), query),
                _PROTOCOLS[minor],
                name_block,
                peer,
                cgi.pack_fields(fields),
                self._extra_block,
            )
        )
        if len(block) > MAX_BLOCK - ROOM:
            raise ClientError(431, f"request of {len(block)} bytes, limit {MAX_BLOCK - ROOM}")
        return Request(
            method, target, block, length, minor, framing.keep_alive, framing.expects_continue
        )

    def _feed(self, head: bytes, method: bytes) -> None:
        """Let llhttp take the head apart, behind our own checks."""
        parsed = self._parsed
        parsed.headers = []
        parsed.target = b""
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._parser = httptools.HttpRequestParser(parsed)
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserInvalidMethodError):
                raise ClientError(501, f"method {method[:40]!r}") from error
            raise ClientError(400, str(error)) from error
        if method == b"CONNECT":
            raise ClientError(501, "CONNECT is not for a gateway")
