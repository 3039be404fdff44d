"""Requests that wait until a backend has room for them, first come first served."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.target import Target
from uwgate.subscriptions.health import Circuit

if TYPE_CHECKING:
    from uwgate.gateways.corerouter.attempts import Attempts

Place = TypeVar("Place", bound=Hashable)


class Waiting:
    """A request for which there is no room yet. ``target`` is what it got."""

    __slots__ = ("attempts", "event", "target")

    def __init__(self, attempts: Attempts) -> None:
        self.attempts = attempts
        self.event = trio.Event()
        self.target: Target | None = None


class WaitingRoom(Generic[Place]):
    """A queue for each place where requests may have to wait.

    ``most`` requests wait for one place, 0: none. ``choose`` finds a backend there for a
    request, without regard to who waits.
    """

    def __init__(
        self, most: int, choose: Callable[[Place, Attempts, float], Target | Outcome]
    ) -> None:
        self._most = most
        self._choose = choose
        self._queues: dict[Place, deque[Waiting]] = {}  # none of them is empty
        self._is_serving = False

    def has_queue(self, place: Place) -> bool:
        """Whether somebody waits there: others have to go behind him."""
        return place in self._queues

    async def wait(self, place: Place, attempts: Attempts, limit: float) -> None:
        """Wait for ``attempts.granted``, at most ``limit`` seconds; not at all if too many do."""
        queue = self._queues.get(place)
        if self._most <= (0 if queue is None else len(queue)):
            return
        waiting = Waiting(attempts)
        if queue is None:
            queue = self._queues[place] = deque()
        queue.append(waiting)
        try:
            with trio.move_on_after(limit):
                await waiting.event.wait()
        finally:
            # Also when the request was cancelled: whoever ends it gives back what it got.
            attempts.granted = waiting.target
            if not waiting.event.is_set():
                queue.remove(waiting)
                if not queue:
                    del self._queues[place]

    def serve(self, place: Place, now: float) -> None:
        """There may be room: give it to who waits, or send everybody away if nobody is left."""
        if self._is_serving:  # choosing has changed something; whoever serves goes on anyway
            return
        self._is_serving = True
        queue = self._queues.get(place)
        while queue:
            waiting = queue[0]
            found = self._choose(place, waiting.attempts, now)
            if found is Outcome.FULL:
                break
            queue.popleft()
            if isinstance(found, Target):
                waiting.target = found
            waiting.event.set()
        if not queue:
            self._queues.pop(place, None)
        self._is_serving = False

    def serve_all(self, now: float) -> None:
        """The same for every place."""
        for place in list(self._queues):
            self.serve(place, now)


def may_wait(circuit: Circuit) -> bool:
    """Whether requests ever wait: backends can be full, and there is a queue."""
    return circuit.connections > 0 and circuit.pending > 0
