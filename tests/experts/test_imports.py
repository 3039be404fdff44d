"""Who in this folder may know what (docs/architecture.md)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.imports import imports_of

FOLDER = Path(__file__).parents[2] / "experts"
MODULES = sorted(FOLDER.glob("*.py"))
ALLOWED = ("uwgate.conf", "uwgate.experts", "uwgate.routing")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_what_workers_import_needs_no_loop_and_nothing_foreign(path: Path) -> None:
    found = imports_of(path)
    ours = {name for name in found if name.startswith("uwgate.")}
    assert all(name.startswith(ALLOWED) for name in ours)
    assert {name.partition(".")[0] for name in found - ours} <= set(sys.stdlib_module_names)
