"""Actions that hand the request to a backend (spec/internal-routing.md section 6.7)."""

from __future__ import annotations

from collections.abc import Callable

from uwgate.routing.actions.response import checked
from uwgate.routing.actions.server import literal_number
from uwgate.routing.results import Flow, Forward, Protocol, Result
from uwgate.routing.transaction import RuleError, Scope
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop, show


def checked_address(address: bytes) -> bytes:
    """The address of a backend.

    Raises:
        RuleError: nothing is in it, or what no address has.
    """
    if not address or b"\0" in address or b" " in address or b"\n" in address:
        raise RuleError(f"{address.decode('latin-1')!r} is no address of a backend", 502)
    return address


def _http(protocol: Protocol, *, direct: bool = True) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        address_text, _, rest = text.partition(b",")
        host, _, uri_text = rest.partition(b",")
        if not address_text:
            raise Mistake("expected address[,host[,uri]]")
        address = workshop.template(address_text)
        uri = workshop.template(uri_text)
        host_or_none = checked(host) or None

        def act(scope: Scope) -> Result:
            return Forward(
                protocol,
                checked_address(address.expand(scope)),
                host=host_or_none,
                uri=_checked_uri(uri.expand(scope)) if uri_text else None,
                direct=direct and scope.transaction.offload,
            )

        return act

    return make


def _checked_uri(uri: bytes) -> bytes:
    """What a request line can hold.

    Raises:
        RuleError: white space or control characters, or nothing.
    """
    if not uri or any(byte <= 32 or byte == 127 for byte in uri):
        raise RuleError(f"{uri[:80].decode('latin-1')!r} cannot be asked of a backend", 400)
    return uri


def _simple(protocol: Protocol) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        if not text:
            raise Mistake("expected the address of a backend")
        address = workshop.template(text)

        def act(scope: Scope) -> Result:
            return Forward(
                protocol,
                checked_address(address.expand(scope)),
                direct=scope.transaction.offload,
            )

        return act

    return make


def _uwsgi(*, direct: bool) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        parts = text.split(b",", 3)
        if len(parts) < 3:
            raise Mistake(f"{show(text)}: expected address,modifier1,modifier2[,application]")
        modifier1 = literal_number(parts[1], 0, 255)
        modifier2 = literal_number(parts[2], 0, 255)
        application = parts[3] if len(parts) > 3 else None
        if not parts[0]:
            return _local(modifier1, modifier2, application)
        address = workshop.template(parts[0])

        def act(scope: Scope) -> Result:
            return Forward(
                Protocol.UWSGI,
                checked_address(address.expand(scope)),
                modifier1,
                modifier2,
                application,
                direct=direct and scope.transaction.offload,
            )

        return act

    return make


def _local(modifier1: int, modifier2: int, application: bytes | None) -> Act:
    """Without an address: only the modifiers change, and the request stays here."""

    def act(scope: Scope) -> Result:
        transaction = scope.transaction
        transaction.modifier1 = modifier1
        transaction.modifier2 = modifier2
        if application is not None:
            transaction.set(b"UWSGI_APPID", application)
        return Flow.CONTINUE

    return act


_HTTP = "address[,host[,uri]]"
_UWSGI = "address,modifier1,modifier2[,application]"

ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(("http",), _HTTP, "ask an HTTP backend", _http(Protocol.HTTP)),
    ActionKind(
        ("httpdumb",),
        _HTTP,
        "the same with the headers as they are",
        _http(Protocol.HTTP_UNCHANGED),
    ),
    ActionKind(
        ("proxyhttp",),
        _HTTP,
        "`http`, through rules and transformations of the response",
        _http(Protocol.HTTP, direct=False),
    ),
    ActionKind(
        ("httpconnect",),
        "address",
        "answer CONNECT by a backend",
        _simple(Protocol.CONNECT),
    ),
    ActionKind(
        ("proxyhttpconnect",), "address", "the same as `httpconnect`", _simple(Protocol.CONNECT)
    ),
    ActionKind(
        ("uwsgi",),
        _UWSGI,
        "ask a uwsgi backend; without an address, set the modifiers and go on",
        _uwsgi(direct=True),
    ),
    ActionKind(
        ("proxyuwsgi",),
        _UWSGI,
        "`uwsgi`, through rules and transformations of the response",
        _uwsgi(direct=False),
    ),
    ActionKind(("fcgi",), "address", "ask a FastCGI backend", _simple(Protocol.FASTCGI), ours=True),
    ActionKind(("scgi",), "address", "ask an SCGI backend", _simple(Protocol.SCGI), ours=True),
)
