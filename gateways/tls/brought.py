"""Certificates that nodes bring with their announcements (spec/subscriptions.md section 9).

Their files are read by the gateway itself, with the privileges that it has left, in a thread. A
bad one is logged, and tried again as long as its node is there; one that has changed
is loaded anew.
"""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from uwgate.conf import tls
from uwgate.conf.errors import ConfigError
from uwgate.conf.identities import open_identity
from uwgate.conf.tls import Identity
from uwgate.gateways.tls.material import Material, Pair
from uwgate.gateways.tls.ring import Held, Ring
from uwgate.subscriptions.change import SniBrought, SniGone, SniPaths
from uwgate.subscriptions.sni import are_within

log = logging.getLogger("uwgate.tls")

LOOK_INTERVAL = 10.0  # seconds between two looks at the files; as often nodes announce themselves

Stamps = tuple[tuple[int, int, int] | None, ...]  # mtime in ns, size, inode; None: no file


@dataclass(slots=True)
class _Brought:
    """What a name has. ``stamps`` are those of the files when they were read last, None: never.

    ``complaint`` is what was logged last.
    """

    paths: SniPaths
    stamps: Stamps | None = None
    is_good: bool = False
    complaint: str = ""


class BroughtCertificates:
    """Puts into a ring what nodes bring, and takes it out when the last of them goes.

    ``folders``: what lies in one of them by its name must also do so when symbolic links
    have been followed.
    """

    def __init__(
        self,
        ring: Ring,
        ciphers: str | None,
        folders: Sequence[str],
        *,
        interval: float = LOOK_INTERVAL,
    ) -> None:
        self._interval = interval
        self._ring = ring
        self._ciphers = ciphers
        self._folders = [os.path.abspath(folder) for folder in folders]
        self._names: dict[str, _Brought] = {}
        self._due: dict[str, None] = {}  # names to be looked at, in order
        self._called = trio.Event()

    def change(self, change: SniBrought | SniGone) -> None:
        """Do what a table says; at once for what goes."""
        name = change.name.lower()
        if isinstance(change, SniGone):
            self._names.pop(name, None)
            self._due.pop(name, None)
            self._ring.drop(name)
            return
        if tls.server_name(name.removeprefix(".")) is None:
            log.error("%s brings a certificate, but is no server name", name)
            return
        self._names[name] = _Brought(change.paths)
        self._due[name] = None
        self._called.set()

    async def run(self) -> None:
        """Load what there is to load until cancelled."""
        while True:
            while self._due:
                name = next(iter(self._due))
                del self._due[name]
                await self._load(name, self._names[name])
            self._called = trio.Event()
            with trio.move_on_after(self._interval):
                await self._called.wait()
            if not self._called.is_set():
                held = list(self._names.items())
                changed = await trio.to_thread.run_sync(_changed, held, abandon_on_cancel=True)
                self._due |= {name: None for name in changed if name in self._names}

    async def _load(self, name: str, brought: _Brought) -> None:
        try:
            found = await trio.to_thread.run_sync(self._read, brought, abandon_on_cancel=True)
        except ConfigError as error:
            if str(error) != brought.complaint:
                stays = "; what was served before stays" if brought.is_good else ""
                log.error("%s: %s%s", name, error, stays)
            brought.complaint = str(error)
            return
        if self._names.get(name) is not brought:  # it has changed meanwhile
            return
        log.info("%s: certificate of its nodes", name)
        brought.is_good = True
        brought.complaint = ""
        self._ring.bring(name, *found)

    def _read(self, brought: _Brought) -> tuple[Material, Held]:
        """What the files hold. Runs in a thread.

        Raises:
            ConfigError: they cannot be served.
        """
        identity = self._identity(brought.paths)
        brought.stamps = _stamps(brought.paths)
        opened = open_identity(identity, None, datetime.datetime.now(datetime.UTC))
        material = Material(
            pairs=tuple(Pair(chain=one.chain_pem, key=one.key_pem) for one in opened.pairs),
            ciphers=identity.ciphers,
            client_ca=opened.client_ca,
            client_required=identity.client_required,
        )
        return material, self._ring.prepare(material)

    def _identity(self, brought: SniPaths) -> Identity:
        client_ca = brought.ca.removeprefix("!")
        names = [one for one in (brought.crt, brought.key, client_ca) if one]
        for path in names:
            if not path.startswith("/"):
                raise ConfigError(f"{path!r} is no absolute path")
            if not os.path.isfile(path):  # a pipe would make us wait
                raise ConfigError(f"{path}: no such file")
        if self._folders and are_within(brought, self._folders):
            real = SniPaths(*(os.path.realpath(path) if path else "" for path in _all(brought)))
            if not are_within(real, [os.path.realpath(folder) for folder in self._folders]):
                raise ConfigError(f"{brought.crt}: a link leads out of subscription-sni-folder")
        return Identity(
            certificate=(brought.crt,),
            key=(brought.key,),
            ciphers=self._ciphers,
            client_ca=client_ca or None,
            client_required=brought.ca.startswith("!"),
        )


def _changed(names: Sequence[tuple[str, _Brought]]) -> list[str]:
    """Those whose files are not as they were, and those that were no good."""
    return [
        name
        for name, brought in names
        if not brought.is_good or brought.stamps != _stamps(brought.paths)
    ]


def _stamps(brought: SniPaths) -> Stamps:
    return tuple(_stamp(path) for path in _all(brought))


def _all(brought: SniPaths) -> tuple[str, str, str]:
    return brought.key, brought.crt, brought.ca.removeprefix("!")


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
