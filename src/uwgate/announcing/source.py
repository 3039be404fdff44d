"""One value of subscribe-to or subscribe2, and the names that it stands for now."""

from __future__ import annotations

import logging
import os
from dataclasses import replace

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.announcement import Announcement, Value
from uwgate.subscriptions.spec import read_keys

log = logging.getLogger("uwgate.announce")

MAX_FILE = 1 << 20  # bytes of an @FILE
MAX_KEYS = 10_000  # of an @FILE; each costs a datagram every few seconds


class Source:
    """``pattern`` is the announcement of the value. Of an ``@FILE`` it is that of every line.

    ``is_own``: the server belongs to this very instance. ``legion``: only its lord announces;
    empty: every node does.
    """

    def __init__(
        self,
        value: Value,
        pattern: Announcement,
        *,
        chdir: str | None,
        modifier1: int | None,
        is_own: bool = False,
        legion: str = "",
    ) -> None:
        self.pattern = pattern
        self.is_own = is_own
        self.legion = legion
        self._value = value
        self._modifier1 = modifier1  # of all announcements, whatever a line says
        self._file = os.path.join(chdir or "", value.subscription.file)
        self._check = os.path.join(chdir or "", value.subscription.check)
        self._read: list[Announcement] = []  # the last good reading of the file
        self._trouble = ""

    @property
    def origin(self) -> str:
        """What the announcements of this source have as theirs."""
        return self.pattern.origin

    @property
    def is_held(self) -> bool:
        """Whether the file of ``check=`` is there: then nothing is said, not even goodbye."""
        return bool(self._value.subscription.check) and os.access(self._check, os.R_OK)

    def announcements(self) -> list[Announcement] | None:
        """What is to be announced; None: nothing is to be said this time.

        That is so without the file. A file that cannot be used leaves what it said before in
        force. A name has to be missing twice in a row, since a file may be read while it is
        being written.
        """
        if not self._value.subscription.file:
            return [self.pattern]
        try:
            found = self._read_file()
        except FileNotFoundError as error:
            self._note(f"{self._file}: {error.strerror}; nothing is announced")
            return None
        except (OSError, ConfigError, UnicodeDecodeError) as error:
            self._note(f"{error}; what it said before stays")
            return self._read
        self._note("")
        before, self._read = self._read, found
        told = {one.ident: one for one in (*before, *found)}
        return list(told.values())

    def _read_file(self) -> list[Announcement]:
        with open(self._file, "rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError(f"{self._file}: more than {MAX_FILE} bytes")
        name = self._value.subscription.file
        found: list[Announcement] = []
        for key, modifier1 in read_keys(self._value.option, name, data.decode()):
            if len(found) == MAX_KEYS:
                raise ConfigError(f"{self._file}: more than {MAX_KEYS} names")
            packet = replace(self.pattern.packet, key=key)
            if self._modifier1 is None and modifier1 is not None:
                packet = replace(packet, modifier1=modifier1)
            found.append(replace(self.pattern, packet=packet))
        return found

    def _note(self, trouble: str) -> None:
        """Log what is wrong with the file, once."""
        if trouble and trouble != self._trouble:
            log.warning("%s: %s", self._value, trouble)
        elif self._trouble and not trouble:
            log.info("%s: the file can be read again", self._value)
        self._trouble = trouble
