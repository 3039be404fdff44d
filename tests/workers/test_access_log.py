"""Request lines."""

from __future__ import annotations

import os
import re
import time
from typing import Any

import pytest

from tests.workers.conftest import Serve
from tests.workers.gateway import HELLO_WORLD, Gateway, variables
from uwgate.conf.access_log import AccessLog, Entry
from uwgate.conf.groups.log import LogOptions
from uwgate.workers.environ import block_size

MOMENT = 1_780_000_000.25


def entry(**more: Any) -> Entry:
    names = {key.decode(): value.decode() for key, value in variables("POST", "/a?b=c")}
    names.update(more.pop("variables", {}))
    values: dict[str, Any] = {
        "variables": names,
        "block_size": block_size(names)[1],
        "began": MOMENT,
        "seconds": 0.0125,
        "status": 200,
        "sent": 5,
        "header_count": 1,
        "header_size": 38,
        "sendfile": False,
        "failed": False,
        "application": 0,
        "application_requests": 5,
        "total_requests": 7,
        "core": 0,
        "logvars": {},
        **more,
    }
    return Entry(**values)


@pytest.fixture
def line_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The line that an entry becomes under some options; empty if none."""
    written: list[bytes] = []
    monkeypatch.setattr("uwgate.conf.access_log.write", written.append)

    def log(one: Entry, **options: Any) -> str:
        written.clear()
        AccessLog(LogOptions(**options), 42, 3).log(one)
        return b"".join(written).decode("latin-1")

    return log


def test_the_line_is_that_of_uwsgi(line_of: Any) -> None:
    assert line_of(entry()) == (
        "[pid: 42|app: 0|req: 5/7] 127.0.0.1 () {20 vars in 194 bytes} "
        f"[{time.ctime(MOMENT)}] POST /a?b=c => generated 5 bytes in 12 msecs "
        "(HTTP/1.1 200) 1 headers in 38 bytes (1 switches on core 0)\n"
    )


def test_micros_and_sendfile_show(line_of: Any) -> None:
    line = line_of(entry(sendfile=True), log_micros=True)
    assert "in 12500 micros via sendfile() (HTTP/1.1 200)" in line


def test_an_overlong_line_leaves_out_what_the_client_chose(line_of: Any) -> None:
    line = line_of(entry(variables={"REQUEST_URI": "/" + "x" * 5000}))
    assert "] 0.0.0.0 () {" in line
    assert "- - => generated" in line


def test_control_characters_do_not_reach_the_log(line_of: Any) -> None:
    line = line_of(entry(variables={"REQUEST_URI": "/\n[pid: 1]"}))
    assert line.count("\n") == 1
    assert "/\\x0a[pid: 1]" in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("%(method) %(uri) %(proto)", "POST /a?b=c HTTP/1.1"),
        ("%(addr)-%(user)-%(host)", "127.0.0.1---box"),
        ("%(status) %(rsize) %(hsize) %(size)", "200 5 38 43"),
        ("%(msecs) %(micros) %(secs)", "12 12500 0.012500"),
        ("%(time) %(tmsecs) %(tmicros)", "1780000000 1780000000250 1780000000250000"),
        ("%(pid) %(wid) %(core) %(vars) %(pktsize)", "42 3 0 20 194"),
        ("%(var.HTTP_HOST) %(var.NONE)", "box -"),
        ("%(mine) %(unknown)", "value -"),
        ("%(ctime)", time.ctime(MOMENT)),
        ("100%% %(headers)", "100%% 1"),
    ],
)
def test_a_format_of_ones_own(line_of: Any, text: str, line: str) -> None:
    assert line_of(entry(logvars={"mine": b"value"}), log_format=text) == line + "\n"


def test_the_readable_line(line_of: Any) -> None:
    assert line_of(entry(), log_format="readable") == (
        '127.0.0.1 - "POST /a?b=c HTTP/1.1" 200 5 bytes, 12 ms, worker 3\n'
    )


def test_x_forwarded_for_is_logged_on_request(line_of: Any) -> None:
    one = entry(variables={"HTTP_X_FORWARDED_FOR": "192.0.2.1, 10.0.0.1"})
    assert "] 192.0.2.1 () {" in line_of(one, log_x_forwarded_for=True)
    assert "] 127.0.0.1 () {" in line_of(one)


@pytest.mark.parametrize(
    ("options", "more", "logged"),
    [
        ({}, {}, False),
        ({"log_4xx": True}, {"status": 404}, True),
        ({"log_4xx": True}, {"status": 500}, False),
        ({"log_5xx": True}, {"status": 500}, True),
        ({"log_slow": 12}, {}, True),
        ({"log_slow": 13}, {}, False),
        ({"log_zero": True}, {"sent": 0}, True),
        ({"log_zero": True}, {}, False),
        ({"log_big": 5}, {}, True),
        ({"log_big": 6}, {}, False),
    ],
)
def test_some_requests_are_logged_in_spite_of_disable_logging(
    line_of: Any, options: dict[str, Any], more: dict[str, Any], logged: bool
) -> None:
    assert bool(line_of(entry(**more), log_requests=False, **options)) is logged


def test_memory_stands_in_front(line_of: Any) -> None:
    line = line_of(entry(), memory_report=True)
    assert re.match(
        r"\{address space usage: \d+ bytes/\d+MB\} \{rss usage: \d+ bytes/\d+MB\} \[pid: 42\|", line
    )


def test_a_worker_logs_what_it_served(serve: Serve) -> None:
    instance = serve(HELLO_WORLD, threads=2)
    with Gateway(instance.connect("lease")) as gateway:
        gateway.get("/seen")
        gateway.get("/seen")
    (pid,) = instance.worker_pids()
    instance.wait_log(f"[pid: {pid}|app: 0|req: 2/2] 127.0.0.1 ()")
    assert "GET /seen => generated 5 bytes in" in instance.read_log()
    assert os.getpid() != pid
