"""Until when a rule lets a request run (``harakiri``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from uwgate.conf.errors import BackendTimeout


class Deadline:
    """None at first: as long as the gateway's own time-outs allow."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at: float | None = None  # trio's clock

    def set(self, seconds: float) -> None:
        """So many seconds from now."""
        self.at = trio.current_time() + seconds

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Everything in the block ends by then.

        Raises:
            BackendTimeout: it did not.
        """
        if self.at is None:
            yield
            return
        try:
            with trio.fail_at(self.at):
                yield
        except trio.TooSlowError:
            raise BackendTimeout("rules", "longer than a rule allows", sent=True) from None
