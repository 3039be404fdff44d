"""Backends that a function names."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.gateways.corerouter.routers import begin, name, router
from uwgate.conf.errors import ConfigError
from uwgate.gateways.corerouter.outcome import Outcome
from uwgate.gateways.corerouter.router import Corerouter, Target

FILE = """
import threading

def pick(key):
    calls.append(key)
    return {result}

calls = []
hold = threading.Event()
"""


def make(folder: Path, result: str, **options: object) -> Corerouter:
    path = folder / "pick.py"
    path.write_text(FILE.format(result=result))
    return router(use_code_string=f"0:{path}:pick", **options)


async def first(made: Corerouter, key: str = "a.example:80") -> Target | None:
    attempts = begin(made, key)
    await attempts.prepare()
    target = attempts.next(0.0)
    attempts.end(0.0)
    return target


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ("b'127.0.0.1:3031'", ("127.0.0.1:3031", None, None)),
        ("'/run/x.sock'", ("/run/x.sock", None, None)),
        ("b'127.0.0.1:3031,5'", ("127.0.0.1:3031", 5, 0)),
        ("'/run/' + key.decode()", ("/run/a.example:80", None, None)),
        ("'@' + type(key).__name__", ("@bytes", None, None)),
    ],
)
async def test_what_it_returns_is_the_backend(
    tmp_path: Path, result: str, found: tuple[str, int | None, int | None]
) -> None:
    target = await first(make(tmp_path, result))
    assert target is not None
    assert (target.name, target.modifier1, target.modifier2) == found


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("None", ""),
        ("b''", ""),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("5", "it returned int, expected bytes or str"),
        ("'host:no'", "it returned 'host:no', expected ADDRESS"),
        ("':1,256'", "it returned ':1,256', expected ADDRESS"),
        ("':1,x'", "it returned ':1,x', expected ADDRESS"),
    ],
)
async def test_what_is_no_backend_is_told_once_and_counted(
    tmp_path: Path, result: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = make(tmp_path, result)
    for _ in range(3):
        assert await first(made) is None
    assert made.counters["code-string"] == (3 if message else 0)
    assert caplog.text.count("use-code-string") == (1 if message else 0)
    assert message in caplog.text


async def test_after_a_failure_it_is_asked_again_and_then_the_fallback(tmp_path: Path) -> None:
    made = make(tmp_path, "f'127.0.0.1:{3000 + len(calls)}'", fallback=("/fallback",))
    attempts = begin(made)
    tried = []
    while True:
        await attempts.prepare()
        target = attempts.next(0.0)
        if target is None:
            break
        tried.append(name(target))
        attempts.failed(0.0, "refused")
    attempts.end(0.0)
    assert tried == [f"127.0.0.1:{3000 + number}" for number in (1, 2, 3, 4)] + ["/fallback"]


async def test_one_that_hangs_costs_no_more_than_connect_timeout(tmp_path: Path) -> None:
    made = make(tmp_path, "hold.wait()", connect_timeout=1.0)
    module = made.mapper._function.__globals__  # type: ignore[attr-defined]
    attempts = begin(made)
    try:
        for _ in range(2):  # the second waits for the first
            await attempts.prepare()
            assert attempts.next(0.0) is None
            assert attempts.outcome is Outcome.NOBODY
        assert made.counters["code-string"] == 2
        assert len(module["calls"]) == 1
    finally:
        module["hold"].set()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("def other(): pass", "there is no function pick"),
        ("pick = 5", "there is no function pick"),
        ("import", "SyntaxError"),
        ("raise ValueError('broken')", "ValueError: broken"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, text: str | None, reason: str
) -> None:
    path = tmp_path / "pick.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        router(use_code_string=f"0:{path}:pick")


def test_a_text_file_is_no_python(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no Python file"):
        router(use_code_string=f"0:{tmp_path / 'pick.txt'}:pick")


async def test_needs_a_task(tmp_path: Path) -> None:
    made = make(tmp_path, "None")
    assert made.needs_task
    assert begin(made).next(0.0) is None  # nobody has asked the function
    await trio.lowlevel.checkpoint()
