"""The response of an application about which no rule has anything to say.

Most requests of a worker that has static maps, and nothing else, are such: all that has to be
seen is whether the application names a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwgate.gateways.wire.lease import NAMES_FILE
from uwgate.workers.rules.visit import Visit

if TYPE_CHECKING:
    from uwgate.workers.body import Body
    from uwgate.workers.environ import Environ
    from uwgate.workers.rules.outlet import Way
    from uwgate.workers.rules.policy import Policy
    from uwgate.workers.slot import Slot
    from uwgate.workers.wsgi import Response


class Lookout:
    """A ``wsgi.Output`` that becomes a ``Visit`` when it has to; till then bytes pass by."""

    scheme = None

    def __init__(self, policy: Policy, slot: Slot, way: Way, environ: Environ, body: Body) -> None:
        self._policy = policy
        self._slot = slot
        self._environ = environ.copy()  # before the application has it
        self._body = body
        self._way: Way | Visit = way
        self._visit: Visit | None = None

    def enter(self, response: Response) -> bool:
        """See ``Visit.enter``."""
        return True

    def leave(self, response: Response) -> None:
        """See ``Visit.leave``."""
        if self._visit is not None:
            self._visit.leave(response)

    def said(self, response: Response) -> Response | Visit:
        """See ``Visit.said``."""
        return self._visit or response

    def begin(self, head: bytes, flags: int, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        if flags & NAMES_FILE:
            way = self._way
            assert not isinstance(way, Visit)
            self._way = self._visit = Visit(
                self._policy, self._slot, way, self._environ, self._body
            )
        self._way.begin(head, flags, body, last)

    def send_body(self, body: bytes, last: bool) -> None:
        """See ``wsgi.Output``."""
        self._way.send_body(body, last)

    def send_file(self, file: int, offset: int, count: int) -> int:
        """See ``wsgi.Output``."""
        return self._way.send_file(file, offset, count)

    def abort(self) -> None:
        """See ``wsgi.Output``."""
        self._way.abort()
