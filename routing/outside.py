"""What rules can ask of the world, answered at once by whoever runs them.

``Outside`` itself knows nothing: no file exists, no metric, no cache. A caller overrides what
it has. Answers that take waiting are questions instead (``results.Ask``).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uwgate.routing.results import ApplyStylesheet, Cached


class Later(enum.Enum):
    """Instead of an answer: it takes waiting, and has to be asked."""

    LATER = "ask"


LATER: Final = Later.LATER


class FileTest(enum.Enum):
    """What a condition asks of a path. All but LINK follow symbolic links."""

    EXISTS = "exists"
    FILE = "isfile"
    DIRECTORY = "isdir"
    LINK = "islink"
    EXECUTABLE = "isexec"


@dataclass(frozen=True, slots=True)
class Person:
    """Who the worker is: figures of ``${uwsgi[...]}`` that do not change in a request."""

    worker: int = 0
    pid: int = 0


class Outside:
    """A world without anything in it, at the beginning of time."""

    person = Person()

    def now(self) -> float:
        """Seconds since the epoch."""
        return 0.0

    def new_uuid(self) -> bytes:
        """A random UUID as text."""
        return b"00000000-0000-4000-8000-000000000000"

    def choose(self, count: int) -> int:
        """A random number below ``count``."""
        del count
        return 0

    def turn(self, count: int) -> int:
        """0, 1, ... ``count``, and 0 again: one further at each call."""
        del count
        return 0

    def listen_queue(self) -> int:
        """How many connections wait to be accepted."""
        return 0

    def check_file(self, path: bytes, test: FileTest) -> bool:
        """Whether the path is such a thing for the user of this process."""
        del path, test
        return False

    def modified(self, path: bytes) -> float | None:
        """When a file was changed, in seconds since the epoch; None if it is not there."""
        del path
        return None

    def attribute(self, path: bytes, name: bytes) -> bytes:
        """An extended attribute of a file; empty if it has none."""
        del path, name
        return b""

    def mime_type(self, name: bytes) -> bytes:
        """The type by a file name's extension; empty if it is unknown."""
        del name
        return b""

    def place_of(self, address: bytes, field: bytes) -> bytes:
        """A field of a geographical database; empty if there is no such thing."""
        del address, field
        return b""

    def metric(self, name: bytes) -> int | None:
        """The value of a metric; None if there is none of that name."""
        del name
        return None

    def is_lord(self, legion: bytes) -> bool:
        """Whether this node is lord of a legion."""
        del legion
        return False

    def look_up(self, name: bytes, key: bytes) -> Cached | Later | None:
        """What a cache has; None: it has no such item. LATER: only a ``CacheGet`` finds out."""
        del name, key
        return LATER

    def transform(self, wanted: ApplyStylesheet) -> bytes | str:
        """What comes out, or a text that says why nothing does. May take seconds."""
        del wanted
        return "nobody transforms documents here"

    def in_cache(self, name: bytes, key: bytes) -> bool:
        """Whether a cache has an item. ``name`` empty: the default cache."""
        del name, key
        return False


FILE_TESTS = {test.value: test for test in FileTest}
