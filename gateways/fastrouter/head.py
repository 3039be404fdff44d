"""What a uwsgi packet says about where it wants to go."""

from __future__ import annotations

from typing import NamedTuple

from uwgate.conf.settings import Settings
from uwgate.gateways.corerouter.target import Asked
from uwgate.gateways.wire.uwsgi_scan import Scanner

MAX_KEY = 255  # bytes (spec/subscriptions.md section 2.2)
MAX_DIGITS = 18  # of a Content-Length; our workers read no more than those
# In this order (spec/gateways.md section 6).
KEY_NAMES = (b"UWSGI_FASTROUTER_KEY", b"HTTP_HOST", b"SERVER_NAME")
# With these the connection may bring bytes of which no Content-Length tells.
UNBOUNDED = (b"HTTP_TRANSFER_ENCODING", b"HTTP_UPGRADE")


class Head(NamedTuple):
    """``asked`` has an empty key if the packet names none.

    ``length`` is that of the body; None if it is not known.
    """

    asked: Asked
    length: int | None

    def missing(self, received: int) -> int | None:
        """Bytes of the body that are still to come after ``received``; None if not known."""
        return None if self.length is None else max(0, self.length - received)


class HeadReader:
    """Reads the heads of all packets of a process."""

    def __init__(self, settings: Settings) -> None:
        names = {*KEY_NAMES, *UNBOUNDED, b"CONTENT_LENGTH", b"REMOTE_ADDR"}
        self._has_paths = bool(settings.subscriptions.subscription_mountpoints)
        if self._has_paths:
            names.add(b"PATH_INFO")
        self._scan = Scanner(names).scan
        self._forced = settings.fastrouter.fastrouter_force_key

    def read(self, data: bytes, end: int) -> Head:
        """The head of the packet ``data[:end]``, which is complete.

        Raises:
            PacketError: its block is malformed.
        """
        found = self._scan(data, 4, end)
        key = self._forced
        if key is None:
            key = _key(found)
        path = found.get(b"PATH_INFO", b"").decode(errors="replace") if self._has_paths else ""
        client = found.get(b"REMOTE_ADDR", b"")
        return Head(Asked(key, path, client), _length(found))


def _key(found: dict[bytes, bytes]) -> str:
    """The first that there is; empty if there is none, or one that is no text."""
    for name in KEY_NAMES:
        if value := found.get(name):
            key = value[:MAX_KEY].decode(errors="surrogateescape")
            return key if key.isprintable() else ""
    return ""


def _length(found: dict[bytes, bytes]) -> int | None:
    for name in UNBOUNDED:
        if found.get(name):
            return None
    text = found.get(b"CONTENT_LENGTH")
    if not text:
        return 0
    if not text.isdigit() or len(text) > MAX_DIGITS:
        return None
    return int(text)
