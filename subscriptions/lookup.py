"""Under which keys a request is looked up, in order (spec/subscriptions.md sections 12, 13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

DOTSPLIT_TRIES = 5  # as uWSGI: the name itself, and at most four suffixes
MAX_KEY = 255  # bytes, with its mountpoint; a longer one is looked up without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The rules of one gateway.

    ``dotsplit``: suffixes with their leading dot follow the name. ``mountpoints``: how many
    parts of the path may belong to a key; the longest is tried first. ``fallback``: the last
    key to try; uWSGI forgets it with ``dotsplit``. ``fold_case``: names are compared without
    regard to case, which uWSGI does not. ``strip_port``: ``host:port`` is also looked up
    as ``host``.
    """

    dotsplit: bool = False
    mountpoints: int = 0
    fallback: str = ""
    fold_case: bool = True
    strip_port: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the name itself is all there is to try."""
        return not (self.dotsplit or self.mountpoints or self.fallback or self.strip_port)

    def normal(self, key: str) -> str:
        """The form in which a key is kept. ``*.ex.com`` is another way to write ``.ex.com``."""
        if key.startswith("*."):
            key = key[1:]
        if not self.fold_case:
            return key
        if not self.mountpoints:
            return key.lower()
        host, slash, mount = key.partition("/")
        return f"{host.lower()}{slash}{mount}"

    def candidates(self, name: str, path: str = "") -> Iterator[str]:
        """The keys for a name, the first with a live node wins."""
        name = name.lower() if self.fold_case else name
        mounts = self._mounts(path)
        for host in self._hosts(name):
            for mount in mounts:
                key = f"{host}{mount}"
                if not mount or len(key.encode(errors="surrogateescape")) <= MAX_KEY:
                    yield key
        if self.fallback:
            yield self.normal(self.fallback)

    def _hosts(self, name: str) -> Iterator[str]:
        host, colon, port = name.rpartition(":")
        is_port = bool(colon) and port.isascii() and port.isdigit()
        for one in (name, host) if self.strip_port and is_port else (name,):
            yield from self._suffixes(one)

    def _suffixes(self, name: str) -> Iterator[str]:
        yield name
        if self.dotsplit:
            for _ in range(DOTSPLIT_TRIES - 1):
                dot = name.find(".", 1)
                if dot < 0:
                    return
                name = name[dot:]
                yield name

    def _mounts(self, path: str) -> list[str]:
        """``/a/b/c`` with two mountpoints: ``/a/b``, ``/a`` and none."""
        if not self.mountpoints or not path.startswith("/"):
            return [""]
        parts = path.split("/")[1 : self.mountpoints + 1]
        if "" in parts:  # the end of "/a/", or nothing at all
            parts = parts[: parts.index("")]
        return [f"/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)] + [""]
