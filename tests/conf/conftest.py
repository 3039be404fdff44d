"""Fixtures: files on disk, and the real uWSGI to compare with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from uwgate.conf.loading import Loaded, load

if TYPE_CHECKING:
    from collections.abc import Mapping

END = b";end of configuration"


class Configure(Protocol):
    """Loads a text as a file."""

    def __call__(
        self, text: str, *arguments: str, name: str = ..., environ: Mapping[str, str] = ...
    ) -> Loaded:
        """Write the text to a file and load it, behind the arguments."""
        ...


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Write a text to ``app.ini`` and load it."""

    def configure(
        text: str,
        *arguments: str,
        name: str = "app.ini",
        environ: Mapping[str, str] | None = None,
    ) -> Loaded:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load([*arguments, str(path)], environ or {})

    return configure


class Uwsgi:
    """The real program, asked what it makes of a configuration."""

    def __init__(self, binary: str) -> None:
        self._binary = binary

    def pairs(self, directory: Path, *arguments: str, **environ: str) -> list[tuple[str, str]]:
        """The option list that ``--show-config`` prints."""
        process = subprocess.Popen(
            [self._binary, "--show-config", *arguments],
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        lines: list[bytes] = []
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip(b"\n"))
                if line.startswith(END):
                    break
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # it may have forked already
            process.stdout.close()
            process.wait()
        assert END in lines, b"\n".join(lines).decode()
        start = lines.index(b"[uwsgi]")
        found = [line.decode().partition(" = ") for line in lines[start + 1 : lines.index(END)]]
        return [(key, value) for key, _, value in found if key != "show-config"]

    def get(self, directory: Path, name: str, *arguments: str, **environ: str) -> str:
        """What ``--get NAME`` prints."""
        done = subprocess.run(
            [self._binary, "--get", name, *arguments],
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout.removesuffix("\n")


@pytest.fixture(scope="session")
def uwsgi() -> Uwsgi:
    """The real uWSGI, next to this Python or on PATH."""
    beside = Path(sys.executable).parent / "uwsgi"
    binary = str(beside) if beside.exists() else shutil.which("uwsgi")
    if binary is None:
        pytest.fail("these tests compare with the real uWSGI: pip install uwsgi")
    return Uwsgi(binary)
