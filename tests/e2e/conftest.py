"""Fixtures of the end-to-end tests: folders, and the program under test."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from .processes import Uwgate, finish_uwgate, start_uwgate, vacate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Start(Protocol):
    """``uwgate(...)`` in a test starts the program with these arguments."""

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, name: str = "uwgate"
    ) -> Uwgate: ...


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder with a short name that every user may enter; in the end nobody may be in it.

    Short: names of UNIX sockets have 107 bytes. Open: Apache gives up being root.
    """
    folder = Path(tempfile.mkdtemp(prefix="uwgate-"))
    folder.chmod(0o755)
    try:
        yield folder
        vacate(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    """A folder for one module's tests."""
    with temporary_folder() as folder:
        yield folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for one test."""
    with temporary_folder() as folder:
        yield folder


@pytest.fixture
def uwgate(folder: Path) -> Iterator[Start]:
    """Starts uwgate; at the end of the test it has to stop well, unless it stopped already."""
    started: list[Uwgate] = []
    ends = contextlib.ExitStack()  # all are stopped, even if one of them does not want to

    def start(
        *arguments: str, env: Mapping[str, str] | None = None, name: str = "uwgate"
    ) -> Uwgate:
        program = start_uwgate(*arguments, folder=folder, env=env, name=name)
        started.append(program)
        ends.callback(program.stop)
        return program

    with ends:
        yield start
        for program in started:
            if program.popen.poll() is None:
                finish_uwgate(program)
