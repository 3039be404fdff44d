"""A master in a process of its own, and questions to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds; only a failing test waits this long

Overrides = dict[str, dict[str, Any]]


class RunningMaster:
    """A master with fake children, its log, and its address."""

    def __init__(
        self,
        directory: Path,
        settings: Overrides,
        environ: dict[str, str],
        activated: int | None,
    ) -> None:
        self.directory = directory
        self.log_path = directory / "log"
        self.settings_path = directory / "settings.json"
        self.configure(settings)
        self.environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **environ}
        if activated is not None:
            self.environ |= {"LISTEN_PID": "self", "LISTEN_FDS": "1", "ACTIVATED": str(activated)}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests/master/run_master.py"), self.settings_path],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env=self.environ,
                pass_fds=[] if activated is None else [activated],
            )

    def configure(self, settings: Overrides) -> None:
        self.settings_path.write_text(json.dumps(settings))

    @property
    def log(self) -> str:
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern: str, count: int = 1) -> re.Match[str]:
        """The ``count``-th match of a pattern in the log, once it is there."""
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            # A daemon's caller ends well, and the daemon goes on.
            has_ended = self.process.poll() not in (None, 0)
            found[:] = list(re.finditer(pattern, self.log))
            return len(found) >= count or has_ended

        wait_until(is_there, lambda: f"{pattern!r} x {count} in the log:\n{self.log}")
        assert len(found) >= count, f"ended without {pattern!r}:\n{self.log}"
        return found[count - 1]

    def port(self) -> int:
        return int(self.wait_log(r"listening on \S+?:(\d+) ")[1])

    def wait_serving(self, generation: int = 1) -> None:
        self.wait_log(f"generation {generation} serves")

    def ask(self, path: str = "/") -> dict[str, Any]:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port()}{path}", timeout=PATIENCE
        ) as answer:
            return dict(json.loads(answer.read()))

    def ask_or_none(self) -> dict[str, Any] | None:
        try:
            return self.ask()
        except OSError:
            return None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def pids(self, kind: str) -> list[int]:
        return [int(pid) for pid in re.findall(rf"spawned uWSGI {kind}.* \(pid: (\d+)\)", self.log)]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def wait_until(condition: Callable[[], bool], describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {describe()}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


StartMaster = Callable[..., RunningMaster]


@pytest.fixture
def start_master(tmp_path: Path) -> Iterator[StartMaster]:
    started: list[RunningMaster] = []

    def start(settings: Overrides, activated: int | None = None, **environ: str) -> RunningMaster:
        one = RunningMaster(tmp_path, settings, environ, activated)
        started.append(one)
        return one

    yield start
    for one in started:
        one.end()
