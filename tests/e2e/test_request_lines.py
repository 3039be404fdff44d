"""Request lines of what the HTTP gateway answers by itself, beside those of workers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .client import ask, request
from .processes import APPS
from .statistics import read_stats

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Start

RULES = """
route = ^/old$ redirect:/new
route = ^/teapot$ return:418
route = ^/secret$ donotlog:
route = ^/secret$ return:403
route = ^/named$ logvar:who=me
route = ^/named$ return:204
route = ^/kept$ cacheset:key=kept,value=hello
route = ^/kept$ cache:key=kept,content_type=text/plain
route = ^/rule/(.*)$ static:{folder}/files/$1
route = ^/lost/ static:{folder}/files/none
"""
CONFIG = """
[uwsgi]
http = 127.0.0.1:0
http-stats-server = {folder}/stats
wsgi-file = {app}
static-map = /files={folder}/files
metric = asked
log-format = <%(addr) %(method) %(uri) %(proto) %(status) %(rsize) app=%(wid) %(who)>
"""


@pytest.fixture
def files(folder: Path) -> Path:
    """A small file, and one that the kernel sends."""
    files = folder / "files"
    files.mkdir()
    (files / "small").write_bytes(b"x" * 100)
    (files / "large").write_bytes(b"x" * 3_000_000)
    return files


@pytest.mark.parametrize("rules", ["", RULES], ids=["plain", "ruled"])
def test_files_have_request_lines(uwgate: Start, folder: Path, files: Path, rules: str) -> None:
    config = folder / "site.ini"
    config.write_text((CONFIG + rules).format(folder=folder, app=APPS / "mirror.py"))
    program = uwgate(str(config))
    program.wait_for_log("generation 1 serves")
    for target, method in (("/files/small", "GET"), ("/files/large", "GET"), ("/x", "GET")):
        assert ask(program.address, request(method, target), method).status == 200
    for _ in range(2):  # from the disk, and from memory
        assert ask(program.address, request("HEAD", "/files/small"), "HEAD").status == 200
    program.wait_for_log(r"^<127.0.0.1 GET /files/small HTTP/1.1 200 100 app=0 ->$")
    program.wait_for_log(r"^<127.0.0.1 GET /files/large HTTP/1.1 200 3000000 app=0 ->$")
    program.wait_for_log(r"^<127.0.0.1 GET /x HTTP/1.1 200 \d+ app=1 ->$")
    head = r"^<127.0.0.1 HEAD /files/small HTTP/1.1 200 0 app=0 ->$"
    program.wait_for(lambda: len(re.findall(head, program.log, re.MULTILINE)) == 2, "two lines")
    assert read_stats(str(folder / "stats"))["static_requests"] == 4


def test_answers_of_rules_have_request_lines(uwgate: Start, folder: Path, files: Path) -> None:
    config = folder / "site.ini"
    text = CONFIG + "cache2 = name=pages,items=10\n" + RULES
    config.write_text(text.format(folder=folder, app=APPS / "mirror.py"))
    program = uwgate(str(config))
    program.wait_for_log("generation 1 serves")
    asks = {
        "/old": (302, r"\d+"),
        "/teapot": (418, r"\d+"),
        "/kept": (200, "5"),
        "/rule/small": (200, "100"),
        "/rule/large": (200, "3000000"),
        "/lost/": (404, r"\d+"),
        "/secret": (403, r"\d+"),
        "/named": (204, "0"),
    }
    for target, (status, _) in asks.items():
        assert ask(program.address, request("GET", target)).status == status
    for target, (status, size) in asks.items():
        if target != "/secret":
            who = "me" if target == "/named" else "-"
            program.wait_for_log(
                rf"^<127.0.0.1 GET {target} HTTP/1.1 {status} {size} app=0 {who}>$"
            )
    assert "GET /secret" not in program.log
    assert program.log.count(" HTTP/1.1 ") == len(asks) - 1


def test_lines_may_be_unwanted(uwgate: Start, folder: Path, files: Path) -> None:
    program = uwgate(
        *("--http", "127.0.0.1:0", "--http-to", "127.0.0.1:1"),
        *("--static-map", f"/files={files}", "--disable-logging", "--log-4xx"),
        *("--route", "^/gone return:410", "--route", "^/fine return:204"),
    )
    program.wait_for_log("generation 1 serves")
    for target in ("/fine", "/files/small", "/gone"):
        assert ask(program.address, request("GET", target)).status != 502
    program.wait_for_log(
        r"^\[pid: \d+\|app: -1\|req: -1/\d+\] 127.0.0.1 \(\) "
        r"\{\d+ vars in \d+ bytes\} .* GET /gone => generated \d+ bytes "
        r"in \d+ msecs \(HTTP/1.1 410\) \d headers "
    )
    assert "GET /fine" not in program.log
    assert "GET /files" not in program.log
