"""Routing does no I/O, has no clock, and knows nobody above it (docs/architecture.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.imports import imports_of

FOLDER = Path(__file__).parents[2] / "routing"
MODULES = sorted(path.relative_to(FOLDER) for path in FOLDER.rglob("*.py"))
ALLOWED = ("uwgate.conf", "uwgate.routing")
FORBIDDEN = {
    "trio",
    "socket",
    "time",
    "multiprocessing",
    "select",
    "subprocess",
    "os",
    "random",
    "uuid",
    "datetime",
}


MACHINE = Path("machine.py")  # what rules run on; it is given to them


@pytest.mark.parametrize("module", [one for one in MODULES if one != MACHINE], ids=str)
def test_a_module_is_pure(module: Path) -> None:
    found = imports_of(FOLDER / module)
    assert not found & FORBIDDEN
    assert all(name.startswith(ALLOWED) for name in found if name.startswith(("uwgate", ".")))
