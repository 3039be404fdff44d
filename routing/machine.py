"""The machine that rules run on, for their ``Outside``: its clock, its files, chance.

The one module of this folder that asks an operating system for anything.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import uuid
from collections.abc import Callable

from uwgate.conf.metric_file import Metrics
from uwgate.routing.effects import ChangeMetric
from uwgate.routing.outside import FileTest, Outside
from uwgate.routing.places import Places
from uwgate.routing.results import ApplyStylesheet, Expertise, Failed, Reply


class Machine(Outside):
    """What every process knows. Turns are counted by each for itself.

    ``places``: where addresses are, None: nobody knows. ``metrics`` are those of the instance.
    ``ask``: answers questions by libraries, None: there are none of these.
    """

    def __init__(
        self,
        places: Places | None = None,
        metrics: Metrics | None = None,
        ask: Callable[[Expertise], Reply] | None = None,
    ) -> None:
        self.metrics = metrics or Metrics()
        self._turn = 0
        self._ask = ask
        self._places = places

    def place_of(self, address: bytes, field: bytes) -> bytes:
        """See Outside."""
        return b"" if self._places is None else self._places.field(address, field)

    def transform(self, wanted: ApplyStylesheet) -> bytes | str:
        """See Outside."""
        if self._ask is None:
            return super().transform(wanted)
        reply = self._ask(wanted)
        if isinstance(reply, bytes):
            return reply
        return reply.reason if isinstance(reply, Failed) else "there is no answer"

    def metric(self, name: bytes) -> int | None:
        """See Outside."""
        return self.metrics.get(name.decode("latin-1"))

    def change_metric(self, change: ChangeMetric) -> bool:
        """Calculate with a metric; False if that is not possible.

        Raises:
            OSError: somebody has closed the descriptor.
        """
        name = change.name.decode("latin-1")
        return self.metrics.change(name, change.sum.value, change.amount)

    def now(self) -> float:
        """See Outside."""
        return time.time()

    def new_uuid(self) -> bytes:
        """See Outside."""
        return str(uuid.uuid4()).encode()

    def choose(self, count: int) -> int:
        """See Outside."""
        return random.randrange(count)

    def turn(self, count: int) -> int:
        """See Outside."""
        now = self._turn
        self._turn = 0 if now >= count else now + 1
        return now

    def check_file(self, path: bytes, test: FileTest) -> bool:
        """See Outside."""
        if b"\0" in path:
            return False
        match test:
            case FileTest.EXISTS:
                return os.path.exists(path)
            case FileTest.FILE:
                return os.path.isfile(path)
            case FileTest.DIRECTORY:
                return os.path.isdir(path)
            case FileTest.LINK:
                return os.path.islink(path)
            case FileTest.EXECUTABLE:
                return os.access(path, os.X_OK)

    def modified(self, path: bytes) -> float | None:
        """See Outside."""
        with contextlib.suppress(OSError, ValueError):
            return os.stat(path).st_mtime
        return None

    def attribute(self, path: bytes, name: bytes) -> bytes:
        """See Outside."""
        with contextlib.suppress(OSError, ValueError):
            return os.getxattr(path, name)
        return b""
