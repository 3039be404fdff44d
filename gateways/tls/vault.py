"""The keeper's side of certificates: reads their files, and notices when they change."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from uwgate.conf import tls
from uwgate.conf.certificates import MAX_PEM_BYTES, check_authorities, check_pair
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions
from uwgate.conf.tls import Identity
from uwgate.gateways.tls.material import Material, Pair

log = logging.getLogger("uwgate.tls")

Stamp = tuple[int, int, int, int] | None  # mtime and ctime in ns, size, inode; None: no file

# What the second certificate of a name is called in sni-dir, beside NAME.crt.
SECOND = ".ecdsa"


@dataclass(slots=True)
class _Entry:
    """What was handed out under one name, and what its files were then."""

    identity: Identity
    material: Material | None = None
    stamps: dict[str, Stamp] = field(default_factory=dict)
    complaint: str = ""  # what was logged last, so that it is logged once


class Vault:
    """Certificates by name: an endpoint's address, a server name, ``~`` and a regexp."""

    def __init__(
        self,
        options: HttpsOptions,
        *,
        environ: dict[str, str] | None = None,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        """``environ`` is where ssl-key-password-env looks.

        Raises:
            ConfigError: the options are wrong, or the password cannot be read.
        """
        self._options = options
        self._now = now
        self._password = password_of(options, environ or {})
        self._fixed = dict(identities(options))
        self._entries: dict[str, _Entry] = {}

    def material(self, name: str) -> Material | None:
        """What is to be served under a name; None: nothing, or nothing good.

        Raises:
            ConfigError: a name that the options themselves hold cannot be served.
        """
        fixed = self._fixed.get(name)
        entry = self._entries.get(name)
        if entry is not None and not self._look(entry):
            return entry.material
        identity = fixed or self._in_directory(name)
        if identity is None:
            self._entries.pop(name, None)
            return None
        entry = entry or _Entry(identity)
        try:
            self._read(entry)
        except ConfigError as error:
            if fixed is not None and entry.material is None:
                raise ConfigError(f"{name}: {error}") from error
            self._complain(name, entry, error)
        if entry.material is not None:
            self._entries[name] = entry
        return entry.material

    def changed(self) -> list[tuple[str, Material]]:
        """Names whose files have changed since they were handed out, with what is in them.

        What cannot be served is logged once; the old stays, and the files are tried again
        when they change again.
        """
        found: list[tuple[str, Material]] = []
        for name, entry in self._entries.items():
            if not self._look(entry):
                continue
            before = entry.material
            try:
                self._read(entry)
            except ConfigError as error:
                self._complain(name, entry, error)
                continue
            if entry.material != before and entry.material is not None:
                log.info("%s: new certificate", name)
                found.append((name, entry.material))
        return found

    def _look(self, entry: _Entry) -> bool:
        return any(stamp != _stamp(path) for path, stamp in entry.stamps.items())

    def _read(self, entry: _Entry) -> None:
        # Stamps first: what is written while we read is seen as a change next time.
        entry.stamps = {path: _stamp(path) for path in paths(entry.identity)}
        entry.material = read(entry.identity, self._password, self._now())
        entry.complaint = ""

    def _complain(self, name: str, entry: _Entry, error: ConfigError) -> None:
        if entry.complaint != str(error):
            entry.complaint = str(error)
            log.error("%s: %s; what was served before stays", name, error)

    def _in_directory(self, name: str) -> Identity | None:
        folder = self._options.sni_dir
        if folder is None or tls.server_name(name) != name:
            return None
        base = os.path.join(folder, name)
        if not os.path.exists(f"{base}.crt"):
            return None
        ends = [end for end in ("", SECOND) if os.path.exists(f"{base}{end}.crt")]
        return Identity(
            certificate=tuple(f"{base}{end}.crt" for end in ends),
            key=tuple(f"{base}{end}.key" for end in ends),
            ciphers=self._options.sni_dir_ciphers,
            client_ca=f"{base}.ca" if os.path.exists(f"{base}.ca") else None,
        )


def identities(options: HttpsOptions) -> Iterator[tuple[str, Identity]]:
    """Everything that the options name themselves, by the name that a ring asks for."""
    for endpoint in tls.endpoints(options):
        yield endpoint.address, endpoint.identity
    for text in options.sni:
        yield tls.parse_sni(text)
    for text in options.sni_regexp:
        expression, identity = tls.parse_sni_regexp(text)
        yield f"~{expression}", identity


def password_of(options: HttpsOptions, environ: dict[str, str]) -> bytes | None:
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


def read(identity: Identity, password: bytes | None, now: datetime.datetime) -> Material:
    """The bytes behind an identity, checked.

    Raises:
        ConfigError: a file cannot be read, or what is in it cannot be served.
    """
    pairs: list[Pair] = []
    kinds: dict[str, str] = {}
    for certificate, key in zip(identity.certificate, identity.key, strict=True):
        where = _shown(certificate)
        try:
            checked = check_pair(_file(certificate), _file(key), password=password, now=now)
        except ConfigError as error:
            raise ConfigError(f"{where}, {_shown(key)}: {error}") from error
        if checked.kind in kinds:
            other = kinds[checked.kind]
            raise ConfigError(f"{where}: an {checked.kind} certificate, as {other} is already")
        kinds[checked.kind] = where
        pairs.append(Pair(chain=checked.chain_pem, key=checked.key_pem))
    client_ca = None
    if identity.client_ca is not None:
        client_ca = _file(identity.client_ca)
        try:
            check_authorities(client_ca)
        except ConfigError as error:
            raise ConfigError(f"{_shown(identity.client_ca)}: {error}") from error
    return Material(
        pairs=tuple(pairs),
        ciphers=identity.ciphers,
        client_ca=client_ca,
        client_required=identity.client_required,
    )


def paths(identity: Identity) -> list[str]:
    """The files that an identity is made of."""
    named = (*identity.certificate, *identity.key, identity.client_ca or tls.PEM_TEXT)
    return [one for one in named if not one.startswith(tls.PEM_TEXT)]


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


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
