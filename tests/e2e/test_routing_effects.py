"""What rules set off elsewhere: signals and alarms."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

import pytest

from .client import ask, request
from .processes import APPS, free_port
from .tls import Secure, client_context, make_site

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


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_rules_of_gateways_have_workers_do_it(uwgate: Start, folder: Path, *, secure: bool) -> None:
    site = make_site(folder)
    program = uwgate(
        *(site.https() if secure else "--http=127.0.0.1:0", "--processes", "2"),
        *("--wsgi-file", str(APPS / "signals.py")),
        *("--alarm", "box log:look:", "--alarm", f"box cmd:cat >> {folder}/said"),
        *("--route", "^/ alarm:box asked for ${PATH_INFO}", "--route", "^/ signal:2"),
        *("--route-run", "return:418"),
    )
    program.wait_for_log("generation 1 serves")
    assert "not in a gateway" not in program.log
    for path in ("/a%0Ab", "/c"):
        if secure:
            with Secure(program.address, client_context(site)) as connection:
                connection.send(request("GET", path))
                assert connection.answer().status == 418
        else:
            assert ask(program.address, request("GET", path)).status == 418
    program.wait_for_log(r"^ALARM: look: asked for /a\\nb$")
    program.wait_for_log("^signal 2 in worker 1$")
    program.wait_for_log("^signal 2 in worker 2$")
    said = folder / "said"
    program.wait_for(lambda: said.exists() and b"/c\n" in said.read_bytes(), "a message")


def test_a_gateway_without_workers_says_what_it_cannot_do(uwgate: Start) -> None:
    program = uwgate(
        *("--http", "127.0.0.1:0", "--http-to", "127.0.0.1:1"),
        *("--alarm", "box log:look:", "--route-run", "alarm:box x", "--route-run", "return:418"),
    )
    program.wait_for_log("generation 1 serves")
    assert ask(program.address, request()).status == 418
    assert "alarm:box x: not in a gateway: there are no workers" in program.log
