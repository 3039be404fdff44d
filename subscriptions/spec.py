"""What the values of the subscription options say (spec/subscriptions.md sections 1, 3 and 7).

uWSGI passes over a value that it cannot read; here it is an error that names option and value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from uwgate.conf.address import Address, AddressKind, parse_backend, parse_listen
from uwgate.conf.errors import ConfigError
from uwgate.conf.keyval import split_items
from uwgate.subscriptions.packet import MAX_BACKUP, MAX_NAME, MAX_WEIGHT
from uwgate.subscriptions.signature import Scheme, scheme_named

MAX_PATH = 1024  # bytes; several have to fit into one packet


@dataclass(frozen=True, slots=True)
class SchemePath:
    """``SCHEME:PATH``: a private key's file to sign with, or the folder of public keys."""

    scheme: Scheme
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One announcement that an instance repeats.

    What is announced is ``address``, or the name of socket number ``socket`` or of shared
    socket number ``shared_socket``, or, if all are None, that of the first socket. Instead of
    a ``key`` there may be a ``file`` with one on each line (``read_keys``). None for a number
    means the default of the instance. While ``check`` exists nothing is sent. With a ``legion``
    only its lord announces; that key is ours.
    """

    server: Address
    key: str = ""
    file: str = ""
    address: str | None = None
    socket: int | None = None
    shared_socket: int | None = None
    modifier1: int | None = None
    modifier2: int | None = None
    weight: int | None = None
    backup: int = 0
    sign: SchemePath | None = None
    check: str = ""
    sni_key: str = ""
    sni_crt: str = ""
    sni_ca: str = ""
    proto: str = ""
    algo: str = ""
    vassal: str = ""
    inactive: str = ""
    legion: str = ""


def parse_server(option: str, text: str) -> Address:
    """Where a subscription server listens: a value of ``*-subscription-server``.

    Raises:
        ConfigError: the text is no address of a datagram socket.
    """
    address = _address(option, text, text, parse_listen)
    if address.kind in (AddressKind.FD, AddressKind.SHARED):
        raise _wrong(option, text, "a datagram socket is host:port, [IPv6]:port, @name or a path")
    return address


def parse_sign_check(option: str, text: str) -> SchemePath:
    """A value of ``subscriptions-sign-check``.

    Raises:
        ConfigError: it is not ``SCHEME:FOLDER``.
    """
    return _scheme_path(option, text, text)


def parse_sign(option: str, text: str) -> SchemePath:
    """A value of ``-resubscribe-sign``.

    Raises:
        ConfigError: it is not ``SCHEME:PEMFILE``.
    """
    return _scheme_path(option, text, text)


def parse_subscribe_to(option: str, text: str) -> Subscription:
    """A value of ``subscribe-to`` or ``subscribe``:
    ``[LOCAL=]SERVER:KEY[,MODIFIER1[,SCHEME:PEMFILE]]`` or ``[LOCAL=]SERVER:@FILE``.

    Raises:
        ConfigError: it is something else.
    """
    local, rest = _split_local(option, text)
    server, key_part = _split_server(option, text, rest)
    found: dict[str, object] = {"server": _address(option, text, server, parse_backend), **local}
    if key_part.startswith("@"):
        if not key_part[1:]:
            raise _wrong(option, text, "no file name behind the @")
        return Subscription(**{**found, "file": key_part[1:]})  # type: ignore[arg-type]  # by name
    key, *more = key_part.split(",", 2)
    found["key"] = _name(option, text, "key", key)
    if more and (more[0] or len(more) > 1):
        found["modifier1"] = _number(option, text, "modifier1", more[0], 255)
    if len(more) > 1:
        found["sign"] = _scheme_path(option, text, more[1])
    return Subscription(**found)  # type: ignore[arg-type]  # by name


def parse_subscribe2(option: str, text: str) -> Subscription:
    """A value of ``subscribe2``: ``server=...,key=...`` and more; ``\\`` protects a comma.

    Raises:
        ConfigError: a key is unknown, stands there twice or has a wrong value, or server
            or key is missing.
    """
    found: dict[str, object] = {}
    for item in split_items(text):
        name, equals, value = item.partition("=")
        name = "addr" if name == "address" else name
        if not equals or name not in READERS:
            known = ", ".join(sorted(READERS))
            raise _wrong(option, text, f"{item!r}: expected one of {known}, '=' and a value")
        attribute, read = READERS[name]
        if attribute in found:
            raise _wrong(option, text, f"{name} stands there twice")
        found[attribute] = read(option, text, name, value)
    for needed in ("server", "key"):
        if needed not in found:
            raise _wrong(option, text, f"no {needed}=")
    return Subscription(**found)  # type: ignore[arg-type]  # READERS has the types


def read_keys(option: str, file: str, text: str) -> Iterator[tuple[str, int | None]]:
    """Keys and their modifier1 from the text of an ``@FILE``; None if a line names none.

    Raises:
        ConfigError: a line is no ``KEY[,MODIFIER1]``.
    """
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        where = f"@{file}:{number}: {line}"
        key, comma, modifier1 = line.partition(",")
        name = _name(option, where, "key", key)
        yield name, _number(option, where, "modifier1", modifier1, 255) if comma else None


def _wrong(option: str, text: str, why: str) -> ConfigError:
    return ConfigError(f"{option} = {text}: {why}")


def _split_local(option: str, text: str) -> tuple[dict[str, object], str]:
    """The first ``=`` ends LOCAL; ``=N=`` is shared socket N."""
    if text.startswith("="):
        number, equals, rest = text[1:].partition("=")
        if not equals:
            raise _wrong(option, text, "expected =N= and a server, N being a shared socket")
        return {"shared_socket": _number(option, text, "shared socket", number, 1 << 16)}, rest
    local, equals, rest = text.partition("=")
    if not equals:
        return {}, text
    return {"address": _name(option, text, "address", local)}, rest


def _split_server(option: str, text: str, rest: str) -> tuple[str, str]:
    """A path or name ends at the first ``:``, ``host:port`` at the second, ``[v6]:port`` too."""
    begin = 0
    if rest.startswith("["):
        begin = rest.find("]:") + 2  # behind the ':' of the port
        if begin == 1:
            raise _wrong(option, text, "an IPv6 address stands in brackets, as in [::1]:4040:KEY")
    elif not rest.startswith(("/", "@")):
        begin = rest.find(":") + 1
    end = rest.find(":", begin)
    if (begin == 0 and not rest.startswith(("/", "@"))) or end < 0:
        raise _wrong(option, text, "expected SERVER:KEY, for example 127.0.0.1:4040:example.com")
    return rest[:end], rest[end + 1 :]


def _address(option: str, text: str, part: str, parse: Callable[[str], Address]) -> Address:
    try:
        return parse(part)
    except ConfigError as error:
        raise _wrong(option, text, str(error)) from error


def _name(option: str, text: str, what: str, value: str) -> str:
    return _text(option, text, what, value, MAX_NAME)


def _path(option: str, text: str, what: str, value: str) -> str:
    return _text(option, text, what, value, MAX_PATH)


def _text(option: str, text: str, what: str, value: str, limit: int) -> str:
    size = len(value.encode(errors="surrogateescape"))
    if not 1 <= size <= limit:
        raise _wrong(option, text, f"{what} of {size} bytes, expected 1 to {limit}")
    if not value.isprintable():
        raise _wrong(option, text, f"{what} has characters that cannot be shown")
    return value


def _number(option: str, text: str, what: str, value: str, limit: int) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9 or int(value) > limit:
        raise _wrong(option, text, f"{what} is {value!r}, expected a number from 0 to {limit}")
    return int(value)


def _scheme_path(option: str, text: str, value: str) -> SchemePath:
    name, colon, path = value.partition(":")
    if not colon or not path:
        raise _wrong(option, text, f"{value!r}: expected SCHEME:PATH, for example ED25519:/keys")
    try:
        return SchemePath(scheme_named(name), path)
    except ConfigError as error:
        raise _wrong(option, text, str(error)) from error


def _server(option: str, text: str, _: str, value: str) -> Address:
    return _address(option, text, value, parse_backend)


def _sign(option: str, text: str, _: str, value: str) -> SchemePath:
    return _scheme_path(option, text, value)


def _up_to(limit: int) -> Callable[[str, str, str, str], int]:
    return lambda option, text, what, value: _number(option, text, what, value, limit)


READERS: dict[str, tuple[str, Callable[[str, str, str, str], object]]] = {
    "server": ("server", _server),
    "key": ("key", _name),
    "addr": ("address", _name),
    "socket": ("socket", _up_to(1 << 16)),
    "weight": ("weight", _up_to(MAX_WEIGHT)),
    "modifier1": ("modifier1", _up_to(255)),
    "modifier2": ("modifier2", _up_to(255)),
    "backup": ("backup", _up_to(MAX_BACKUP)),
    "sign": ("sign", _sign),
    "check": ("check", _path),
    "sni_key": ("sni_key", _path),
    "sni_crt": ("sni_crt", _path),
    "sni_ca": ("sni_ca", _path),
    "proto": ("proto", _name),
    "algo": ("algo", _name),
    "vassal": ("vassal", _name),
    "inactive": ("inactive", _name),
    "legion": ("legion", _name),
}
