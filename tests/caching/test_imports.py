"""Who in this folder may know what (docs/architecture.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imports import imports_of

FOLDER = Path(__file__).parents[2] / "caching"
MODULES = sorted(FOLDER.glob("*.py"))
OF_THE_PROCESS = ("process.py", "__main__.py")
KNOW_LMDB = ("environment.py", "library.py", "verification.py")
PURE = ("arithmetic.py", "commands.py", "datagrams.py", "records.py", "sealing.py")
INPUT_AND_OUTPUT = {"os", "socket", "select", "time", "threading", "subprocess", "tempfile", "mmap"}
ALLOWED = ("uwgate.conf", "uwgate.caching", "uwgate.gateways.wire", "uwgate.routing")


def name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize(
    "path", [one for one in MODULES if one.name not in OF_THE_PROCESS], ids=name
)
def test_what_workers_import_needs_no_loop_and_nothing_of_the_gateways(path: Path) -> None:
    found = imports_of(path)
    assert "trio" not in found
    assert all(one.startswith(ALLOWED) for one in found if one.startswith(("uwgate", ".")))


@pytest.mark.parametrize("path", [one for one in MODULES if one.name not in KNOW_LMDB], ids=name)
def test_few_know_the_library(path: Path) -> None:
    assert "lmdb" not in imports_of(path)


@pytest.mark.parametrize("file", PURE)
def test_formats_do_no_input_and_output(file: str) -> None:
    assert not imports_of(FOLDER / file) & INPUT_AND_OUTPUT
