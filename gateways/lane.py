"""The lane: connections that wait for nothing but their next bytes, without a task each.

An idle connection is an entry in one epoll set, and a simple request is served by plain
function calls from here. Whoever has to wait for more than that leaves the lane and gets a
trio task for as long. One trio task runs the lane; to trio it is a task that waits for one
descriptor. Why: docs/design.md, "A lane beside the tasks".
"""

from __future__ import annotations

import logging
import os
import select
from collections import deque
from typing import Protocol

import trio

log = logging.getLogger("uwgate.lane")

# Edge-triggered: a member is told once of new bytes, and nothing has to be armed again.
EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
ENDED = select.EPOLLRDHUP  # end of file stands behind what there is to read
GONE = select.EPOLLERR | select.EPOLLHUP
MAX_EVENTS = 256  # taken from the kernel at a time
ROUNDS = 8  # of events, until trio's own tasks get their turn
# Seconds (the shortest that epoll_wait knows) in which the lane itself waits for an answer that
# is expected at once, before it asks trio to wait. Meanwhile trio's tasks wait too, so this is
# only done when no session has one.
PATIENCE = 0.001


class Member(Protocol):
    """What is registered in the lane."""

    def ready(self, mask: int) -> None:
        """There may be bytes, end of file, or (``mask & GONE``) an error. Must not raise."""
        ...


class Lane:
    """One epoll set and the functions that it calls.

    ``expected`` counts answers that workers owe to members, ``tasks`` the sessions that are
    outside the lane.
    """

    def __init__(self) -> None:
        self.expected = 0
        self.tasks = 0
        self._epoll = select.epoll()
        self._members: dict[int, Member] = {}
        self._again: deque[Member] = deque()
        # Rung by tasks: trio waits for the kernel, and what a member has received already is no
        # news to that. Edge-triggered, so that nobody has to silence it.
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._bell, select.EPOLLIN | select.EPOLLET)
        self._is_waiting = False

    def add(self, fd: int, member: Member, *, level: bool = False) -> None:
        """Watch ``fd``; what is there already counts as new. ``level``: tell again and again."""
        self._members[fd] = member
        self._epoll.register(fd, select.EPOLLIN if level else EVENTS)

    def remove(self, fd: int) -> None:
        """Do not watch ``fd`` any longer. Must come before it is closed."""
        if self._members.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def again(self, member: Member) -> None:
        """Call ``member.ready(0)`` in the next round."""
        self._again.append(member)
        if self._is_waiting:
            self._is_waiting = False
            os.eventfd_write(self._bell, 1)

    async def run(self) -> None:
        """Serve until cancelled."""
        poll = self._epoll.poll
        members = self._members
        again = self._again
        rounds = 0
        try:
            while True:
                patient = self.expected and not self.tasks and not again
                events = poll(PATIENCE if patient else 0, MAX_EVENTS)
                for fd, mask in events:
                    member = members.get(fd)
                    if member is not None:  # not removed by one before it
                        member.ready(mask)
                for _ in range(len(again)):
                    again.popleft().ready(0)
                if not events and not again:
                    rounds = 0
                    self._is_waiting = True
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    self._is_waiting = False
                    continue
                rounds += 1
                if rounds == ROUNDS:
                    rounds = 0
                    await trio.lowlevel.checkpoint()
        finally:
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._epoll.close()
            os.close(self._bell)
