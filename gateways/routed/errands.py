"""What rules of a gateway want of the workers: uWSGI signals, and alarms.

The gateway tells the master, which tells the spawner of its workers: that one raises the signal,
and does what the alarm says, as if a worker had asked for it. Nobody waits for it.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from uwgate.conf import control
from uwgate.conf.start import Start
from uwgate.gateways.counters import Counters
from uwgate.routing.effects import RaiseAlarm, RaiseSignal

MOST: Final = 100  # in each period; clients decide how often rules want something
PERIOD: Final = 1.0  # seconds
ROLES: Final = ("lease", "uwsgi", "http-socket", "http11-socket")  # of sockets that workers serve


def has_workers(start: Start) -> bool:
    """Whether there is anybody to do them."""
    roles = {role for role, _ in start.bound}
    return start.settings.workers.processes > 0 and not roles.isdisjoint(ROLES)


class Errands:
    """One for each gateway process that has workers."""

    def __init__(self, start: Start, counters: Counters) -> None:
        # A descriptor of its own: the other one is closed by whoever listens there.
        self._link = socket.socket(fileno=os.dup(start.control_fd))
        self._link.setblocking(False)
        self._counters = counters
        self._size = start.settings.alarm.alarm_msg_size
        self._left = MOST
        self._ends = 0.0

    def send(self, wanted: RaiseSignal | RaiseAlarm, now: float) -> None:
        """Have it done, unless there was too much of that in this period.

        ``now``: seconds of any clock.
        """
        if now >= self._ends:
            self._left, self._ends = MOST, now + PERIOD
        if not self._left:
            self._counters.refuse("errand-dropped", "rules: more than %d signals and alarms", MOST)
            return
        self._left -= 1
        try:
            self._link.send(self._message(wanted))
        except OSError as error:  # the master has too much to do, or is gone
            self._counters.refuse("errand-dropped", "rules: %s: %s", wanted, error.strerror)

    def _message(self, wanted: RaiseSignal | RaiseAlarm) -> bytes:
        if isinstance(wanted, RaiseSignal):
            return control.encode("signal", number=wanted.number)
        text = wanted.text[: self._size].decode("latin-1")
        name = wanted.name.decode("latin-1")
        while len(packet := control.encode("alarm", name=name, text=text)) > control.MAX_MESSAGE:
            # A byte may take six here; no name is that long.
            name, text = name[:1024], text[: len(text) // 2]
        return packet

    def close(self) -> None:
        """Nothing can be sent any more."""
        self._link.close()
