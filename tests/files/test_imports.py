"""Who in this folder may touch the disk (docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.imports import imports_of

FOLDER = Path(__file__).parents[2] / "files"
MODULES = sorted(path.relative_to(FOLDER) for path in FOLDER.rglob("*.py"))
FORBIDDEN = {"trio", "socket", "time", "datetime", "random", "threading", "subprocess", "select"}
DISK = {"os", "ctypes", "io", "pathlib", "stat"}
ALLOWED = ("uwgate.conf", "uwgate.files", "uwgate.gateways.wire", "uwgate.routing.regexp")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_no_socket_and_no_clock(module: Path) -> None:
    found = imports_of(FOLDER / module)
    assert not found & FORBIDDEN
    assert all(name.startswith(ALLOWED) for name in found if name.startswith(("uwgate", ".")))


KNOWING = ("disk.py", "resident.py")  # names of files, and bytes of open ones


@pytest.mark.parametrize("module", [one for one in MODULES if one.name not in KNOWING], ids=str)
def test_only_two_modules_know_the_disk(module: Path) -> None:
    tree = ast.parse((FOLDER / module).read_text())
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not imports_of(FOLDER / module) & DISK
    assert "open" not in calls
