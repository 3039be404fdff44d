"""What stands in ``${...}``: a variable of the request, or a function of a key in brackets."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

from uwgate.conf.arithmetic import calculate
from uwgate.routing import arithmetic
from uwgate.routing.effects import ChangeMetric
from uwgate.routing.template import Template
from uwgate.routing.transaction import Scope

_FUNCTION = re.compile(rb"([a-z0-9_]+)\[(.*)\]", re.DOTALL)
_OPENING = re.compile(rb"([a-z0-9_]+)\[(.*)", re.DOTALL)


class UnknownVariableError(ValueError):
    """There is no such function, or it has no such key."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One function of ``${name[key]}``. ``keys``: all that it knows, None: any.

    ``check`` raises UnknownVariableError for a key that it cannot mean.
    """

    name: str
    key: str
    help: str
    read: Callable[[Scope, bytes], bytes]
    keys: tuple[str, ...] | None = None
    check: Callable[[bytes], None] | None = None


def resolver(name: Template) -> Callable[[Scope], bytes]:
    """A reader of the variable whose name, in which groups may stand, is given.

    Raises:
        UnknownVariableError: there is no such function or key.
    """
    if name.constant is not None:
        match = _FUNCTION.fullmatch(name.constant)
        if match is None:
            return _variable(name.constant)
        return _function(match[1], Template((match[2],)))
    head, *middle = name.pieces
    tail = middle.pop() if middle else b""
    if isinstance(head, bytes) and isinstance(tail, bytes) and tail.endswith(b"]"):
        match = _OPENING.fullmatch(head)
        if match is not None:
            return _function(match[1], Template((match[2], *middle, tail[:-1])))
    return lambda scope: scope.transaction.get(name.expand(scope))


def _variable(name: bytes) -> Callable[[Scope], bytes]:
    return lambda scope: scope.transaction.variables.get(name, b"")


def _function(name: bytes, key: Template) -> Callable[[Scope], bytes]:
    namespace = NAMESPACES.get(name.decode("latin-1"))
    if namespace is None:
        known = ", ".join(NAMESPACES)
        raise UnknownVariableError(f"${{{name.decode()}[...]}}: expected one of {known}")
    read = namespace.read
    constant = key.constant
    if constant is None:
        return lambda scope: read(scope, key.expand(scope))
    text = constant.decode("latin-1")
    if namespace.keys is not None and text not in namespace.keys:
        raise UnknownVariableError(
            f"${{{namespace.name}[{text}]}}: expected one of {', '.join(namespace.keys)}"
        )
    if namespace.check is not None:
        namespace.check(constant)
    return lambda scope: read(scope, constant)


def _cookie(scope: Scope, key: bytes) -> bytes:
    header = scope.transaction.get(b"HTTP_COOKIE")
    if key not in header:
        return b""
    for item in header.split(b";"):
        name, _, value = item.strip().partition(b"=")
        if name == key and value:
            return value
    return b""


def _query(scope: Scope, key: bytes) -> bytes:
    text = scope.transaction.get(b"QUERY_STRING")
    if key not in text:
        return b""
    for item in text.split(b"&"):
        name, _, value = item.partition(b"=")
        if name == key and value:
            return value
    return b""


def _time(scope: Scope, key: bytes) -> bytes:
    now = scope.outside.now()
    return b"%d" % (now * 1_000_000 if key == b"micros" else now)


def http_date(seconds: float) -> bytes:
    """A time as RFC 9110 section 5.6.7 writes it; what no calendar holds is its nearest."""
    return formatdate(min(max(seconds, 0), _LAST_SECOND), usegmt=True).encode()


_LAST_SECOND = 253402300799  # of the year 9999


def _http_time(scope: Scope, key: bytes) -> bytes:
    return http_date(scope.outside.now() + digits(key))


def digits(text: bytes) -> int:
    """The number at the beginning of a text, 0 without one, at most 18 digits of it."""
    match = _NUMBER.match(text)
    return int(match[0]) if match else 0


_NUMBER = re.compile(rb"[0-9]{1,18}")


def _metric(scope: Scope, key: bytes) -> bytes:
    """With what the request's own rules have made of it, which may not have been done yet."""
    value = scope.outside.metric(key) or 0
    for effect in scope.transaction.effects:
        if isinstance(effect, ChangeMetric) and effect.name == key:
            value = calculate(effect.sum.value, value, effect.amount)
    return b"%d" % value


def _uwsgi(scope: Scope, key: bytes) -> bytes:
    transaction = scope.transaction
    outside = scope.outside
    match key:
        case b"wid":
            return b"%d" % outside.person.worker
        case b"pid":
            return b"%d" % outside.person.pid
        case b"uuid":
            return outside.new_uuid()
        case b"status":
            return b"%d" % transaction.status
        case b"rtime":
            return b"%d" % (transaction.duration * 1_000_000)
        case b"lq":
            return b"%d" % outside.listen_queue()
        case b"rsize":
            return b"%d" % transaction.size
        case b"sor":
            return b"%d" % (transaction.started * 1_000_000)
        case _:
            return b""


def _attribute(scope: Scope, key: bytes) -> bytes:
    file, _, name = key.partition(b":")
    return scope.outside.attribute(scope.transaction.get(file), name)


def _attribute_of(scope: Scope, key: bytes) -> bytes:
    file, _, name = key.partition(b":")
    get = scope.transaction.get
    return scope.outside.attribute(get(file), get(name))


def _math(scope: Scope, key: bytes) -> bytes:
    try:
        return b"%d" % arithmetic.compiled(key)(scope.transaction.get)
    except (ArithmeticError, ValueError):
        return b""


def _check_math(key: bytes) -> None:
    try:
        arithmetic.compiled(key)
    except arithmetic.ArithmeticMistake as error:
        raise UnknownVariableError(f"${{math[{key.decode('latin-1')}]}}: {error}") from error


GEOIP_FIELDS = (
    "country_code",
    "country_code3",
    "country_name",
    "continent",
    "region",
    "region_name",
    "city",
    "postal_code",
    "latitude",
    "lat",
    "longitude",
    "lon",
    "dma",
    "area",
)

NAMESPACES: dict[str, Namespace] = {
    namespace.name: namespace
    for namespace in (
        Namespace(
            "cookie", "name", "the first cookie of that name that is not empty, as sent", _cookie
        ),
        Namespace(
            "qs", "name", "the first `name=value` of the query that is not empty, as sent", _query
        ),
        Namespace(
            "mime",
            "VAR",
            "the MIME type for the extension of a variable's value",
            lambda scope, key: scope.outside.mime_type(scope.transaction.get(key)),
        ),
        Namespace(
            "time",
            "unix or micros",
            "seconds or microseconds since 1970",
            _time,
            ("unix", "micros"),
        ),
        Namespace("httptime", "N or nothing", "the date in N seconds, for a header", _http_time),
        Namespace(
            "base64",
            "VAR",
            "a variable's value in base64",
            lambda scope, key: base64.b64encode(scope.transaction.get(key)),
        ),
        Namespace(
            "hex",
            "VAR",
            "a variable's value in upper-case hexadecimal digits",
            lambda scope, key: scope.transaction.get(key).hex().upper().encode(),
        ),
        Namespace(
            "uwsgi",
            "key",
            "figures of the server and the request (times in microseconds)",
            _uwsgi,
            ("wid", "pid", "uuid", "status", "rtime", "lq", "rsize", "sor"),
        ),
        Namespace(
            "metric",
            "name",
            "the value of a metric; 0 if there is none",
            _metric,
        ),
        Namespace(
            "upper",
            "VAR",
            "a variable's value in capitals (ASCII)",
            lambda scope, key: scope.transaction.get(key).upper(),
        ),
        Namespace(
            "lower",
            "VAR",
            "a variable's value in small letters (ASCII)",
            lambda scope, key: scope.transaction.get(key).lower(),
        ),
        Namespace(
            "math",
            "expression",
            "arithmetic with numbers and variables of the request, cut to a whole number",
            _math,
            check=_check_math,
        ),
        Namespace(
            "geoip",
            "field",
            "where REMOTE_ADDR is",
            lambda scope, key: scope.outside.place_of(scope.transaction.get(b"REMOTE_ADDR"), key),
            GEOIP_FIELDS,
        ),
        Namespace(
            "xattr",
            "VAR:attribute",
            "an extended attribute of the file that a variable names",
            _attribute,
        ),
        Namespace(
            "xattr2",
            "VAR:VAR2",
            "an extended attribute; two variables name file and attribute",
            _attribute_of,
        ),
    )
}
