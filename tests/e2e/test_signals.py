"""uWSGI signals, raised by the application and by hooks of a legion."""

from __future__ import annotations

import os
import urllib.request

from .conftest import Start
from .processes import APPS, PATIENCE, Uwgate, free_port


def ask(program: Uwgate, number: int) -> str:
    host, port = program.address
    with urllib.request.urlopen(f"http://{host}:{port}/{number}", timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def test_handlers_run_in_the_workers_that_they_are_for(uwgate: Start) -> None:
    program = uwgate(
        *("--http", "127.0.0.1:0", "--wsgi-file", str(APPS / "signals.py")),
        *("--processes", "2", "--threads", "2"),
    )
    assert ask(program, 1) == "1"
    program.wait_for_log("^signal 1 in worker [12]$")
    assert ask(program, 2) == "2"
    program.wait_for_log("^signal 2 in worker 1$")
    program.wait_for_log("^signal 2 in worker 2$")
    assert ask(program, 3) == "3"
    program.wait_for_log("^signal 3 in worker 2$")
    assert ask(program, 4) == "None"
    program.wait_for_log("signal 4: no handler is registered")
    # Another worker in the same place takes over its queue.
    for pid in program.processes("worker"):
        os.kill(pid, 9)
    program.wait_for_log("Respawned uWSGI worker 2")
    ask(program, 3)
    program.wait_for(lambda: program.log.count("signal 3 in worker 2") == 2, "second run")
    assert program.log.count("signal 1 in") == 1


def test_a_hook_of_a_legion_raises_a_signal(uwgate: Start) -> None:
    ports = free_port(), free_port()
    nodes = [
        uwgate(
            *("--legion", f"ring 127.0.0.1:{ports[one]} {one + 1} aes-256-gcm:sixteen letters.."),
            *("--legion-node", f"ring 127.0.0.1:{ports[1 - one]}"),
            *("--legion-freq", "0.3", "--legion-tolerance", "1.2"),
            *("--legion-lord", "ring signal:1", "--wsgi-file", str(APPS / "signals.py")),
            *("--http", "127.0.0.1:0"),
            name=f"node{one}",
        )
        for one in (0, 1)
    ]
    nodes[1].wait_for_log("this node is the lord now")
    nodes[1].wait_for_log("^signal 1 in worker 1$")
