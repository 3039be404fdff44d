"""What rules of workers set off elsewhere: signals and alarms."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

from .processes import APPS, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start


def test_rules_raise_signals_and_trigger_alarms(uwgate: Start, folder: Path) -> None:
    port = free_port()
    program = uwgate(
        *("--http-socket", f"127.0.0.1:{port}", "--wsgi-file", str(APPS / "signals.py")),
        *("--processes", "2", "--alarm-freq", "600"),
        *("--alarm", "box log:look:", "--alarm", f"box cmd:cat >> {folder}/said"),
        *("--alarm", "stuck cmd:sleep 1000"),
        *("--route-if", "empty:${QUERY_STRING} alarm:box asked for ${PATH_INFO}"),
        *("--route-qs", "(.+) alarm:stuck $1", "--route", "^/4 signal:2", "--route", "^/ last:"),
    )
    program.wait_for_log("generation 1 serves")
    for path in ("/4", "/4", "/4", "/1?x"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60).close()
    program.wait_for_log("^ALARM: look: asked for /4$")
    program.wait_for_log("^signal 2 in worker 1$")
    program.wait_for_log("^signal 2 in worker 2$")
    said = folder / "said"
    program.wait_for(lambda: said.exists() and said.read_text() == "asked for /4\n", "a message")
    # Whichever worker says it again, it has been said.
    urllib.request.urlopen(f"http://127.0.0.1:{port}/1", timeout=60).close()
    program.wait_for_log("^ALARM: look: asked for /1$")
    assert program.log.count("asked for /4") == 1
    assert program.stop() == 0  # and the command that hangs is gone with it
