"""The lane by itself."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

import trio
import trio.testing

from uwgate.gateways.lane import MAX_TOGETHER, MAX_TOGETHER_SIZE, Lane


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


class Answering:
    """A member that answers at once, and what it and others have done so far."""

    def __init__(self, lane: Lane, done: list[str], name: str, data: bytes = b"answer") -> None:
        self._lane = lane
        self._done = done
        self._name = name
        self._data = data

    def ready(self, mask: int) -> None:
        self._done.append(f"ready {self._name}")
        self._lane.send_soon(self, self._data, True)

    def send(self, data: bytes, keep: bool) -> None:
        assert (data, keep) == (self._data, True)
        self._done.append(f"send {self._name}")


async def round_of(lane: Lane, members: list[Answering]) -> None:
    """Have the lane call all of them in one round."""
    for member in members:
        lane.again(member)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lane.run)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


async def test_answers_of_a_round_are_sent_together_and_in_order() -> None:
    lane, done = Lane(), list[str]()
    await round_of(lane, [Answering(lane, done, name) for name in "abc"])
    assert done == ["ready a", "ready b", "ready c", "send a", "send b", "send c"]


async def test_no_more_than_so_many_answers_wait_for_each_other() -> None:
    lane, done = Lane(), list[str]()
    names = [f"{number}" for number in range(MAX_TOGETHER + 1)]
    await round_of(lane, [Answering(lane, done, name) for name in names])
    assert done.index("send 0") == MAX_TOGETHER
    assert done[-2:] == [f"ready {names[-1]}", f"send {names[-1]}"]


async def test_a_large_answer_waits_for_nobody() -> None:
    lane, done = Lane(), list[str]()
    large = bytes(MAX_TOGETHER_SIZE + 1)
    await round_of(lane, [Answering(lane, done, "a", large), Answering(lane, done, "b")])
    assert done == ["ready a", "send a", "ready b", "send b"]


async def test_outside_of_a_round_an_answer_is_sent_at_once() -> None:
    lane, done = Lane(), list[str]()
    Answering(lane, done, "a").ready(0)
    assert done == ["ready a", "send a"]
    await round_of(lane, [])
