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
        self._read: dict[str, tuple[tuple[int, int, int], PublicKey]] = {}

    def __call__(self, key: str) -> PublicKey:
        """The public key of a name.

        Raises:
            Refused: there is no file for it, or no usable key in the file.
        """
        path = os.path.join(self.folder, file_name(key))
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
