"""slowhttptest against the gateway: many clients that take their time, and one that does not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .client import Connection, request
from .conftest import Start
from .peers import program
from .processes import APPS, Address, Process

CONNECTIONS = 200
SECONDS = 6  # of each attack
QUIET = 2.0  # seconds before it
PATIENCE = 1.0  # seconds; a held-up request would take as long as the attack
COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
ATTACKS = {
    "slow headers": ("-H", "-i", "1", "-u", "{}/"),
    "slow bodies": ("-B", "-i", "1", "-s", "8192", "-x", "10", "-u", "{}/receive"),
    "slow reading": ("-X", "-n", "1", "-w", "1", "-y", "16", "-z", "5", "-k", "5", "-u", "{}/text"),
}


def durations(address: Address, goes_on: Callable[[], bool]) -> list[float]:
    """How long each request of a fast client takes, in seconds, in ascending order."""
    found = []
    with Connection(address) as connection:
        while goes_on():
            began = time.monotonic()
            connection.send(request("GET", "/seen"))
            assert connection.answer().status == 200
            found.append(time.monotonic() - began)
            time.sleep(0.01)  # the attack needs the CPU as well
    return sorted(found)


@pytest.mark.parametrize("trusted", ["loopback", "none"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_slow_clients_do_not_hold_up_the_others(
    uwgate: Start, folder: Path, attack: str, trusted: str
) -> None:
    application = ("--wsgi-file", str(APPS / "browsed.py"), "--threads", "2")
    server = uwgate(
        "--http=127.0.0.1:0",
        "--http-max-connections=1000",  # of which one stranger may have 250
        f"--http-trust-forwarded={trusted}",
        *application,
    )
    host, port = server.address
    server.wait_for_log("generation 1 serves")
    ends = time.monotonic() + QUIET
    quiet = durations(server.address, lambda: time.monotonic() < ends)
    options = [option.format(f"http://{host}:{port}") for option in ATTACKS[attack]]
    options += ["-c", f"{CONNECTIONS}", "-r", f"{CONNECTIONS}", "-l", f"{SECONDS}", "-p", "3"]
    attacker = Process([program("slowhttptest"), *options], folder=folder, name="slowhttptest")
    try:
        busy = durations(server.address, lambda: attacker.popen.poll() is None)
    finally:
        attacker.stop()
    before, meanwhile = (times[len(times) * 99 // 100] for times in (quiet, busy))
    ratio = meanwhile / before
    print(f"\n{attack}: p99 {before:.4f} s, then {meanwhile:.4f} s: {ratio:.1f} times")  # noqa: T201
    assert busy[-1] < PATIENCE
    assert len(busy) > 100
    report = COLOUR.sub("", attacker.log)
    assert set(re.findall(r"service available:\s+(\w+)", report)) == {"YES"}, report
