"""The lane by itself."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

import trio
import trio.testing

from uwgate.gateways.lane import Lane


class Watcher:
    """A member that notes what it is told, and may do something then."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.masks: list[int] = []
        self._act = act

    def ready(self, mask: int) -> None:
        self.masks.append(mask)
        self._act()


async def test_an_event_does_not_reach_the_next_owner_of_its_descriptor() -> None:
    lane = Lane()
    first, first_peer = socket.socketpair()
    second, second_peer = socket.socketpair()
    fresh, fresh_peer = socket.socketpair()
    heir = Watcher()

    def hand_over(fd: int) -> None:
        """Close a descriptor and give its number to somebody else, in the same round."""
        lane.remove(fd)
        os.dup2(fresh.fileno(), fd)
        lane.add(fd, heir)

    # Whichever of the two is told first takes the other one's descriptor.
    lane.add(first.fileno(), Watcher(lambda: hand_over(second.fileno())))
    lane.add(second.fileno(), Watcher(lambda: hand_over(first.fileno())))
    first_peer.close()
    second_peer.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.run)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert heir.masks == []
        fresh_peer.send(b"x")
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.cancel_scope.cancel()
    assert heir.masks[0] & select.EPOLLIN
    assert not heir.masks[0] & select.EPOLLHUP
    for sock in (first, second, fresh, fresh_peer):
        sock.close()
