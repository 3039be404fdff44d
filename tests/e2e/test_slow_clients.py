"""slowhttptest against the gateway: many clients that take their time, and one that does not."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from .client import Connection, request
from .conftest import Start
from .peers import program
from .processes import APPS, Process

CONNECTIONS = 200
SECONDS = 6  # of each attack
PATIENCE = 2.0  # seconds; a held-up request would take as long as the attack
COLOUR = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
ATTACKS = {
    "slow headers": ("-H", "-i", "1", "-u", "{}/"),
    "slow bodies": ("-B", "-i", "1", "-s", "8192", "-x", "10", "-u", "{}/receive"),
    "slow reading": ("-X", "-n", "1", "-w", "1", "-y", "16", "-z", "5", "-k", "5", "-u", "{}/text"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_slow_clients_do_not_hold_up_the_others(uwgate: Start, folder: Path, attack: str) -> None:
    application = ("--wsgi-file", str(APPS / "browsed.py"), "--threads", "4")
    server = uwgate("--http", "127.0.0.1:0", "--http-max-connections", "1000", *application)
    host, port = server.address
    server.wait_for_log("generation 1 serves")
    options = [option.format(f"http://{host}:{port}") for option in ATTACKS[attack]]
    options += ["-c", f"{CONNECTIONS}", "-r", f"{CONNECTIONS}", "-l", f"{SECONDS}", "-p", "3"]
    attacker = Process([program("slowhttptest"), *options], folder=folder, name="slowhttptest")
    slowest = 0.0
    count = 0
    try:
        with Connection(server.address) as connection:
            while attacker.popen.poll() is None:
                began = time.monotonic()
                connection.send(request("GET", "/seen"))
                assert connection.answer().status == 200
                slowest = max(slowest, time.monotonic() - began)
                count += 1
                time.sleep(0.01)  # the attack needs the CPU as well
    finally:
        attacker.stop()
    assert slowest < PATIENCE
    assert count > 100
    report = COLOUR.sub("", attacker.log)
    assert set(re.findall(r"service available:\s+(\w+)", report)) == {"YES"}, report
