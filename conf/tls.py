"""What the options say of TLS: which address and which name has which certificate.

https         ``ADDRESS,CERTIFICATE,KEY[,CIPHERS[,[!]CLIENT_CA]]``
https2        ``addr=..,cert=..,key=..[,ciphers=..][,clientca=[!]..]``; a backslash takes the
              next character as it is; ``crt`` is cert, ``client_ca`` is clientca, and spdy has
              no effect
sni           ``NAME CERTIFICATE,KEY[,CIPHERS[,[!]CLIENT_CA]]``; NAME may be ``*.example.com``
sni-regexp    the same; NAME is a regular expression, searched without regard to case
http-to-https ``ADDRESS[,PORT]``

CERTIFICATE (with its chain), KEY and CLIENT_CA are paths, or PEM text that begins with
``-----BEGIN``. CERTIFICATE and KEY may be lists of equal length with ``|`` between their
parts (``rsa.crt|ecdsa.crt,rsa.key|ecdsa.key``): clients get the kind that they can verify.
An empty part counts as absent. See spec/gateways.md sections 5.10 and 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from uwgate.conf.address import MAX_PORT, parse_listen
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions

PEM_TEXT = "-----BEGIN "
PEM = re.compile(rf"{PEM_TEXT}[^,|]*")
MAX_NAME = 253  # characters; RFC 1035 section 2.3.4 without the final dot
MAX_PAIRS = 4  # certificates of one name; OpenSSL holds one of a kind of key

# RFC 5890 section 2.3.1, and the underscore that container names have.
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
SERVER_NAME = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})*")

KEYS = {
    "addr": "addr",
    "cert": "cert",
    "crt": "cert",
    "key": "key",
    "ciphers": "ciphers",
    "clientca": "clientca",
    "client_ca": "clientca",
    "spdy": "spdy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Certificates of one server, and what it wants of clients.

    ``certificate`` and ``key`` have the same length, one entry a pair: a path or PEM text.
    ``ciphers`` None: those that apply everywhere. ``client_ca`` None: clients are not asked
    for a certificate. ``client_required``: without a valid one there is no handshake.
    """

    certificate: tuple[str, ...]
    key: tuple[str, ...]
    ciphers: str | None = None
    client_ca: str | None = None
    client_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address that speaks TLS, as its option writes it, and its own certificates."""

    address: str
    identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """An address whose clients are sent to HTTPS. ``port`` None: HTTPS's own, 443."""

    address: str
    port: int | None = None


def parse_https(text: str) -> Endpoint:
    """The value of ``https``.

    Raises:
        ConfigError: it is none.
    """
    address, *rest = text.split(",")
    return Endpoint(address=_address(address), identity=_identity(rest))


def parse_https2(text: str) -> Endpoint:
    """The value of ``https2``.

    Raises:
        ConfigError: it is none, or has a key that nobody knows.
    """
    values: dict[str, str] = {}
    for item in _split(text):
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals or key not in KEYS:
            raise ConfigError(f"{key!r}: expected one of {', '.join(KEYS)}, each with = and value")
        if KEYS[key] in values:
            raise ConfigError(f"{key}= stands there twice")
        values[KEYS[key]] = value
    for name in ("addr", "cert", "key"):
        if not values.get(name):
            raise ConfigError(f"{name}= is missing, expected at least addr=,cert=,key=")
    rest = [values.get(name, "") for name in ("cert", "key", "ciphers", "clientca")]
    return Endpoint(address=_address(values["addr"]), identity=_identity(rest))


def asks_for_spdy(text: str) -> bool:
    """Whether a value of ``https2`` has the key that means nothing any more."""
    return any(item.partition("=")[0].strip() == "spdy" for item in _split(text))


def parse_sni(text: str) -> tuple[str, Identity]:
    """The value of ``sni``: a name in lower case, and its certificates.

    Raises:
        ConfigError: it is none.
    """
    name, rest = _named(text)
    clean = server_name(name)
    if clean is None:
        raise ConfigError(f"{name!r} is no server name, expected one such as www.example.com")
    return clean, _identity(rest)


def parse_sni_regexp(text: str) -> tuple[str, Identity]:
    """The value of ``sni-regexp``: a regular expression, and the certificates.

    Raises:
        ConfigError: it is none, or the expression is broken.
    """
    expression, rest = _named(text)
    try:
        re.compile(expression)
    except re.error as error:
        raise ConfigError(f"{expression!r} is no regular expression: {error}") from error
    return expression, _identity(rest)


def parse_redirect(text: str) -> Redirect:
    """The value of ``http-to-https``.

    Raises:
        ConfigError: it is none.
    """
    address, comma, port = text.partition(",")
    if not comma:
        return Redirect(address=_address(address))
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) <= MAX_PORT):
        raise ConfigError(f"{port!r}: expected a port from 1 to {MAX_PORT} behind the comma")
    return Redirect(address=_address(address), port=int(port))


def server_name(text: str) -> str | None:
    """A server name in lower case without a final dot; None if it is none.

    Only letters, digits, hyphens and underscores in labels of at most 63 characters, 253 in
    all, and ``*`` as a whole first label: it is safe as part of a file's name.
    """
    clean = text.lower().removesuffix(".")
    if len(clean) > MAX_NAME or not text.isascii() or not SERVER_NAME.fullmatch(clean):
        return None
    return clean


def without_pem(text: str) -> str:
    """A value to be shown: PEM text, which may be a key, is left out."""
    return PEM.sub("PEM text", text)


def endpoints(options: HttpsOptions) -> Iterator[Endpoint]:
    """Every address that speaks TLS, https first, then https2."""
    yield from map(parse_https, options.https)
    yield from map(parse_https2, options.https2)


def _address(text: str) -> str:
    parse_listen(text)
    return text


def _named(text: str) -> tuple[str, list[str]]:
    name, blank, rest = text.strip().partition(" ")
    if not blank:
        raise ConfigError("expected a name, a blank and CERTIFICATE,KEY")
    return name, rest.strip().split(",")


def _identity(parts: list[str]) -> Identity:
    if not 2 <= len(parts) <= 4:
        raise ConfigError(
            f"{len(parts)} parts, expected CERTIFICATE,KEY[,CIPHERS[,[!]CLIENT_CA]]; "
            "where a path has a comma use https2, which knows backslashes"
        )
    certificate, key = (tuple(part.split("|")) for part in parts[:2])
    if not all(certificate + key):
        raise ConfigError("the path of a certificate or key is empty")
    if len(certificate) != len(key):
        raise ConfigError(f"{len(certificate)} certificates and {len(key)} keys")
    if len(certificate) > MAX_PAIRS:
        raise ConfigError(f"{len(certificate)} certificates, limit {MAX_PAIRS}")
    ciphers, client_ca = (*parts[2:], "", "")[:2]
    required = client_ca.startswith("!")
    client_ca = client_ca.removeprefix("!")
    if required and not client_ca:
        raise ConfigError("no client CA behind the '!'")
    return Identity(
        certificate=certificate,
        key=key,
        ciphers=ciphers or None,
        client_ca=client_ca or None,
        client_required=required,
    )


def _split(text: str) -> Iterator[str]:
    """The items between commas, with what backslashes escape."""
    item = ""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            item += next(characters, "")
        elif character == ",":
            yield item
            item = ""
        else:
            item += character
    if item:
        yield item
