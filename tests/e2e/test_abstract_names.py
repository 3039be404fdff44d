"""Abstract UNIX sockets: uWSGI finds ours by their names, and we find uWSGI's."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from .client import ask
from .peers import program, running
from .processes import Process, free_port
from .zergs import GET, WITNESS, who

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start


def test_a_gateway_of_uwsgi_reaches_workers_of_ours(uwgate: Start, folder: Path) -> None:
    name, port = f"@uwgate-test-{os.getpid()}-ours", free_port()
    ours = uwgate(f"--socket={name}", "--wsgi-file", WITNESS)
    ours.wait_for_log("generation 1 serves")
    argv = [program("uwsgi"), "--master", "--http", f"127.0.0.1:{port}", "--http-to", name]
    with running(Process(argv, folder=folder), stop=signal.SIGKILL) as real:
        real.wait_for_socket(("127.0.0.1", port))
        assert ask(("127.0.0.1", port), GET).status == 200


def test_our_gateway_reaches_workers_of_uwsgi(uwgate: Start, folder: Path) -> None:
    name = f"@uwgate-test-{os.getpid()}-real"
    argv = [program("uwsgi"), "--master", "--socket", name, "--wsgi-file", WITNESS]
    with running(Process(argv, folder=folder), stop=signal.SIGKILL) as real:
        real.wait_for_log("spawned uWSGI worker 1")
        gateway = uwgate("--http=127.0.0.1:0", f"--http-to={name}")
        gateway.wait_for_log("generation 1 serves")
        assert who(gateway.address)
