"""The keeper's side of certificates: reads their files, and notices when they change."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions
from uwgate.conf.identities import identities, open_identity, password_of, paths
from uwgate.conf.tls import Identity, server_name
from uwgate.gateways.tls.material import Material, Pair
from uwgate.gateways.tls.stapler import Stapler

log = logging.getLogger("uwgate.tls")

SECOND = ".ecdsa"  # the second certificate of a name in sni-dir: NAME.ecdsa.crt
ENDS = (".crt", ".key", ".ca", f"{SECOND}.crt", f"{SECOND}.key")

# Clocks of file systems tick slower than programs write: what is younger than this is read
# once more, and is not complained of, because its other half may be on its way.
SETTLED_SECONDS = 1.0
MAX_LOOKS = 1000  # names of sni-dir that one call of ``changed`` looks at; 5 files each

Stamp = tuple[int, int, int, int] | None  # mtime and ctime in ns, size, inode; None: no file


@dataclass(slots=True)
class _Entry:
    """What was handed out under one name, and what its files were then.

    ``identity`` is None for a name of sni-dir, whose files are looked for each time.
    ``given`` is ``material`` as it was handed out last, with
    staples. ``young``: a file had been written just before it was read. ``complaint`` is what was
    logged last.
    """

    identity: Identity | None
    material: Material | None = None
    given: Material | None = None
    stamps: dict[str, Stamp] = field(default_factory=dict)
    young: bool = False
    complaint: str = ""


class Vault:
    """Certificates by name: an endpoint's address, a server name, ``~`` and a regexp."""

    def __init__(
        self,
        options: HttpsOptions,
        environ: Mapping[str, str] | None = None,
        *,
        stapler: Stapler | None = None,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        """``environ`` is where ssl-key-password-env looks; without ``stapler`` nothing is stapled.

        Raises:
            ConfigError: the options are wrong, or the password cannot be read.
        """
        self._options = options
        self._stapler = stapler if options.ssl_stapling else None
        self._now = now
        self._password = password_of(options, environ or {})
        self._fixed = dict(identities(options))
        # Names of sni-dir enter only when they have files, so the folder bounds it.
        self._entries: dict[str, _Entry] = {}
        self._folder_stamp: Stamp = None
        self._next_look = 0

    def material(self, name: str) -> Material | None:
        """What is to be served under a name; None: nothing, or nothing good.

        A broken pair is logged once, and what was served before stays.

        Raises:
            ConfigError: a name that the options themselves hold cannot be served.
        """
        entry = self._entries.get(name)
        if entry is None:
            if name not in self._fixed and not self._is_in_folder(name):
                return None
            entry = _Entry(self._fixed.get(name))
        if entry.material is None or self._is_changed(name, entry):
            try:
                self._read(name, entry)
            except ConfigError as error:
                if name in self._fixed and entry.material is None:
                    raise ConfigError(f"{name}: {error}") from error
                self._complain(name, entry, error)
        self._entries[name] = entry
        entry.given = self._dressed(entry)
        return entry.given

    def changed(self) -> list[tuple[str, Material]]:
        """Names whose files have changed since they were handed out, with what is in them.

        To be called once a second. What cannot be served is logged once and the old stays;
        the files are tried again when they change again.
        """
        stale = {name: self._entries[name] for name in self._to_look_at() if self._has_new(name)}
        if stale and self._stapler is not None:
            served = [one.material for one in self._entries.values() if one.material]
            self._stapler.forget_all_but(served)
        if self._stapler is not None and self._stapler.poll():
            stale = self._entries
        found: list[tuple[str, Material]] = []
        for name, entry in stale.items():
            dressed = self._dressed(entry)
            if dressed is not None and dressed != entry.given:
                entry.given = dressed
                found.append((name, dressed))
        return found

    def close(self) -> None:
        """End what runs for this vault."""
        if self._stapler is not None:
            self._stapler.close()

    def _has_new(self, name: str) -> bool:
        """Whether there is something new, and good, on disk."""
        entry = self._entries[name]
        if not self._is_changed(name, entry):
            return False
        before = entry.material
        try:
            self._read(name, entry)
        except ConfigError as error:
            self._complain(name, entry, error)
            return False
        if entry.material == before:
            return False
        log.info("%s: new certificate", name)
        return True

    def _dressed(self, entry: _Entry) -> Material | None:
        if entry.material is None or self._stapler is None:
            return entry.material
        return self._stapler.dress(entry.material)

    def _to_look_at(self) -> Iterable[str]:
        """All names, or a part of them where they are many and the folder is as it was."""
        names = list(self._entries)
        if len(names) <= MAX_LOOKS:
            return names
        stamp = None if self._options.sni_dir is None else _stamp(self._options.sni_dir)
        if stamp != self._folder_stamp:  # files were replaced, not written over
            self._folder_stamp = stamp
            return names
        start = self._next_look if self._next_look < len(names) else 0
        self._next_look = start + MAX_LOOKS
        named = [name for name in self._fixed if name in self._entries]
        return dict.fromkeys([*named, *names[start : self._next_look]])

    def _is_changed(self, name: str, entry: _Entry) -> bool:
        return entry.young or entry.stamps != {path: _stamp(path) for path in self._paths(name)}

    def _paths(self, name: str) -> list[str]:
        identity = self._fixed.get(name)
        if identity is not None:
            return paths(identity)
        base = os.path.join(self._options.sni_dir or "", name)
        return [base + end for end in ENDS]

    def _read(self, name: str, entry: _Entry) -> None:
        # Stamps first: what is written while we read is seen as a change next time.
        now = self._now()
        entry.stamps = {path: _stamp(path) for path in self._paths(name)}
        youngest = max((stamp[0] for stamp in entry.stamps.values() if stamp), default=0)
        entry.young = now.timestamp() - youngest / 1e9 < SETTLED_SECONDS
        identity = entry.identity or self._in_folder(name)
        opened = open_identity(identity, self._password, now)
        entry.complaint = ""
        material = Material(
            pairs=tuple(Pair(chain=one.chain_pem, key=one.key_pem) for one in opened.pairs),
            ciphers=identity.ciphers,
            client_ca=opened.client_ca,
            client_required=identity.client_required,
        )
        # What the options name was looked at when they were read.
        if material != entry.material and (entry.material is not None or name not in self._fixed):
            for pair in opened.pairs:
                for warning in pair.warnings:
                    log.warning("%s: %s", name, warning)
        entry.material = material

    def _complain(self, name: str, entry: _Entry, error: ConfigError) -> None:
        if entry.young or entry.complaint == str(error):
            return
        entry.complaint = str(error)
        stays = "" if entry.material is None else "; what was served before stays"
        log.error("%s: %s%s", name, error, stays)

    def _is_in_folder(self, name: str) -> bool:
        """Whether sni-dir has a certificate for a name, which comes from a client."""
        folder = self._options.sni_dir
        if folder is None or server_name(name) != name:
            return False
        return os.path.exists(os.path.join(folder, f"{name}.crt"))

    def _in_folder(self, name: str) -> Identity:
        base = os.path.join(self._options.sni_dir or "", name)
        ends = [end for end in ("", SECOND) if not end or os.path.exists(f"{base}{end}.crt")]
        return Identity(
            certificate=tuple(f"{base}{end}.crt" for end in ends),
            key=tuple(f"{base}{end}.key" for end in ends),
            ciphers=self._options.sni_dir_ciphers,
            client_ca=f"{base}.ca" if os.path.exists(f"{base}.ca") else None,
        )


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
