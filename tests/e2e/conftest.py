"""Fixtures of the end-to-end tests: folders, and the program under test."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from .processes import Uwgate, finish_uwgate, start_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Start(Protocol):
    """``uwgate(...)`` in a test starts the program with these arguments."""

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, name: str = "uwgate"
    ) -> Uwgate: ...


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    """A folder for one module's tests, with a short name, that every user may enter.

    Short: names of UNIX sockets have 107 bytes. Open: Apache gives up being root.
    """
    folder = Path(tempfile.mkdtemp(prefix="uwgate-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for one test, with a short name, that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="uwgate-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def uwgate(folder: Path) -> Iterator[Start]:
    """Starts uwgate; at the end of the test it has to stop well, unless it stopped already."""
    started: list[Uwgate] = []

    def start(
        *arguments: str, env: Mapping[str, str] | None = None, name: str = "uwgate"
    ) -> Uwgate:
        program = start_uwgate(*arguments, folder=folder, env=env, name=name)
        started.append(program)
        return program

    try:
        yield start
        for program in started:
            if program.popen.poll() is None:
                finish_uwgate(program)
    finally:
        for program in started:
            program.stop()
