"""The certificates that the options name, read from their files and checked."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from uwgate.conf import tls
from uwgate.conf.certificates import MAX_PEM_BYTES, Checked, check_authorities, check_pair
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions
from uwgate.conf.tls import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What is behind an identity: pairs, and PEM of the clients' authorities or None."""

    pairs: tuple[Checked, ...]
    client_ca: bytes | None = None


def identities(options: HttpsOptions) -> Iterator[tuple[str, Identity]]:
    """Everything that the options name themselves, by the name that a ring asks for."""
    for endpoint in tls.endpoints(options):
        yield endpoint.address, endpoint.identity
    for text in options.sni:
        yield tls.parse_sni(text)
    for text in options.sni_regexp:
        expression, identity = tls.parse_sni_regexp(text)
        yield f"~{expression}", identity


def password_of(options: HttpsOptions, environ: Mapping[str, str]) -> bytes | None:
    """The password of encrypted keys, None without one.

    Raises:
        ConfigError: it is not where the options say.
    """
    if options.ssl_key_password_file is not None:
        text = _file(options.ssl_key_password_file)
        return text.splitlines()[0] if text else b""
    if options.ssl_key_password_env is not None:
        password = environ.get(options.ssl_key_password_env)
        if password is None:
            raise ConfigError(f"ssl-key-password-env = {options.ssl_key_password_env}: not set")
        return os.fsencode(password)
    return None


def open_identity(identity: Identity, password: bytes | None, now: datetime.datetime) -> Opened:
    """The bytes behind an identity, checked.

    Raises:
        ConfigError: a file cannot be read, or what is in it cannot be served.
    """
    pairs: list[Checked] = []
    kinds: dict[str, str] = {}
    for certificate, key in zip(identity.certificate, identity.key, strict=True):
        pair = _open_pair(certificate, key, password, now)
        where = _shown(certificate)
        if pair.kind in kinds:
            raise ConfigError(
                f"{where}: a certificate of kind {pair.kind}, as {kinds[pair.kind]} is already"
            )
        kinds[pair.kind] = where
        pairs.append(pair)
    client_ca = None
    if identity.client_ca is not None:
        client_ca = _file(identity.client_ca)
        try:
            check_authorities(client_ca)
        except ConfigError as error:
            raise ConfigError(f"{_shown(identity.client_ca)}: {error}") from error
    return Opened(pairs=tuple(pairs), client_ca=client_ca)


def paths(identity: Identity) -> list[str]:
    """The files that an identity is made of."""
    named = (*identity.certificate, *identity.key, identity.client_ca or tls.PEM_TEXT)
    return [one for one in named if not one.startswith(tls.PEM_TEXT)]


def _open_pair(
    certificate: str, key: str, password: bytes | None, now: datetime.datetime
) -> Checked:
    where = _shown(certificate)
    texts = _file(certificate), _file(key)
    if key != certificate:
        where += f" with {_shown(key)}"
    try:
        return check_pair(*texts, password=password, now=now)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _file(source: str) -> bytes:
    if source.startswith(tls.PEM_TEXT):
        return source.encode()
    try:
        with open(source, "rb") as file:
            data = file.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{source}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_PEM_BYTES:
        raise ConfigError(f"{source}: more than {MAX_PEM_BYTES} bytes")
    return data


def _shown(source: str) -> str:
    return "PEM text" if source.startswith(tls.PEM_TEXT) else source
