"""What setup.py compiles can be compiled, as far as that shows without a compiler."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("conf", "files", "gateways", "routing", "subscriptions", "workers", "src/uwgate")


def modules() -> set[str]:
    """Those of setup.py, without running it."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    (text,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MODULES"
    )
    return set(text.split())


def bases(file: Path) -> Iterator[str]:
    """The full names of what a file's classes inherit from, as far as its imports tell.

    Without those of protocols, of which nothing is compiled.
    """
    names: dict[str, str] = {}
    tree = ast.parse(file.read_text())
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("uwgate."):
            for name in node.names:
                names[name.asname or name.name] = f"{node.module}.{name.name}"
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found = [ast.unparse(base).partition("[")[0] for base in node.bases]
            if "Protocol" not in found:
                yield from (names.get(base, "") for base in found)


@pytest.mark.parametrize("name", sorted(modules()))
def test_what_is_compiled_is_there(name: str) -> None:
    assert (ROOT / "src" / "uwgate" / f"{name}.py").is_file()


def test_no_class_that_is_not_compiled_inherits_from_one_that_is() -> None:
    compiled = modules()
    wrong = []
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            own = file.relative_to(ROOT).as_posix().removeprefix("src/uwgate/")
            if own.removesuffix(".py") in compiled:
                continue
            for base in bases(file):
                module = base.rpartition(".")[0].removeprefix("uwgate.").replace(".", "/")
                if module in compiled:
                    wrong.append(f"{own}: {base}")
    assert wrong == []
