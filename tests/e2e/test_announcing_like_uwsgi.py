"""A node of uWSGI and ours have the same options, and have to say the same things: at the start,
at a reload and at the end (spec/subscriptions.md sections 3 and 4)."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from typing import TYPE_CHECKING

from uwgate.subscriptions.packet import Command, decode

from .peers import uwsgi
from .processes import APPS, PATIENCE, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start
    from .processes import Process

KEYS = """\
# a comment, and an empty line

one.example
two.example,7
"""

NAMES = ("one.example", "two.example", "k,1")

Said = tuple[Command, str, int, int, int]  # command, key, modifier1, modifier2, weight


class Ear:
    """Hears announcements at a path. A few of them fill such a socket, so a thread receives."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._said: list[Said] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._path = path

    def _run(self) -> None:
        while datagram := self._socket.recv(4096):
            packet = decode(datagram)
            said = (packet.command, packet.key, packet.modifier1, packet.modifier2, packet.weight)
            self._said.append(said)

    def count(self, key: str) -> int:
        """How often something was said of a name."""
        return sum(said[1] == key for said in self._said)

    def of(self, key: str) -> list[Said]:
        """What was said of a name; what was only repeated counts once."""
        found: list[Said] = []
        for said in list(self._said):
            if said[1] == key and said not in found[-1:]:
                found.append(said)
        return found

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", str(self._path))
        self._thread.join(PATIENCE)
        self._socket.close()


def tell(process: Process, ear: Ear, *, reloaded: str, times: int) -> list[list[Said]]:
    """What is said of each name in a life with one reload, which ends with a line in the log.

    ``times`` is how often everything has to have been said before a signal.
    """
    process.wait_for(lambda: ear.count(NAMES[0]) >= times, "announcements")
    seen = len(process.log)
    process.popen.send_signal(signal.SIGHUP)
    process.wait_for_log(reloaded, start=seen)
    process.wait_for(lambda: len(ear.of(NAMES[0])) == 3, "announcement after the reload")
    until = ear.count(NAMES[0]) + times - 1
    process.wait_for(lambda: ear.count(NAMES[0]) >= until, "announcements")
    assert process.stop(signal.SIGINT) == 0
    return [ear.of(name) for name in NAMES]


def test_the_same_is_said(folder: Path, uwgate: Start) -> None:
    keys = folder / "keys"
    keys.write_text(KEYS)
    told: list[list[list[Said]]] = []
    for name in ("real", "ours"):
        with contextlib.closing(Ear(folder / name)) as ear:
            options = [
                *("--socket", f"127.0.0.1:{free_port()}", "--subscribe-freq=1", "--weight=3"),
                f"--subscribe-to={folder}/{name}:@{keys}",
                f"--subscribe2=server={folder}/{name},key=k\\,1,weight=3,modifier2=4,check=no",
                "--unsubscribe-on-graceful-reload",
            ]
            if name == "real":
                # A worker that was just born may miss the reload, and is waited for.
                options.append("--reload-mercy=1")
                with uwsgi(folder, *options, app="witness.py") as real:
                    # Said again: its master is in its loop. Before that a signal confuses it.
                    again = "spawned uWSGI worker 2"
                    told.append(tell(real, ear, reloaded=again, times=2))
            else:
                application = str(APPS / "witness.py")
                ours = uwgate(*options, "--wsgi-file", application, "--processes=2")
                ours.wait_for_log("generation 1 serves")
                told.append(tell(ours, ear, reloaded="generation 1 is gone", times=1))
    subscribe, unsubscribe = Command.SUBSCRIBE, Command.UNSUBSCRIBE
    for said in told[0]:
        assert [one[0] for one in said] == [subscribe, unsubscribe, subscribe, unsubscribe]
    assert told[1] == told[0]
