"""Sessions that stay with their node by a cookie (``http-sticky``)."""

from __future__ import annotations

from uwgate.conf.groups.http import HttpOptions
from uwgate.gateways.corerouter.target import Target
from uwgate.gateways.exchange import Request
from uwgate.subscriptions.balancing.sticky import StickyCookies


class Stickiness:
    """The cookie, in both directions. ``instance_secret`` is what the option's secret stands in
    for: all processes of the instance share it, but not for longer than it runs."""

    def __init__(self, options: HttpOptions, instance_secret: str) -> None:
        assert options.http_sticky
        self._name = options.http_sticky.encode()
        self.cookies = StickyCookies((options.http_sticky_secret or instance_secret).encode())

    def line(self, request: Request, target: Target | None) -> bytes:
        """The field line that binds a client to the node that has served it; empty if that is
        so already, or if it was no node."""
        if target is None or target.node is None:
            return b""
        value = self.cookies.value(target.node)
        if request.asked is not None and request.asked.sticky == value:
            return b""
        secure = b"; Secure" if request.secure else b""
        return b"Set-Cookie: %b=%b; Path=/; HttpOnly; SameSite=Lax%b\r\n" % (
            self._name,
            value.encode(),
            secure,
        )
