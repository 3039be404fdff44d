"""Metrics that applications and rules count with, in several processes."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from .client import ask, request
from .processes import APPS
from .statistics import read_stats

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start

CONFIG = """
[uwsgi]
http = 127.0.0.1:0
http-processes = 2
processes = 2
wsgi-file = {app}
http-stats-server = {folder}/stats
metric = name=calls,oid=1.2
metric = name=asked,type=gauge,initial_value=1000
log-format = calls=%(metric.calls)
route = ^/inc metricinc:asked
route = ^/told addheader:X-Asked: ${{metric[asked]}}
{more}
"""


def test_no_count_is_lost_between_processes_and_by_reloads(uwgate: Start, folder: Path) -> None:
    config = folder / "site.ini"
    config.write_text(CONFIG.format(app=APPS / "metrics.py", folder=folder, more=""))
    program = uwgate(str(config))
    program.wait_for_log("generation 1 serves")

    def count() -> None:
        for _ in range(50):
            assert ask(program.address, request("GET", "/inc")).status == 200

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(program.address, request("GET", "/told?calls")).body == b"200"
    told = ask(program.address, request("GET", "/told"))
    assert told["x-asked"] == "1200"
    program.wait_for_log("^calls=200$")
    assert read_stats(str(folder / "stats"))["metrics"] == {
        "calls": {"type": 0, "oid": "1.2", "value": 200},
        "asked": {"type": 1, "oid": "", "value": 1200},
    }

    for kind in ("worker", "http"):
        os.kill(program.processes(kind)[0], signal.SIGKILL)
    program.wait_for_log(r"Respawned uWSGI worker")
    program.wait_for_log(r"Respawned uWSGI http")
    config.write_text(
        CONFIG.format(app=APPS / "metrics.py", folder=folder, more="metric = name=new\n")
    )
    program.popen.send_signal(signal.SIGHUP)
    program.wait_for_log("generation 2 serves")
    assert ask(program.address, request("GET", "/inc?calls")).body == b"201"
    assert ask(program.address, request("GET", "/told?new")).body == b"0"
    assert ask(program.address, request("GET", "/told"))["x-asked"] == "1201"
