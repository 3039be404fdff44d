"""What a uwsgi packet says about where it wants to go."""

from __future__ import annotations

from typing import Final

from uwgate.conf.settings import Settings
from uwgate.gateways.corerouter.target import Asked
from uwgate.gateways.wire.uwsgi_scan import Scanner

MAX_KEY: Final = 255  # bytes (spec/subscriptions.md section 2.2)
MAX_DIGITS: Final = 18  # of a Content-Length; our workers read no more than those
MAX_KNOWN: Final = 4096  # keys that are kept as text
NAMES = frozenset(
    (
        b"UWSGI_FASTROUTER_KEY",
        b"HTTP_HOST",
        b"SERVER_NAME",
        b"HTTP_TRANSFER_ENCODING",
        b"HTTP_UPGRADE",
        b"CONTENT_LENGTH",
        b"REMOTE_ADDR",
    )
)


class Head:
    """``asked`` has an empty key if the packet names none.

    ``length`` is that of the body; None if it is not known.
    """

    __slots__ = ("asked", "length")

    def __init__(self, asked: Asked, length: int | None) -> None:
        self.asked = asked
        self.length = length

    def missing(self, received: int) -> int | None:
        """Bytes of the body that are still to come after ``received``; None if not known."""
        return None if self.length is None else max(0, self.length - received)


class HeadReader:
    """Reads the heads of all packets of a process."""

    def __init__(self, settings: Settings) -> None:
        self._has_paths = bool(settings.subscriptions.subscription_mountpoints)
        names = NAMES | {b"PATH_INFO"} if self._has_paths else NAMES
        self._scanner = Scanner(names)
        self._known: dict[bytes, str] = {}  # keys as text
        self._forced = settings.fastrouter.fastrouter_force_key

    def read(self, data: bytes, end: int) -> Head:
        """The head of the packet ``data[:end]``, which is complete.

        Raises:
            PacketError: its block is malformed.
        """
        found = self._scanner.scan(data, 4, end)
        key = self._forced
        if key is None:
            key = self._key(found)
        path = ""
        if self._has_paths:
            path = found.get(b"PATH_INFO", b"").decode(errors="surrogateescape")
        client = found.get(b"REMOTE_ADDR", b"")
        return Head(Asked(key, path, client), _length(found))

    def _key(self, found: dict[bytes, bytes]) -> str:
        """The first that there is (spec/gateways.md section 6); empty if there is none."""
        value = (
            found.get(b"UWSGI_FASTROUTER_KEY")
            or found.get(b"HTTP_HOST")
            or found.get(b"SERVER_NAME")
        )
        if not value:
            return ""
        if len(value) > MAX_KEY:
            value = value[:MAX_KEY]
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[value] = known = _text(value)
        return known


def _text(value: bytes) -> str:
    """A key as text; empty if it is none."""
    key = value.decode(errors="surrogateescape")
    return key if key.isprintable() else ""


def _length(found: dict[bytes, bytes]) -> int | None:
    # With these the connection may bring bytes of which no Content-Length tells.
    if found.get(b"HTTP_TRANSFER_ENCODING") or found.get(b"HTTP_UPGRADE"):
        return None
    text = found.get(b"CONTENT_LENGTH")
    if not text:
        return 0
    if not text.isdigit() or len(text) > MAX_DIGITS:
        return None
    return int(text)
