"""Reloads under load: no request is lost, and a broken deploy changes nothing."""

from __future__ import annotations

import re
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from . import peers
from .client import Connection, ask, request
from .processes import APPS, Process

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start
    from .processes import Uwgate

RELOADS = 4
# So that some connections are idle when a generation ends, and there is some CPU left for it.
PAUSES = """
function delay()
    return 5
end
"""


def born(program: Uwgate) -> bytes:
    """What tells one generation from the next: where and when the application was imported."""
    return ask(program.address, request("GET", "/born", [("Connection", "close")])).body


def reload(program: Uwgate) -> None:
    """Reload, and wait until nobody but the new generation answers."""
    number = re.findall(r"generation (\d+) serves", program.log)[-1]
    program.popen.send_signal(signal.SIGHUP)
    program.wait_for_log(f"generation {number} is gone")


@pytest.mark.parametrize(
    ("entrance", "mode"),
    # Workers reached directly leave a kept connection as soon as another client waits, at any
    # time: wrk counts that as an error, so it says nothing about reloads.
    [("http", "kept"), ("http", "closed"), ("http-socket", "closed")],
)
def test_reloads_under_load_lose_no_request(
    uwgate: Start, folder: Path, entrance: str, mode: str
) -> None:
    wrk = peers.program("wrk")
    program = uwgate(
        f"--{entrance}", "127.0.0.1:0", "--wsgi-file", str(APPS / "witness.py"), "--processes=2"
    )
    assert born(program)
    host, port = program.address
    script = folder / "pauses.lua"
    script.write_text(PAUSES)
    argv = [wrk, "-t1", "-c16", "-d1000s", "--timeout=60s", "-s", str(script)]
    argv += [f"http://{host}:{port}/"]
    if mode == "closed":
        argv += ["-H", "Connection: close"]
    with peers.running(Process(argv, folder=folder, name="wrk"), stop=signal.SIGINT) as load:
        for _ in range(RELOADS):
            reload(program)
    report = load.log
    count = re.search(r"(\d+) requests in", report)
    assert count, report
    assert int(count[1]) > 100, report
    assert not re.search("Socket errors|Non-2xx", report), report


def test_a_request_that_runs_is_finished_by_the_old_generation(uwgate: Start, folder: Path) -> None:
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", str(APPS / "witness.py"), "-p2")
    assert born(program)
    marker = folder / "marker"
    with Connection(program.address) as connection:
        connection.send(request("GET", f"/sleep?seconds=2&marker={marker}"))
        program.wait_for(marker.exists, "running request")
        program.popen.send_signal(signal.SIGHUP)
        program.wait_for_log("generation 2 serves")
        assert connection.answer().body == b"slept\n"


def test_code_that_does_not_import_leaves_the_old_one_serving(uwgate: Start, folder: Path) -> None:
    application = folder / "app.py"
    shutil.copy(APPS / "witness.py", application)
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", str(application), "-p2")
    program.tracebacks_expected = True
    before = born(program)
    application.write_text("def broken(:\n")
    mark = len(program.log)
    program.popen.send_signal(signal.SIGHUP)
    program.wait_for_log("SyntaxError", start=mark)
    assert born(program) == before
    shutil.copy(APPS / "witness.py", application)
    reload(program)
    assert born(program) != before


def test_new_code_is_served_after_a_reload(uwgate: Start, folder: Path) -> None:
    application = folder / "app.py"
    text = (APPS / "witness.py").read_text()
    application.write_text(text)
    program = uwgate("--http", "127.0.0.1:0", "--wsgi-file", str(application))
    assert ask(program.address, request()).body == b"ok\n"
    application.write_text(text.replace('b"ok\\n"', 'b"new\\n"'))
    reload(program)
    assert ask(program.address, request()).body == b"new\n"
