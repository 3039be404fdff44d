"""What every gateway process does around its own work, seen from its master."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import uwgate
from uwgate.conf import control
from uwgate.conf.groups.http import HttpOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Start

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; only a failing test waits this long


def run(moment: str) -> tuple[list[dict[str, object]], subprocess.CompletedProcess[str]]:
    """All that ``unwilling.py`` says to its master, and how it ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    life, master = os.pipe()
    start = Start(
        settings=Settings(http=HttpOptions(http_server_header=moment)),
        listeners=(),
        control_fd=theirs.fileno(),
        life_fd=life,
        lease_address=None,
        instance=1,
        generation=1,
    )
    fd = start.to_memory_file()
    source = str(Path(uwgate.__file__).parents[1])
    with ours, theirs:
        done = subprocess.run(
            [sys.executable, "-m", "tests.gateways.unwilling", str(fd)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"},
            pass_fds=(fd, theirs.fileno(), life),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        theirs.close()
        messages = []
        while packet := ours.recv(control.MAX_MESSAGE):
            messages.append(control.decode(packet))
    for one in (fd, life, master):
        os.close(one)
    return messages, done


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_gateway_that_cannot_start_says_why_and_never_that_it_is_ready(moment: str) -> None:
    messages, done = run(moment)
    assert messages == [{"type": "failed", "reason": "this cannot be", "code": 1}]
    assert done.returncode == 1
    assert "this cannot be" in done.stderr
    assert "Traceback" not in done.stderr
