"""Certificates that nodes bring (spec/subscriptions.md section 9): which name has which.

Several keys may have one server name (``k.com`` and ``k.com:8000``): its certificate goes with the
last of them. uWSGI looks it up by the whole key then, and never drops one with a port.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from uwgate.subscriptions.change import Change, SniBrought, SniGone, SniPaths
from uwgate.subscriptions.packet import Packet


def server_name(key: str) -> str:
    """The TLS server name of a key: what stands before a port or a mountpoint."""
    return key.partition("/")[0].partition(":")[0]


def paths_of(packet: Packet) -> SniPaths | None:
    """What a packet brings; None unless it has both a key and a certificate."""
    if not packet.sni_key or not packet.sni_crt:
        return None
    return SniPaths(key=packet.sni_key, crt=packet.sni_crt, ca=packet.sni_ca)


def are_within(paths: SniPaths, folders: Sequence[str]) -> bool:
    """Whether all files are below one of these folders, as far as their names say.

    Whoever opens them still has to see to symbolic links.
    """
    names = (paths.key, paths.crt, paths.ca.removeprefix("!"))
    return all(not name or _is_below(name, folders) for name in names)


def _is_below(name: str, folders: Sequence[str]) -> bool:
    if not name.startswith("/") or ".." in name.split("/"):
        return False
    return any(name.startswith(posixpath.normpath(folder).rstrip("/") + "/") for folder in folders)


class SniTable:
    """For each server name: what its keys brought, and who brought it."""

    def __init__(self) -> None:
        # server name -> key -> (paths, name of the node); the first key decides
        self._names: dict[str, dict[str, tuple[SniPaths, str]]] = {}

    def bring(self, key: str, node: str, paths: SniPaths) -> list[Change]:
        """A node of a key brings a certificate. The node that was first decides."""
        name = server_name(key)
        before = self.find(name)
        keys = self._names.setdefault(name, {})
        known = keys.get(key)
        if known is not None and known[1] not in ("", node):
            return []
        keys[key] = (paths, node)
        after = self.find(name)
        return [SniBrought(name, after)] if after is not None and after != before else []

    def put(self, key: str, node: str, paths: SniPaths) -> list[Change]:
        """Take over what another process has for a key, whoever was first here."""
        name = server_name(key)
        before = self.find(name)
        self._names.setdefault(name, {})[key] = (paths, node)
        after = self.find(name)
        return [SniBrought(name, after)] if after is not None and after != before else []

    def leave(self, key: str, node: str) -> None:
        """A node went, others of its key remain: the next one that brings something decides."""
        keys = self._names.get(server_name(key), {})
        if key in keys and keys[key][1] == node:
            keys[key] = (keys[key][0], "")

    def drop(self, key: str) -> list[Change]:
        """The last node of a key went."""
        name = server_name(key)
        before = self.find(name)
        keys = self._names.get(name, {})
        keys.pop(key, None)
        if before is None:
            return []
        after = self.find(name)
        if after is None:
            self._names.pop(name, None)
            return [SniGone(name)]
        return [SniBrought(name, after)] if after != before else []

    def find(self, name: str) -> SniPaths | None:
        """The certificate of a server name."""
        for paths, _ in self._names.get(name, {}).values():
            return paths
        return None

    def of(self, key: str) -> tuple[SniPaths, str] | None:
        """What the nodes of a key brought, and which of them it was."""
        return self._names.get(server_name(key), {}).get(key)
