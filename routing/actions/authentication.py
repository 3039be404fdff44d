"""Actions that want to know who the client is (spec/internal-routing.md section 6.6)."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable

from uwgate.routing.actions.response import checked
from uwgate.routing.effects import Log
from uwgate.routing.keyval import read_pairs
from uwgate.routing.libraries import require
from uwgate.routing.results import (
    Admitted,
    Answer,
    Ask,
    Authority,
    CheckCredentials,
    CheckPassword,
    Failed,
    Flow,
    Reply,
    Result,
)
from uwgate.routing.template import Template
from uwgate.routing.transaction import Header, RuleError, Scope
from uwgate.routing.workshop import Act, ActionKind, Mistake, Workshop, show

_LDAP_KEYS = ("url", "basedn", "binddn", "bindpw", "filter", "attr", "loglevel")
_RADIUS_KEYS = (
    *("realm", "server", "secret", "nas_port", "nas_address"),
    "message_authenticator",  # ours
)
_BODY = b"Unauthorized"
_LDAP_URL = re.compile(rb"(?:ldaps?|ldapi)://[^\s]*")
_ATTRIBUTE = re.compile(rb"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+")  # RFC 4512 section 1.4
_DIGIT = re.compile(rb"[0-9]")
_PORT = re.compile(rb"[0-9]{1,5}")
_NAS_PORT = re.compile(rb"[0-9]{1,10}")


def credentials(header: bytes) -> bytes | None:
    """What a client sent as ``user:password``; None if it sent nothing of the kind."""
    scheme, _, text = header.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        return None


def _unauthorized(challenge: bytes, *before: Header) -> Answer:
    headers = (*before, (b"WWW-Authenticate", challenge))
    return Answer(401, b"Authorization Required", headers, _BODY)


def _basic(realm: bytes) -> Answer:
    quoted = checked(realm).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return _unauthorized(b'Basic realm="' + quoted + b'"')


def _welcome(scope: Scope, user: bytes) -> Result:
    scope.transaction.set(b"REMOTE_USER", user)
    return Flow.NEXT


def _basic_auth(*, go_on: bool) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        del workshop
        realm, comma, spec = text.partition(b",")
        if not comma:
            raise Mistake(f"{show(text)}: expected realm,user:password or realm,file")
        refusal = _basic(realm)
        wrong: Result = Flow.NEXT if go_on else refusal
        if b":" in spec:
            return _one_user(spec, refusal, wrong)
        return _users_of_file(spec, refusal, wrong)

    return make


def _one_user(spec: bytes, refusal: Result, wrong: Result) -> Act:
    user = spec.partition(b":")[0]

    def act(scope: Scope) -> Result:
        if scope.transaction.get(b"REMOTE_USER"):
            return Flow.NEXT
        given = credentials(scope.transaction.get(b"HTTP_AUTHORIZATION"))
        if given is None:
            return refusal
        return _welcome(scope, user) if hmac.compare_digest(given, spec) else wrong

    return act


def _users_of_file(path: bytes, refusal: Result, wrong: Result) -> Act:
    def act(scope: Scope) -> Result:
        if scope.transaction.get(b"REMOTE_USER"):
            return Flow.NEXT
        given = credentials(scope.transaction.get(b"HTTP_AUTHORIZATION"))
        if given is None or not path:
            return refusal
        user, colon, password = given.partition(b":")
        if not colon or not user:
            return wrong
        return Ask(
            CheckPassword(path, user, password),
            lambda reply: _welcome(scope, user) if reply is True else wrong,
        )

    return act


def _asks(
    authority: Authority,
    refusal: Answer,
    parameters: dict[str, bytes],
    *,
    go_on: bool,
    service: Template | None = None,
) -> Act:
    """An action that lets somebody else say whether credentials are good.

    If nobody can be asked, nobody comes in: the client gets an error, or the chain goes on.
    """
    known = tuple(parameters.items())
    wrong: Result = Flow.NEXT if go_on else refusal
    scheme = b"negotiate" if authority is Authority.NEGOTIATE else b"basic"

    def act(scope: Scope) -> Result:
        if scope.transaction.get(b"REMOTE_USER"):
            return Flow.NEXT
        header = scope.transaction.get(b"HTTP_AUTHORIZATION").strip()
        given, _, token = header.partition(b" ")
        if given.lower() != scheme or not token.strip():
            return refusal

        def then(reply: Reply) -> Result:
            match reply:
                case Admitted(user, proof) if user:
                    value = b"Negotiate " + proof if proof else b""
                    if value:
                        scope.transaction.added.append((b"WWW-Authenticate", value))
                    return _welcome(scope, user)
                case bytes() if reply:
                    return _welcome(scope, reply)
                case Failed(reason, status) if not go_on:
                    raise RuleError(reason, status)
                case Failed(reason):
                    text = f"{authority.value}: {reason}".encode(errors="surrogateescape")
                    scope.transaction.effects.append(Log(text, problem=True))
                    return wrong
                case _:
                    return wrong

        asked = known
        if service is not None:
            asked = (("service", service.expand(scope)),)
        return Ask(CheckCredentials(authority, token.strip(), asked), then)

    return act


def _check_ldap(pairs: dict[str, bytes]) -> None:
    if not _LDAP_URL.fullmatch(pairs["url"]):
        raise Mistake(f"url={show(pairs['url'])}: expected ldap://, ldaps:// or ldapi://")
    if bool(pairs.get("binddn")) != bool(pairs.get("bindpw")):
        # A name without a password would be nobody's (RFC 4513 section 5.1.2).
        raise Mistake("binddn and bindpw are only of use together")
    search = pairs.get("filter", b"()")
    if not (search.startswith(b"(") and search.endswith(b")")):
        raise Mistake(f"filter={show(search)}: expected a filter in parentheses")
    if not _ATTRIBUTE.fullmatch(pairs.get("attr", b"uid")):
        raise Mistake(f"attr={show(pairs['attr'])} is no name of an attribute")
    if not _DIGIT.fullmatch(pairs.get("loglevel", b"0")):
        raise Mistake(f"loglevel={show(pairs['loglevel'])}: expected 0, 1 or 2")


def _check_radius(pairs: dict[str, bytes]) -> None:
    _, colon, port = pairs["server"].rpartition(b":")
    if not colon or not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        raise Mistake(f"server={show(pairs['server'])}: expected host:port")
    if not pairs["secret"]:
        raise Mistake("secret is empty")
    if pairs.get("message_authenticator", b"required") != b"required":
        raise Mistake("message_authenticator: expected 'required', or nothing")
    number = pairs.get("nas_port", b"0")
    if not _NAS_PORT.fullmatch(number) or int(number) > 0xFFFFFFFF:
        raise Mistake(f"nas_port={show(number)}: expected a number of 32 bits")


def _ldap(*, go_on: bool) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        del workshop
        realm, comma, rest = text.partition(b",")
        if not comma:  # without the text, which has a password
            raise Mistake("expected realm,url=...;basedn=...")
        pairs = read_pairs(rest, _LDAP_KEYS, required=("url", "basedn"), separator=b";")
        _check_ldap(pairs)
        require("ldapauth")
        return _asks(Authority.LDAP, _basic(realm), pairs, go_on=go_on)

    return make


def _radius(*, go_on: bool) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        del workshop
        pairs = read_pairs(text, _RADIUS_KEYS, required=("realm", "server", "secret"))
        _check_radius(pairs)
        require("radius")
        return _asks(Authority.RADIUS, _basic(pairs["realm"]), pairs, go_on=go_on)

    return make


def _spnego(*, go_on: bool) -> Callable[[Workshop, bytes], Act]:
    def make(workshop: Workshop, text: bytes) -> Act:
        require("spnego")
        return _asks(
            Authority.NEGOTIATE,
            _unauthorized(b"Negotiate", (b"Content-Type", b"text/plain")),
            {},
            go_on=go_on,
            service=workshop.template(text),
        )

    return make


_BASIC = "realm,user:password or realm,htpasswd file"
_LDAP = "realm,url=...;basedn=...[;binddn=;bindpw=;filter=;attr=;loglevel=]"
_RADIUS = (
    "realm=...,server=...,secret=...[,nas_port=][,nas_address=][,message_authenticator=required]"
)
_NEXT = "the same, but go on if the credentials are wrong"

ACTIONS: tuple[ActionKind, ...] = (
    ActionKind(("basicauth",), _BASIC, "want a user's name and password", _basic_auth(go_on=False)),
    ActionKind(("basicauth-next",), _BASIC, _NEXT, _basic_auth(go_on=True)),
    ActionKind(("ldapauth",), _LDAP, "let LDAP check them", _ldap(go_on=False)),
    ActionKind(("ldapauth-next",), _LDAP, _NEXT, _ldap(go_on=True)),
    ActionKind(("radius",), _RADIUS, "let RADIUS check them", _radius(go_on=False)),
    ActionKind(("radius-next",), _RADIUS, _NEXT, _radius(go_on=True)),
    ActionKind(("spnego",), "service", "want a Kerberos ticket", _spnego(go_on=False)),
    ActionKind(("spnego-next",), "service", _NEXT, _spnego(go_on=True)),
)
