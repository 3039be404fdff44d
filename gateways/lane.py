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
from typing import Final, Protocol

import trio

log = logging.getLogger("uwgate.lane")

# Edge-triggered: a member is told once of new bytes, and nothing has to be armed again.
EVENTS: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
ENDED: Final = select.EPOLLRDHUP  # end of file stands behind what there is to read
GONE: Final = select.EPOLLERR | select.EPOLLHUP
# Taken from the kernel at a time. For more than 42 ``poll`` gets its memory from malloc, and that
# alone takes a third of its time.
MAX_EVENTS: Final = 42
# Rounds of events until trio's own tasks get their turn: soon when sessions have tasks there,
# seldom when only the clock and the master's orders have.
ROUNDS_BESIDE_TASKS: Final = 4
ROUNDS_ALONE: Final = 64
# How often the CPU is offered to whoever owes an answer before the lane sleeps for it: to be
# woken costs the sleeper and the waker more than all of these together.
YIELDS: Final = 3
# Seconds (the shortest that epoll_wait knows) in which the lane itself waits for an answer that
# is expected at once, before it asks trio to wait. Meanwhile trio's tasks wait too, so this is
# only done when no session has one.
PATIENCE: Final = 0.001
MAX_TOGETHER: Final = 16  # answers that wait for each other, of up to
MAX_TOGETHER_SIZE: Final = 65536  # bytes each


class Member(Protocol):
    """What is registered in the lane."""

    def ready(self, mask: int) -> None:
        """There may be bytes, end of file, or (``mask & GONE``) an error. Must not raise."""
        ...


class Sender(Protocol):
    """Who has an answer for a client."""

    def send(self, data: bytes, keep: bool) -> None:
        """Send it; ``keep``: the connection goes on. Must not raise."""
        ...


class Lane:
    """One epoll set and the functions that it calls.

    ``expected`` counts answers that workers owe to members, and streams of which the next bytes
    come at once; ``tasks`` the sessions that are outside the lane.
    """

    def __init__(self) -> None:
        self.expected = 0
        self.tasks = 0
        self._epoll = select.epoll()
        # Written to when a task has something for a lane that sleeps. Edge-triggered: never read.
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._bell, EVENTS)
        self._asleep = False
        # By descriptor. The bell is nobody's.
        self._members: list[Member | None] = [None] * (self._bell + 1)
        self._again: deque[Member] = deque()
        # Descriptors removed while a batch of events is handled: the number may already belong
        # to a new member, which the old one's event must not reach.
        self._removed: set[int] = set()
        self._in_round = False
        self._answers: list[tuple[Sender, bytes, bool]] = []

    def add(self, fd: int, member: Member, *, level: bool = False, writable: bool = False) -> None:
        """Watch ``fd``; what is there already counts as new. ``level``: tell again and again.

        ``writable``: tell also when the peer takes more after it had taken nothing.
        """
        members = self._members
        if fd >= len(members):
            members.extend([None] * (fd + 1 - len(members)))
        members[fd] = member
        events = EVENTS | select.EPOLLOUT if writable else EVENTS
        self._epoll.register(fd, select.EPOLLIN if level else events)

    def await_room(self, fd: int) -> None:
        """Tell the member from now on also when its peer takes more after it had taken nothing.

        If it takes something already, the member is told of that, too.
        """
        self._epoll.modify(fd, EVENTS | select.EPOLLOUT)

    def remove(self, fd: int) -> None:
        """Do not watch ``fd`` any longer. Must come before it is closed."""
        if self.forget(fd):
            self._epoll.unregister(fd)

    def forget(self, fd: int) -> bool:
        """The same for a descriptor that is closed next, and that has no copy (epoll(7), Q6).

        Returns whether it was watched.
        """
        members = self._members
        if fd < 0 or fd >= len(members) or members[fd] is None:
            return False
        members[fd] = None
        self._removed.add(fd)
        return True

    def watches(self, fd: int, member: Member) -> bool:
        """Whether ``fd`` is being watched for this member."""
        return 0 <= fd < len(self._members) and self._members[fd] is member

    def again(self, member: Member) -> None:
        """Call ``member.ready(0)`` in the next round."""
        self._again.append(member)
        if self._asleep:
            self._asleep = False
            os.eventfd_write(self._bell, 1)

    def send_soon(self, sender: Sender, data: bytes, keep: bool) -> None:
        """Send an answer together with others of this round.

        To wake a client that sleeps costs more than sending to one that is awake: of many clients
        in one process only the first is woken.
        """
        if not self._in_round or len(data) > MAX_TOGETHER_SIZE:
            sender.send(data, keep)
            return
        self._answers.append((sender, data, keep))
        if len(self._answers) >= MAX_TOGETHER:
            self._send_answers()

    def _send_answers(self) -> None:
        answers, self._answers = self._answers, []
        for sender, data, keep in answers:
            sender.send(data, keep)

    async def run(self) -> None:
        """Serve until cancelled."""
        again = self._again
        rounds = 0
        try:
            while True:
                happened = self._serve()
                if not happened and not again:
                    rounds = 0
                    self._asleep = True
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    self._asleep = False
                    continue
                rounds += 1
                if rounds >= (ROUNDS_BESIDE_TASKS if self.tasks else ROUNDS_ALONE):
                    rounds = 0
                    await trio.lowlevel.checkpoint()
        finally:
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._members.clear()  # who leaves later has nothing to leave
            self._epoll.close()
            os.close(self._bell)

    def _serve(self) -> bool:
        """Tell everybody what has happened; False: nothing has."""
        members = self._members
        again = self._again
        removed = self._removed
        events = self._epoll.poll(0, MAX_EVENTS)
        if not events and self.expected and not self.tasks and not again:
            events = self._wait_patiently()
        removed.clear()
        self._in_round = True
        for fd, mask in events:
            if not removed or fd not in removed:
                member = members[fd]
                if member is not None:
                    member.ready(mask)
        for _ in range(len(again)):
            again.popleft().ready(0)
        self._in_round = False
        if self._answers:
            self._send_answers()
        return bool(events)

    def _wait_patiently(self) -> list[tuple[int, int]]:
        """The next events; none if it takes longer than ``PATIENCE``."""
        for _ in range(YIELDS):
            os.sched_yield()
            events = self._epoll.poll(0, MAX_EVENTS)
            if events:
                return events
        return self._epoll.poll(PATIENCE, MAX_EVENTS)
