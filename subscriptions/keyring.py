"""Public keys, one file for each name: ``subscriptions-sign-check = SCHEME:FOLDER``."""

from __future__ import annotations

import os
import re

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.signature import PublicKey, Scheme, load_public_key

UNSAFE = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
MAX_FILE = 64 * 1024  # bytes of a key file
MAX_CACHED = 100_000
CLOCK_RESOLUTION = 2.0  # seconds; the coarsest that file systems have


def file_name(key: str) -> str:
    """The name of the file with the public key of a name (spec/subscriptions.md section 7).

    Every byte outside of ``[A-Za-z0-9._-]`` becomes ``_``. Of a name with a mountpoint only
    the host counts (section 13).
    """
    host = key.partition("/")[0].encode().decode("latin-1")  # a character for each byte
    return UNSAFE.sub("_", host) + ".pem"


class KeyFolder:
    """Reads keys when they are asked for, and again when their file has changed."""

    def __init__(self, folder: str, scheme: Scheme) -> None:
        self.folder = folder
        self.scheme = scheme
        self._names: frozenset[str] | None = None  # the files that there are; None: not looked
        self._changed_at = 0.0  # since 1970; when the folder last was, as far as we know
        self._read: dict[str, tuple[tuple[int, int, int], PublicKey]] = {}

    def look(self, now: float) -> None:
        """See which files there are; until the next look a name without one costs nothing.

        ``now`` is seconds since 1970. Without a first look every name is looked for.
        """
        try:
            changed_at = os.stat(self.folder).st_mtime
            # What changes twice within the resolution of the file system's clock shows once.
            if changed_at != self._changed_at or changed_at > now - CLOCK_RESOLUTION:
                self._names = frozenset(os.listdir(self.folder))
            self._changed_at = changed_at
        except OSError:
            self._names = None

    def __call__(self, key: str) -> PublicKey:
        """The public key of a name.

        Raises:
            Refused: there is no file for it, or no usable key in the file.
        """
        name = file_name(key)
        path = os.path.join(self.folder, name)
        if self._names is not None and name not in self._names:
            raise Refused(Refusal.NO_PUBLIC_KEY, f"{key}: there is no {path}")
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                version = (status.st_ino, status.st_mtime_ns, status.st_size)
                known = self._read.get(path)
                if known is not None and known[0] == version:
                    return known[1]
                pem = file.read(MAX_FILE)
            loaded = load_public_key(pem, self.scheme)
        except (OSError, ConfigError) as error:
            self._read.pop(path, None)
            raise Refused(Refusal.NO_PUBLIC_KEY, f"{key}: {path}: {error}") from error
        if len(self._read) < MAX_CACHED:
            self._read[path] = (version, loaded)
        return loaded
