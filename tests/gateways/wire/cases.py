"""Request heads in files: tests/cases/http1/.

Each file is one head. To keep CR and LF visible and safe from editors, a line of the file is
a Python bytes literal without its quotes; they are joined as they are.
"""

from __future__ import annotations

import ast
from pathlib import Path

CASES = Path(__file__).parents[2] / "cases" / "http1"


class Case(bytes):
    """A head that knows the name of its file."""

    name: str

    def __str__(self) -> str:
        return self.name


def load_cases(folder: str) -> list[Case]:
    """All heads of a folder, by name; never none."""
    cases = [_load(path) for path in sorted((CASES / folder).glob("*.head"))]
    assert cases, f"no cases in {folder}"
    return cases


def _load(path: Path) -> Case:
    lines = path.read_text("ascii").splitlines()
    case = Case(b"".join(ast.literal_eval(f'b"""{line}"""') for line in lines))
    case.name = path.stem
    return case
