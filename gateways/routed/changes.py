"""Requests as rules have changed them, for whoever is asked next."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import quote_from_bytes

from uwgate.conf.errors import ClientError
from uwgate.gateways.asking import MAX_KEY
from uwgate.gateways.corerouter.target import Asked
from uwgate.gateways.exchange import Request
from uwgate.gateways.wire.uwsgi import MAX_BLOCK, PacketError, decode_block, encode_var
from uwgate.routing.results import Forward
from uwgate.routing.transaction import Transaction

ROOM = 64  # bytes of a block that an exchange may still add
KEY = b"UWSGI_FASTROUTER_KEY"  # the name of whoever is to be asked, before the Host

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_UNSENDABLE = re.compile(rb"[\x00-\x20\x7f]")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SAFE = "/:@!$&'()*+,;=~-._"  # what a path needs no escape for, RFC 3986 section 3.3
_HTTP = b"HTTP_"


def for_backend(request: Request, transaction: Transaction) -> Request:
    """The request as its application gets it; the same if rules have changed nothing of it.

    Raises:
        ClientError: what the request brought makes something of it that cannot be sent.
    """
    modifiers = (transaction.modifier1, transaction.modifier2)
    if not transaction.changed and modifiers == request.modifiers:
        return request
    variables, changed = transaction.variables, transaction.changed
    target = request.target
    if b"REQUEST_URI" in changed:
        target = variables[b"REQUEST_URI"]
    elif b"PATH_INFO" in changed or b"QUERY_STRING" in changed:
        target = _target(variables)  # only HTTP backends look at it
    return replace(
        _rebuilt(request, variables, changed, target),
        asked=_asked(request, variables, changed),
        modifiers=modifiers,
    )


def for_forward(request: Request, transaction: Transaction, forward: Forward) -> Request:
    """The request as the backend of a rule gets it.

    Raises:
        ClientError: as ``for_backend``.
    """
    variables, changed = dict(transaction.variables), set(transaction.changed)
    if forward.application is not None:
        variables[b"UWSGI_APPID"] = forward.application
        changed.add(b"UWSGI_APPID")
    if forward.host is not None:
        variables[b"HTTP_HOST"] = forward.host
        changed.add(b"HTTP_HOST")
    target = variables.get(b"REQUEST_URI") or request.target
    return _rebuilt(request, variables, changed, forward.uri or target)


def take_over(request: Request, asked: Request) -> None:
    """What has become of the request's body while ``asked`` was handed over."""
    request.complete = asked.complete
    request.expects_continue = asked.expects_continue


def _rebuilt(
    request: Request, variables: dict[bytes, bytes], changed: set[bytes], target: bytes
) -> Request:
    method = variables.get(b"REQUEST_METHOD", b"")
    if not _TOKEN.fullmatch(method):
        raise ClientError(400, f"rules make the method {method[:40]!r} of it")
    if not target or _UNSENDABLE.search(target):
        raise ClientError(400, f"rules make the target {target[:80]!r} of it")
    for name in changed:
        # A backend that speaks HTTP gets them as lines.
        if name.startswith(_HTTP) and _CONTROL.search(variables[name]):
            raise ClientError(400, f"rules put control characters into {name.decode('latin-1')}")
    block = request.block
    if changed:
        block = _block(request.block, variables)
    return replace(request, method=method, target=target, block=block)


def _block(old: bytes, variables: dict[bytes, bytes]) -> bytes:
    """The variables packed. The body's length is what it is, whatever rules say."""
    lengths = [value for name, value in decode_block(old) if name == b"CONTENT_LENGTH"]
    try:
        parts = [
            encode_var(name, value)
            for name, value in variables.items()
            if name != b"CONTENT_LENGTH"
        ]
        parts += [encode_var(b"CONTENT_LENGTH", value) for value in lengths[-1:]]
    except PacketError as error:
        raise ClientError(431, str(error)) from error
    block = b"".join(parts)
    if len(block) > MAX_BLOCK - ROOM:
        raise ClientError(431, f"request of {len(block)} bytes, limit {MAX_BLOCK - ROOM}")
    return block


def _target(variables: dict[bytes, bytes]) -> bytes:
    path = quote_from_bytes(variables.get(b"PATH_INFO", b""), safe=_SAFE).encode()
    query = variables.get(b"QUERY_STRING", b"")
    target = path if path.startswith(b"/") else b"/" + path
    return b"%b?%b" % (target, query) if query else target


def _asked(request: Request, variables: dict[bytes, bytes], changed: set[bytes]) -> Asked | None:
    """Where the request wants to go now."""
    asked = request.asked
    if asked is None:
        return None
    key = asked.key
    for name in (KEY, b"HTTP_HOST"):
        if name in changed and variables[name]:
            key = variables[name][:MAX_KEY].decode(errors="surrogateescape")
            break
    client = variables[b"REMOTE_ADDR"] if b"REMOTE_ADDR" in changed else asked.client
    path = variables.get(b"PATH_INFO", b"").decode(errors="surrogateescape")
    return Asked(key, path, client, asked.affinity, asked.sticky)
