"""Functions of a real uWSGI and of ours, called by each other."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

from . import peers
from .processes import APPS, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start


def test_instances_call_each_other_s_functions(uwgate: Start, folder: Path) -> None:
    ports = free_port(), free_port()
    app = APPS / "functions.py"
    sockets = folder / "ours.sock", folder / "theirs.sock"
    program = uwgate(
        *("--http-socket", f"127.0.0.1:{ports[0]}", "--socket", str(sockets[0])),
        *("--wsgi-file", str(app), "--processes", "2"),
    )
    program.wait_for_log("generation 1 serves")
    theirs = ("--http-socket", f"127.0.0.1:{ports[1]}", "--socket", str(sockets[1]))

    def ask(port: int, function: str) -> bytes:
        node = sockets[0] if port == ports[1] else sockets[1]
        url = f"http://127.0.0.1:{port}{node}?{function}"
        with urllib.request.urlopen(url, timeout=60) as response:
            return bytes(response.read())

    with peers.uwsgi(folder, *theirs, app="functions.py"):
        for port in ports:
            assert ask(port, "join,a,b") == b"a+b"
            assert ask(port, "large") == b"x" * 100_000
    assert program.stop() == 0
