"""The folder of an instance's caches: in memory, made by the master, gone when the instance is.

    FOLDER/uwgate-caches-RANDOM/   the master's; others may pass through it, not look into it
        lock                       locked as long as the master lives
        RANDOM/                    the instance user's, with the files of the caches

What a master that was killed has left behind is removed by the next one of the same user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile

from uwgate.conf.errors import ConfigError
from uwgate.conf.privileges import find_group, find_user
from uwgate.conf.settings import Settings

MEMORY = "/dev/shm"
PREFIX = "uwgate-caches-"
LOCK = "lock"


class CacheFolder:
    """``path`` is None until there is a use for it."""

    def __init__(self) -> None:
        self.path: str | None = None
        self._outer: str | None = None
        self._lock = -1

    def of(self, settings: Settings) -> str | None:
        """The folder, for those who have caches."""
        return self.path if settings.caches else None

    def provide(self, settings: Settings) -> None:
        """Make the folder if these settings need it and it is not there yet.

        Raises:
            ConfigError: it cannot be made.
        """
        if not settings.caches or self.path is not None:
            return
        parent = settings.cache.cache_folder or _memory()
        try:
            sweep(parent)
            self._make(parent, settings)
        except OSError as error:
            self.remove()
            raise ConfigError(f"cache-folder = {parent}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove it with all that is in it."""
        if self._outer is not None:
            shutil.rmtree(self._outer, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
        self.path, self._outer, self._lock = None, None, -1

    def _make(self, parent: str, settings: Settings) -> None:
        self._outer = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        self._lock = os.open(
            os.path.join(self._outer, LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        inner = os.path.join(self._outer, secrets.token_hex(16))
        several = settings.has_several_users
        os.mkdir(inner)
        os.chmod(inner, 0o711 if several else 0o700)
        os.chmod(self._outer, 0o711)
        master = settings.master
        user = -1 if master.uid is None else find_user(master.uid)
        group = -1 if master.gid is None else find_group(master.gid)
        if os.geteuid() == 0 and (user, group) != (-1, -1):
            os.chown(inner, user, group)
        self.path = inner


def sweep(parent: str) -> None:
    """Remove what masters of this user have left behind that were killed."""
    with os.scandir(parent) as entries:
        found = [
            entry.path
            for entry in entries
            if entry.name.startswith(PREFIX)
            and entry.is_dir(follow_symlinks=False)
            and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
        ]
    for path in found:
        with contextlib.suppress(OSError):
            lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _memory() -> str:
    if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK | os.X_OK):
        return MEMORY
    return tempfile.gettempdir()
