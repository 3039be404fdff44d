"""slowhttptest against the gateway: many clients that take their time, and one that does not."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .client import Connection, request
from .conftest import Start
from .peers import program, running
from .processes import APPS, Process, Uwgate
from .yardstick import allowed

pytestmark = pytest.mark.alone

CONNECTIONS = 100
SECONDS = 10  # of each attack, on a quiet machine
LONGEST = 60  # seconds of an attack on any machine
COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
READING = ("-X", "-n", "1", "-w", "1", "-y", "16", "-z", "5", "-k", "2", "-u")
ATTACKS = {
    "slow headers": ("-H", "-i", "1", "-u", "{}/"),
    "slow bodies": ("-B", "-i", "1", "-s", "8192", "-x", "10", "-u", "{}/receive"),
    "slow reading": (*READING, "{}/text"),
    "slow reading of much": (*READING, "{}/much"),
}


def serve(uwgate: Start, name: str, trusted: str) -> Uwgate:
    """One of the servers that are attacked."""
    return uwgate(
        "--http=127.0.0.1:0",
        "--http-max-connections=1000",  # of which one stranger may have 250
        f"--http-trust-forwarded={trusted}",
        *("--wsgi-file", str(APPS / "browsed.py"), "--threads", "2"),
        name=f"uwgate under {name}",
    )


def attack(server: Uwgate, name: str, seconds: int, folder: Path) -> Process:
    """Begin with an attack of so many seconds."""
    host, port = server.address
    argv = [program("slowhttptest")]
    argv += [option.format(f"http://{host}:{port}") for option in ATTACKS[name]]
    argv += ["-c", f"{CONNECTIONS}", "-r", f"{CONNECTIONS}", "-l", f"{seconds}"]
    argv += ["-p", f"{seconds - 2}"]  # how long it waits until it says that we are down
    return Process(argv, folder=folder, name=name)


def durations_of(servers: dict[str, Uwgate], goes_on: Callable[[], bool]) -> dict[str, list[float]]:
    """How long each request of a fast client takes, in seconds, by server."""
    found: dict[str, list[float]] = {name: [] for name in servers}
    with contextlib.ExitStack() as stack:
        connections = {
            name: stack.enter_context(Connection(server.address))
            for name, server in servers.items()
        }
        while goes_on():
            for name, connection in connections.items():
                began = time.monotonic()
                connection.send(request("GET", "/seen"))
                assert connection.answer().status == 200
                found[name].append(time.monotonic() - began)
            time.sleep(0.01)  # the attacks need the CPU as well
    return found


@pytest.mark.parametrize("trusted", ["loopback", "none"])
def test_slow_clients_do_not_hold_up_the_others(uwgate: Start, folder: Path, trusted: str) -> None:
    """All attacks at the same time, each on a server of its own: they mostly wait."""
    servers = {name: serve(uwgate, name, trusted) for name in ATTACKS}
    for server in servers.values():
        server.wait_for_log("generation 1 serves")
    seconds = min(round(allowed(SECONDS)), LONGEST)
    with contextlib.ExitStack() as stack:
        attackers = {
            name: stack.enter_context(running(attack(server, name, seconds, folder), stop=2))
            for name, server in servers.items()
        }
        durations = durations_of(
            servers, lambda: all(one.popen.poll() is None for one in attackers.values())
        )
        for attacker in attackers.values():
            attacker.wait()
    # A request that is held up would take as long as the attack.
    assert max(max(times) for times in durations.values()) < seconds / 2
    assert min(map(len, durations.values())) > 10
    for attacker in attackers.values():
        report = COLOUR.sub("", attacker.log)
        assert set(re.findall(r"service available:\s+(\w+)", report)) == {"YES"}, report
