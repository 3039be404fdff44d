"""What every gateway process does around its own work, seen from its master."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import uwgate
from uwgate.conf import control
from uwgate.conf.groups.http import HttpOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Start

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; only a failing test waits this long


@contextlib.contextmanager
def running(moment: str) -> Iterator[tuple[socket.socket, subprocess.Popen[str]]]:
    """``unwilling.py``, and its master's end of the control socket."""
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
    with (
        ours,
        theirs,
        subprocess.Popen(
            [sys.executable, "-m", "tests.gateways.unwilling", str(fd)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"},
            pass_fds=(fd, theirs.fileno(), life),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        theirs.close()
        try:
            yield ours, process
        finally:
            process.kill()
            for one in (fd, life, master):
                os.close(one)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_gateway_that_cannot_start_says_why_and_never_that_it_is_ready(moment: str) -> None:
    with running(moment) as (ours, process):
        _, said = process.communicate(timeout=PATIENCE)
        messages = []
        while packet := ours.recv(control.MAX_MESSAGE):
            messages.append(control.decode(packet))
        assert messages == [{"type": "failed", "reason": "this cannot be", "code": 1}]
        assert process.returncode == 1
    assert "this cannot be" in said
    assert "Traceback" not in said


def test_a_gateway_knows_whether_it_was_told_to_end() -> None:
    with running("never") as (ours, process):
        assert control.decode(ours.recv(control.MAX_MESSAGE)) == {"type": "ready"}
        ours.send(control.encode("drain", idle=0.0))
        assert process.communicate(timeout=PATIENCE) == ("told\n", "")


def test_a_master_that_was_killed_before_it_read_what_was_said_is_gone_like_any_other() -> None:
    with running("never") as (ours, process):
        select.select([ours], [], [])  # "ready" is there: whoever closes now resets the connection
        ours.close()
        assert process.communicate(timeout=PATIENCE) == ("forsaken\n", "")
