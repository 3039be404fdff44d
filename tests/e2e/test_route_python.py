"""Rules that are Python functions, in a gateway and in a worker that clients reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import client
from .conftest import temporary_folder
from .processes import Uwgate, running_uwgate, start_uwgate

RULES = """
import threading

from uwgate.rules import Answer, Change


def decide(request):
    match request.path:
        case "/teapot":
            return 418
        case "/answer":
            return Answer(200, f"hello {request.query}", {"Content-Type": "text/plain"})
        case "/change":
            return Change({"TAG": request.header("X-Tag")}, path="/new", headers={"X-Rule": "1"})
        case "/crash" | "/careless":
            raise ValueError(request.path)
        case "/hang":
            threading.Event().wait(1.0)


def after(request):
    return Change(headers={"X-Status": str(request.status)})
"""

APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['PATH_INFO']} {environ.get('TAG')}".encode()]
"""

CONFIG = """
[uwsgi]
http = 127.0.0.1:0
http-socket = 127.0.0.1:0
wsgi-file = app.py
route = ^/careless python:shop_rules:decide,budget=20,failure=goon
route = ^/careless last:
route = ^/hang python:shop_rules:decide,budget=0.2,failure=503
route-if-not = equal:${PATH_INFO};/hang python:shop_rules:decide,budget=20,failure=503
response-route-python = shop_rules:after,budget=20
"""


@pytest.fixture(scope="module")
def uwgate() -> Iterator[Uwgate]:
    """uwgate with these rules, and two ways in."""
    with temporary_folder() as folder:
        (folder / "shop_rules.py").write_text(RULES)
        (folder / "app.py").write_text(APPLICATION)
        (folder / "rules.ini").write_text(CONFIG)
        with running_uwgate("rules.ini", folder=folder) as program:
            program.wait_for_log("generation 1 serves")
            yield program


@pytest.fixture(params=["HTTP gateway", "workers"])
def address(uwgate: Uwgate, request: pytest.FixtureRequest) -> tuple[str, int]:
    """Where a client comes in."""
    line = uwgate.wait_for_log(rf"127\.0\.0\.1:(\d+) \({request.param}")
    return "127.0.0.1", int(line[1])


def get(
    address: tuple[str, int], target: str, headers: tuple[tuple[str, str], ...] = ()
) -> client.Answer:
    """One request."""
    return client.ask(address, client.request("GET", target, headers))


def test_a_function_answers(address: tuple[str, int]) -> None:
    assert get(address, "/teapot").status == 418
    response = get(address, "/answer?world")
    assert (response.status, response.body) == (200, b"hello world")


def test_a_function_changes_the_request_and_the_response(address: tuple[str, int]) -> None:
    response = get(address, "/change", (("X-Tag", "blue"),))
    assert response.body == b"/new blue"
    assert (response["X-Rule"], response["X-Status"]) == ("1", "200")


def test_a_function_that_fails_ends_the_request_as_its_rule_says(
    address: tuple[str, int], uwgate: Uwgate
) -> None:
    assert get(address, "/crash").status == 503
    assert get(address, "/careless").body == b"/careless None"
    uwgate.wait_for_log("python:shop_rules:decide: ValueError: /crash")


def test_a_function_that_hangs_has_a_budget(address: tuple[str, int], uwgate: Uwgate) -> None:
    assert get(address, "/hang").status == 503
    uwgate.wait_for_log("budget 0.2 s")
    assert get(address, "/answer").status in (200, 503)  # no worse than before


def test_a_function_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APPLICATION)
    program = start_uwgate(
        "--http",
        "127.0.0.1:0",
        "--wsgi-file",
        "app.py",
        "--route-python",
        "no_such_module:f",
        folder=tmp_path,
    )
    try:
        assert program.wait() != 0
        assert "route-python = no_such_module:f: ModuleNotFoundError" in program.log
    finally:
        program.stop()
