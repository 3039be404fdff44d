"""A limit that a rule sets for a request ends the process, whatever it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import uwgate
from uwgate.workers.harakiri import Harakiri

HANGING = """
import threading
from uwgate.workers.harakiri import Harakiri
harakiri = Harakiri()
harakiri.begin(0, 600)
harakiri.begin(1, {seconds})
{more}
threading.Event().wait(200)
"""


def run(more: str, seconds: float = 0.05) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HANGING.format(more=more, seconds=seconds)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(uwgate.__file__).parents[1])},
    )


def test_the_earliest_limit_ends_the_process_and_says_where_it_was() -> None:
    ended = run("")
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "in wait" in ended.stderr


def test_a_request_that_is_over_has_no_limit() -> None:
    ended = run("harakiri.end(1); harakiri.end(0); import sys; sys.exit(5)", 600)
    assert ended.returncode == 5


def test_the_end_of_one_request_leaves_the_limit_of_another() -> None:
    assert run("harakiri.end(0)").returncode == 1


@pytest.mark.parametrize("core", [0, 7])
def test_a_slot_without_limit_may_end(core: int) -> None:
    Harakiri().end(core)
