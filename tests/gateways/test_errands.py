"""gateways/routed/errands.py: what rules of a gateway want of the workers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.gateways.instance import listen, start_of
from uwgate.conf import control
from uwgate.conf.start import Start
from uwgate.gateways.counters import Counters
from uwgate.gateways.routed.errands import MOST, PERIOD, Errands, has_workers
from uwgate.routing.effects import RaiseAlarm, RaiseSignal


@dataclass
class Ends:
    """A gateway's errands, and the master's end of its control socket."""

    errands: Errands
    counters: Counters
    master: socket.socket

    def messages(self) -> list[dict[str, object]]:
        """What has arrived."""
        found = []
        while True:
            try:
                found.append(control.decode(self.master.recv(control.MAX_MESSAGE)))
            except BlockingIOError:
                return found


def start(control_fd: int, **options: object) -> Start:
    """What a gateway is told by its master."""
    with listen() as door:
        made = start_of(door, None)
    values = {name: getattr(made, name) for name in Start.__dataclass_fields__}
    return Start(**{**values, "control_fd": control_fd, **options})


@pytest.fixture
def ends() -> Iterator[Ends]:
    master, link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    master.setblocking(False)
    counters = Counters()
    with master, link:
        errands = Errands(start(link.fileno()), counters)
        yield Ends(errands, counters, master)
        errands.close()


def test_signals_and_alarms_are_told_to_the_master(ends: Ends) -> None:
    ends.errands.send(RaiseSignal(17), 0.0)
    ends.errands.send(RaiseAlarm(b"box", b"gr\xc3\xbcn\n"), 0.0)
    assert ends.messages() == [
        {"type": "signal", "number": 17},
        {"type": "alarm", "name": "box", "text": "grÃ¼n\n"},
    ]


def test_no_text_is_too_long_for_a_message(ends: Ends) -> None:
    ends.errands.send(RaiseAlarm(b"\xff" * 9000, b"\xff" * 100_000), 0.0)
    (message,) = ends.messages()
    assert set(str(message["text"])) == {"\xff"}


def test_clients_cannot_flood_the_master(ends: Ends) -> None:
    for _ in range(MOST + 5):
        ends.errands.send(RaiseSignal(1), 10.0)
    assert len(ends.messages()) == MOST
    assert ends.counters["errand-dropped"] == 5
    ends.errands.send(RaiseSignal(1), 10.0 + PERIOD)
    assert len(ends.messages()) == 1


def test_a_master_that_does_not_read_holds_nobody_up(ends: Ends) -> None:
    for second in range(50):
        for _ in range(MOST):
            ends.errands.send(RaiseAlarm(b"box", b"x" * 1000), float(second))
    assert ends.counters["errand-dropped"]


def test_a_master_that_is_gone_is_no_error(ends: Ends) -> None:
    ends.master.close()
    ends.errands.send(RaiseSignal(1), 0.0)
    assert ends.counters["errand-dropped"] == 1


@pytest.mark.parametrize(
    ("bound", "there"),
    [((("http", "x"), ("lease", "y")), True), ((("http-socket", "x"),), True), ((), False)],
)
def test_there_are_workers_if_they_listen(bound: tuple[tuple[str, str], ...], there: bool) -> None:
    assert has_workers(start(0, bound=bound)) is there
