"""Clients of plain HTTP are sent to HTTPS (http-to-https, spec/gateways.md section 5.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwgate.gateways import relay
from uwgate.gateways.exchange import Request
from uwgate.gateways.peer import Peer
from uwgate.gateways.session import Session
from uwgate.gateways.states import State
from uwgate.gateways.wire.lease import LENGTH
from uwgate.gateways.wire.uwsgi import decode_block

if TYPE_CHECKING:
    from uwgate.gateways.http import HttpGateway
    from uwgate.gateways.streams import Socket

# What a certificate authority asks for, and must get in plain HTTP (RFC 8555 section 8.3).
CHALLENGES = b"/.well-known/acme-challenge/"
# 301 lets a client make a GET of whatever it was (RFC 9110 section 15.4.2).
MOVED = b"301 Moved Permanently"
SAME_WITH_GET = frozenset((b"GET", b"HEAD"))
PERMANENT = b"308 Permanent Redirect"


class RedirectSession(Session):
    """A client connection whose requests are answered with the same URL in https.

    ``port`` is that of the URL; None leaves it away.
    """

    __slots__ = ("_port",)

    def __init__(self, gateway: HttpGateway, sock: Socket, peer: Peer, port: int | None) -> None:
        super().__init__(gateway, sock, peer)
        self._port = port

    def _begin(self, request: Request) -> None:
        variables = dict(decode_block(request.block))
        if self.gateway.https.http_to_https_acme and variables[b"PATH_INFO"].startswith(CHALLENGES):
            super()._begin(request)
            return
        location = location_of(request.target, variables.get(b"HTTP_HOST"), self._port)
        if location is None:
            self.leave_lane(relay.refuse, self, 400)
            return
        status = MOVED if request.method in SAME_WITH_GET else PERMANENT
        head = b"%b\r\nLocation: %b\r\nContent-Length: 0\r\n" % (status, location)
        bodiless = request.length == 0
        start, _, keep = self.gateway.writer.start(request, LENGTH, head, 0, bodiless)
        if not bodiless:
            self.leave_lane(relay.dismiss, self, start)
            return
        self.state = State.RESPONSE
        self.deadline = self.gateway.now + self.gateway.options.http_timeout
        self.send(start, keep)


def location_of(target: bytes, host: bytes | None, port: int | None) -> bytes | None:
    """The URL in https for a request's target and (checked) Host; None if there is none."""
    if not host:
        return None
    if target[:1] != b"/":  # the absolute form, whose host has replaced the Host field
        _, mark, rest = target.partition(b"://")
        if not mark:
            return None
        path, slash, query = rest.partition(b"/")
        target = slash + query
        if not slash:
            _, mark, query = path.partition(b"?")
            target = b"/" + mark + query
    name = host if host.endswith(b"]") else _without_port(host)
    return b"https://" + name + (b":%d" % port if port is not None else b"") + target


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and not port.strip(b"0123456789") else host
