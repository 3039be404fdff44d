"""What a uwsgi packet says about where it wants to go."""

from __future__ import annotations

from typing import Final

from uwgate.conf.settings import Settings
from uwgate.gateways.corerouter.target import Asked
from uwgate.gateways.wire.uwsgi_scan import Scanner

MAX_KEY: Final = 255  # bytes (spec/subscriptions.md section 2.2)
MAX_DIGITS: Final = 18  # of a Content-Length; our workers read no more than those
MAX_KNOWN: Final = 4096  # keys that are kept as text
NAMES: Final = (
    b"UWSGI_FASTROUTER_KEY",
    b"HTTP_HOST",
    b"SERVER_NAME",
    b"HTTP_TRANSFER_ENCODING",
    b"HTTP_UPGRADE",
    b"CONTENT_LENGTH",
    b"REMOTE_ADDR",
    b"PATH_INFO",
)
# Their places.
KEY: Final = 0
HOST: Final = 1
SERVER: Final = 2
ENCODING: Final = 3
UPGRADE: Final = 4
LENGTH: Final = 5
CLIENT: Final = 6
PATH: Final = 7


class Head(Asked):
    """The key is empty if the packet names none.

    ``length`` is that of the body; None if it is not known.
    """

    __slots__ = ("length",)

    def __init__(self, key: str, path: str, client: bytes, length: int | None) -> None:
        Asked.__init__(self, key, path, client)  # for every request: super() takes its time
        self.length = length

    def missing(self, received: int) -> int | None:
        """Bytes of the body that are still to come after ``received``; None if not known."""
        length = self.length
        if length is None:
            return None
        return length - received if length > received else 0


class HeadReader:
    """Reads the heads of all packets of a process."""

    def __init__(self, settings: Settings) -> None:
        self._has_paths = bool(settings.subscriptions.subscription_mountpoints)
        self._scanner = Scanner(NAMES if self._has_paths else NAMES[:PATH])
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
            # The first that there is (spec/gateways.md section 6).
            value = found[KEY] or found[HOST] or found[SERVER]
            key = self._text(value) if value else ""
        path = ""
        if self._has_paths:
            path = (found[PATH] or b"").decode(errors="surrogateescape")
        return Head(key, path, found[CLIENT] or b"", _length(found))

    def _text(self, value: bytes) -> str:
        """A key as text; empty if it is none."""
        if len(value) > MAX_KEY:
            value = value[:MAX_KEY]
        key = self._known.get(value)
        if key is None:
            key = value.decode(errors="surrogateescape")
            if not key.isprintable():
                key = ""
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[value] = key
        return key


def _length(found: list[bytes | None]) -> int | None:
    # With these the connection may bring bytes of which no Content-Length tells.
    if found[ENCODING] or found[UPGRADE]:
        return None
    text = found[LENGTH]
    if not text:
        return 0
    if not text.isdigit() or len(text) > MAX_DIGITS:
        return None
    return int(text)
