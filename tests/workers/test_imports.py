"""Workers run under the application's own Python: they know nobody above and nothing foreign."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.imports import imports_of

FOLDER = Path(__file__).parents[2] / "workers"
MODULES = sorted(path.relative_to(FOLDER) for path in FOLDER.rglob("*.py"))
ALLOWED = (
    "uwgate.caching",
    "uwgate.conf",
    "uwgate.experts",
    "uwgate.files",
    "uwgate.gateways.wire",
    "uwgate.routing",
    "uwgate.workers",
)
OPTIONAL = {"setproctitle"}  # used where it is installed


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_knows_nobody_above(module: Path) -> None:
    found = imports_of(FOLDER / module) - OPTIONAL
    ours = {name for name in found if name.startswith("uwgate.")}
    assert all(name.startswith(ALLOWED) for name in ours)
    foreign = {name.partition(".")[0] for name in found - ours} - {"uwgate"}
    assert foreign <= set(sys.stdlib_module_names)


def test_what_rules_need_comes_with_python_alone() -> None:
    rules = [*FOLDER.parent.glob("routing/**/*.py"), *FOLDER.parent.glob("files/*.py")]
    found = {name.partition(".")[0] for path in rules for name in imports_of(path)}
    assert found - {"uwgate"} <= set(sys.stdlib_module_names)
