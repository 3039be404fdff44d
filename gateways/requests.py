"""From the bytes of a head to the request that a backend gets."""

from __future__ import annotations

import base64
import logging
import os
import socket
from collections.abc import Iterable
from typing import NamedTuple

import httptools

from uwgate.conf.errors import ClientError
from uwgate.conf.groups.edge import EdgeOptions
from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.asking import Asking
from uwgate.gateways.counters import Counters
from uwgate.gateways.exchange import Raw, Request
from uwgate.gateways.peer import UNKNOWN, Peer
from uwgate.gateways.wire import cgi, forwarded, http1, upgrade
from uwgate.gateways.wire.hpack import Fields
from uwgate.gateways.wire.http2_request import (
    MalformedRequest,
    RequestFields,
    check_path,
    read_fields,
)
from uwgate.gateways.wire.uwsgi import MAX_BLOCK

log = logging.getLogger("uwgate.http")

ROOM = 64  # bytes of a block that an exchange may still add
MAX_KNOWN = 1024  # sets of header lines that are remembered, of up to
MAX_KNOWN_SIZE = 2048  # bytes each

_METHOD = cgi.pack_key(b"REQUEST_METHOD")
_URI = cgi.pack_key(b"REQUEST_URI")
_PATH = cgi.pack_key(b"PATH_INFO")
_QUERY = cgi.pack_key(b"QUERY_STRING")
# spec/uwsgi-protocol.md section 9.6: what a real uWSGI makes of X-Forwarded-Proto itself.
_SCHEMES = {scheme: cgi.pack((("UWSGI_SCHEME", scheme),)) for scheme in (b"http", b"https")}
_PROTOCOLS = tuple(
    cgi.pack((("SERVER_PROTOCOL", b"HTTP/1.%d" % minor), ("SCRIPT_NAME", b""))) for minor in (0, 1)
)

_HTTP2 = cgi.pack((("SERVER_PROTOCOL", b"HTTP/2.0"), ("SCRIPT_NAME", b"")))

# Fields that decide what is sent of a file (``files/``): CGI key and name.
_WISHES = tuple(
    (cgi.key_of(name), name)
    for name in (
        b"accept-encoding",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    )
)


class _Parsed:
    """Target of an llhttp parser: collects the header lines."""

    __slots__ = ("_headers",)

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers

    def on_header(self, name: bytes, value: bytes) -> None:
        # RFC 9112 section 5: blanks behind a value are not part of it. Those before it are gone.
        self._headers.append((name, value.rstrip(b" \t")))


class _Known(NamedTuple):
    """What header lines mean.

    ``fields`` and ``packed`` are without the forwarded fields, which count by who sent them.
    """

    fields: dict[bytes, bytes]
    framing: http1.Framing
    packed: bytes
    websocket_key: bytes
    raw: Raw | None
    forwarded: dict[bytes, bytes]
    wishes: tuple[tuple[bytes, bytes], ...]


class RequestReader:
    """Reads heads for all sessions of a gateway, one whole head at a time."""

    def __init__(
        self,
        options: HttpOptions,
        limit_post: int,
        edge: EdgeOptions,
        counters: Counters,
        *,
        asking: Asking | None = None,
    ) -> None:
        """``asking``: requests may go elsewhere than to our own workers, and say where."""
        self.limits = http1.Limits(
            head=options.http_head_limit,
            line=options.http_line_limit,
            headers=options.http_header_limit,
        )
        self._options = options
        self._asking = asking
        self._adds_forwarded = edge.http_add_forwarded
        self._counters = counters
        self.limit_post = limit_post
        self._name_block = cgi.pack((("SERVER_NAME", socket.gethostname().encode()),))
        self._extra_block = cgi.pack(
            (key, value.encode())
            for key, mark, value in (pair.partition("=") for pair in options.http_var)
            if mark
        )
        self._known: dict[tuple[bytes, int, bytes], _Known] = {}
        self._known_http2: dict[Fields, tuple[bytes, _Known]] = {}  # by all fields but :path

    def read(self, head: bytes, peer: Peer) -> Request:
        """The request of a whole head that ``peer`` has sent.

        Raises:
            ClientError: the request is refused.
        """
        line = http1.read_request_line(head, self.limits)
        method, target = line[1], line[2]
        minor = 1 if line[4] == b"1" else 0
        lines = head[line.end() :]
        known = self._known.get((method, minor, lines))
        if known is None:
            known = self._read_lines(method, minor, lines)
        return self._request(method, target, _PROTOCOLS[minor], minor, known, peer)

    def read_http2(self, fields: Fields, ended: bool, peer: Peer) -> Request:
        """The request of a list of fields; ``ended``: it has no body.

        Raises:
            ClientError: the request is refused; MalformedRequest resets its stream.
        """
        index = next((i for i, field in enumerate(fields) if field[0] == b":path"), None)
        if index is None:
            read_fields(fields, self.limits)  # raises: only CONNECT, which is refused, has none
            raise ClientError(501, "no :path")
        key = fields[:index] + fields[index + 1 :]
        path = fields[index][1]
        found = self._known_http2.get(key)
        if found is None:
            found = self._read_http2_fields(fields)
            if found[1].websocket_key:
                pass  # no key comes twice
            elif sum(len(name) + len(value) for name, value in key) <= MAX_KNOWN_SIZE:
                if len(self._known_http2) >= MAX_KNOWN:
                    self._known_http2.clear()
                self._known_http2[key] = found
        else:
            check_path(found[0], path, self.limits)
        method, known = found
        # A backend that knows handshakes knows those of HTTP/1.1.
        protocol = _PROTOCOLS[1] if known.websocket_key else _HTTP2
        request = self._request(method, path, protocol, 1, known, peer)
        if request.websocket_key:
            if ended:
                raise MalformedRequest("a WebSocket that ends with its request")
            return request
        if ended:
            if request.length:
                raise MalformedRequest(f"no body, but a content-length of {request.length}")
            request.length = 0
        elif b"CONTENT_LENGTH" not in known.fields:
            if not self._options.http_chunked_input:
                raise ClientError(411, "request body without its length")
            request.length = None
        request.expects_continue = request.length != 0 and known.framing.expects_continue
        request.complete = request.length == 0
        return request

    def _read_http2_fields(self, fields: Fields) -> tuple[bytes, _Known]:
        request = read_fields(fields, self.limits)
        if request.protocol is not None:
            return self._read_connect(request)
        known = self._mean(request.method, 1, request.lines, http2=True)
        return request.method, known

    def _read_connect(self, request: RequestFields) -> tuple[bytes, _Known]:
        """An extended CONNECT (RFC 8441) as the handshake of HTTP/1.1, which backends know."""
        if request.protocol != b"websocket" or not self._options.http_websockets:
            raise ClientError(501, f"CONNECT for {request.protocol!r}")
        key = base64.b64encode(os.urandom(16))
        lines = [line for line in request.lines if line[0] != b"sec-websocket-key"]
        lines += [
            (b"sec-websocket-key", key),
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
        ]
        return b"GET", self._mean(b"GET", 1, lines)

    def _request(
        self,
        method: bytes,
        target: bytes,
        protocol: bytes,
        minor: int,
        known: _Known,
        peer: Peer,
    ) -> Request:
        """The request with its block."""
        path, query, host = cgi.split_target(method, target)
        if peer.admits is not None:
            authority = host if host is not None else known.fields.get(b"HTTP_HOST", b"")
            if not peer.admits(authority):
                raise ClientError(421, "its host wants clients verified, its connection did not")
        fields = known.packed
        name_block = self._name_block
        if host is not None or self._options.http_server_name_as_http_host:
            fields, name_block = self._with_host(known.fields, host)
        if known.forwarded or self._adds_forwarded:
            fields += self._forwarded(known.forwarded, peer)
        # The order of spec/uwsgi-protocol.md section 9.2.
        size = cgi.pack_length
        block = b"".join(
            (
                *(_METHOD, size(len(method)), method),
                *(_URI, size(len(target)), target),
                *(_PATH, size(len(path)), path),
                *(_QUERY, size(len(query)), query),
                protocol,
                name_block,
                peer.block,
                fields,
                self._extra_block,
            )
        )
        if len(block) > MAX_BLOCK - ROOM:
            raise ClientError(431, f"request of {len(block)} bytes, limit {MAX_BLOCK - ROOM}")
        framing = known.framing
        return Request(
            method,
            target,
            block,
            framing.length,
            minor,
            framing.keep_alive and not known.websocket_key,
            framing.expects_continue,
            websocket_key=known.websocket_key,
            raw=known.raw,
            secure=peer.is_secure,
            asked=None
            if self._asking is None
            else self._asking.read(known.fields, host, target, path, peer),
            path=path,
            wishes=known.wishes,
        )

    def _read_lines(self, method: bytes, minor: int, lines: bytes) -> _Known:
        """Check and take apart the header lines.

        Clients repeat themselves from request to request: what was found good once need not
        be taken apart again.
        """
        http1.check_lines(lines, self.limits)
        headers = self._feed(method, minor, lines)
        known = self._mean(method, minor, headers)
        if len(lines) <= MAX_KNOWN_SIZE and not known.websocket_key:  # no key comes twice
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[method, minor, lines] = known
        return known

    def _mean(
        self,
        method: bytes,
        minor: int,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        http2: bool = False,
    ) -> _Known:
        """What fields mean. In HTTP/2 there may be a body without a field that says so."""
        fields, framing = http1.fields_and_framing(minor, headers)
        if http2 and b"HTTP_EXPECT" in fields:
            framing.expects_continue = True  # whether there is a body is known elsewhere
        self._check_body(framing)
        raw = None
        if not http2:
            framing, raw = self._raw_framing(method, fields, framing)
        wants_websocket = self._options.http_websockets and upgrade.is_wanted(minor, fields)
        cgi.remove_hop_by_hop(fields)
        key = b""
        if wants_websocket:
            key = upgrade.read_key(method, fields, framing.length)
            # Of several offers only this one is passed on.
            fields |= {b"HTTP_UPGRADE": b"websocket", b"HTTP_CONNECTION": b"Upgrade"}
        elif raw is Raw.CHUNKS:
            fields[b"HTTP_TRANSFER_ENCODING"] = b"chunked"
        claims = forwarded.take(fields)
        wishes = tuple((name, fields[one]) for one, name in _WISHES if one in fields)
        return _Known(fields, framing, cgi.pack_fields(fields), key, raw, claims, wishes)

    def _check_body(self, framing: http1.Framing) -> None:
        """Refuse bodies that the options do not allow, before anything of them is read."""
        options = self._options
        length = framing.length
        if length is None:
            if not options.http_chunked_input and not options.http_raw_body:
                raise ClientError(411, "chunked request body")
            return
        if self.limit_post and length > self.limit_post:
            raise ClientError(413, f"body of {length} bytes, limit {self.limit_post}")
        limit = options.http_manage_expect
        if framing.expects_continue and limit > 1 and length > limit:
            raise ClientError(413, f"expected body of {length} bytes, limit {limit}")

    def _raw_framing(
        self, method: bytes, fields: dict[bytes, bytes], framing: http1.Framing
    ) -> tuple[http1.Framing, Raw | None]:
        """The framing, and whether it is left to the backend."""
        options = self._options
        if options.http_backend_http:  # who gets framing of ours alone
            return framing, None
        if framing.length is None:
            return framing, Raw.CHUNKS if options.http_raw_body and self._asking else None
        if method != b"SOURCE" or not options.http_manage_source or b"CONTENT_LENGTH" in fields:
            return framing, None
        return http1.Framing(None, False, b"HTTP_EXPECT" in fields), Raw.ENDLESS

    def _forwarded(self, claims: dict[bytes, bytes], peer: Peer) -> bytes:
        """What a backend gets of the forwarded fields that ``peer`` has sent, and of ours."""
        if claims and not peer.is_trusted:
            if not self._counters["forwarded-removed"]:
                log.warning(
                    "%s: fields like X-Forwarded-For of clients outside http-trust-forwarded are "
                    "removed; this is said once",
                    peer,
                )
            self._counters.count("forwarded-removed")
            claims = {}
        scheme = forwarded.scheme_of(claims)
        if self._adds_forwarded:
            address = None if peer.address == UNKNOWN else peer.address
            claims = forwarded.added(claims, address, b"https" if peer.is_secure else b"http")
        packed = cgi.pack_fields(claims)
        return packed + _SCHEMES[scheme] if scheme else packed

    def _with_host(self, fields: dict[bytes, bytes], host: bytes | None) -> tuple[bytes, bytes]:
        """Packed fields and SERVER_NAME, where the Host decides about them."""
        if host is not None:
            fields = {**fields, b"HTTP_HOST": host}  # RFC 9112 section 3.2.2
        name_block = self._name_block
        if self._options.http_server_name_as_http_host:
            name = fields.get(b"HTTP_HOST")
            name_block = cgi.pack((("SERVER_NAME", name),)) if name else b""
        return cgi.pack_fields(fields), name_block

    def _feed(self, method: bytes, minor: int, lines: bytes) -> list[tuple[bytes, bytes]]:
        """The header lines as llhttp reads them, behind our own checks."""
        if method in (b"CONNECT", b"PRI"):  # PRI begins HTTP/2: llhttp then waits for more of it
            raise ClientError(501, f"{method.decode()} is not for a gateway")
        headers: list[tuple[bytes, bytes]] = []
        parsed = _Parsed(headers)
        try:
            # A new one each time: after some heads it waits for a body, or for nothing at all.
            # The target is not its business: what is remembered must not depend on it.
            head = b"%b / HTTP/1.%d\r\n%b" % (method, minor, lines)
            httptools.HttpRequestParser(parsed).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # an offer that we do not take up
        except httptools.HttpParserInvalidMethodError as error:
            raise ClientError(501, f"method {method[:40]!r}") from error
        except httptools.HttpParserError as error:
            raise ClientError(400, str(error)) from error
        if len(headers) != lines.count(b"\r\n") - 1:
            raise ClientError(400, "header lines that only one of two parsers sees")
        return headers
