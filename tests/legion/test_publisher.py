"""What a node writes on the board about its legion (src/uwgate/legion/publisher.py)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from uwgate.conf.board import Board, Notice, Scrolls, Standing, make_board
from uwgate.legion.mode import CompatibleMode, Member
from uwgate.legion.publisher import Publisher
from uwgate.subscriptions.legion.packet import MAX_NAME
from uwgate.subscriptions.legion.spec import read_all
from uwgate.subscriptions.legion.statement import MAX_MEMBERS

SCROLL = 8  # bytes: legion-scroll-max-size
SCROLLS = 24  # bytes: legion-scroll-list-max-size
OWN = b"own"


class Crowd(CompatibleMode):
    """A node that has heard whom the test wants it to have heard."""

    others: Sequence[Member] = ()

    def members(self) -> Iterator[Member]:
        return iter(self.others)

    def elect(self, member: Member) -> None:
        """That one is the lord."""
        self._election.lord = member.uuid


def member(number: int, *, name: bytes = b"vm", scroll: bytes = b"") -> Member:
    return Member(b"%036d" % number, name, 0xFFFF, 1 << 40, scroll, 0.0)


@dataclass
class Desk:
    """A publisher, whom it writes about, and what it has written."""

    mode: Crowd
    publisher: Publisher
    notice: Notice

    def publish(self, *others: Member) -> None:
        self.mode.others = others
        self.publisher.publish(Standing())


@pytest.fixture
def desk() -> Iterator[Desk]:
    options = [("legion", "ring 10.0.0.1:4242 9 aes-256-cbc:secret"), ("legion-scroll", "ring own")]
    spec = replace(read_all(options)["ring"], scroll_limit=SCROLL)
    mode = Crowd(spec, name=b"vm", pid=1, now=0.0, term=0)
    fd = make_board(["ring"], scroll=SCROLL, scrolls=SCROLLS)
    notice = Board(fd, writable=True).notices["ring"]
    yield Desk(mode, Publisher(spec, mode, notice, scrolls=SCROLLS), notice)
    os.close(fd)


def test_scrolls_are_our_own_and_then_those_of_the_members(desk: Desk) -> None:
    desk.publish(member(1, scroll=b"one"), member(2))
    assert desk.notice.scrolls == Scrolls(None, (OWN, b"one", b""))


def test_without_members_there_are_no_scrolls(desk: Desk) -> None:
    desk.publish()
    assert desk.notice.scrolls == Scrolls()


def test_the_scroll_of_the_lord_comes_by_itself(desk: Desk) -> None:
    lord = member(1, scroll=b"of lord")
    desk.mode.elect(lord)
    desk.publish(lord)
    assert desk.notice.scrolls == Scrolls(b"of lord", (OWN, b"of lord"))


def test_a_scroll_of_the_lord_that_is_too_long_is_none(desk: Desk) -> None:
    lord = member(1, scroll=b"x" * (SCROLL + 1))
    desk.mode.elect(lord)
    desk.publish(lord)
    assert desk.notice.scrolls.lord is None


def test_scrolls_that_do_not_fit_are_left_out_and_others_are_not(desk: Desk) -> None:
    desk.publish(member(1, scroll=b"x" * SCROLLS), member(2, scroll=b"two"))
    assert desk.notice.scrolls == Scrolls(None, (OWN, b"two"))
    desk.publish(*(member(number, scroll=b"12345678") for number in range(9)))
    assert desk.notice.scrolls == Scrolls(None, (OWN, b"12345678"))


@pytest.mark.parametrize("byte", [b"a", b"\0", b"\xff", b'"'])
def test_the_figures_of_as_many_members_as_there_may_be_fit(desk: Desk, byte: bytes) -> None:
    name = byte * MAX_NAME
    desk.publish(*(member(number, name=name) for number in range(MAX_MEMBERS)))
    figures = json.loads(desk.notice.stats)
    assert len(figures["members"]) == MAX_MEMBERS
    assert figures["members"][0]["name"] == name.decode("utf-8", "replace")
