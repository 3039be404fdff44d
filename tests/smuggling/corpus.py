"""Requests that two programs could read differently, one in a file: ``FAMILY/NAME.case``.

The first lines of a file, up to the first empty one, say what it is::

    # Why two could read it differently
    expect: refused 400 501

What follows is the request. A line is a Python bytes literal without its quotes; lines are
joined as they are, so CR and LF are always to be seen. ``*70000 a`` is 70000 times what follows
the space. Behind each request goes a second one, which shows where the first one ended.

``refused STATUS...``
    One of these is the answer, nothing runs, and the connection ends.
``broken STATUS...``
    The head is right and the body is not, so the application may have begun: one of these is the
    answer, or none at all; what follows does not run, and the connection ends.
``accepted [SIZE]``
    Exactly this request runs, with a body of that many bytes, and then the second one.

What HTTP/2 adds (line ends, colons and framing fields in requests that become HTTP/1 or uwsgi) is
in tests/gateways/http2.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
_EXPECT = re.compile(r"expect: (refused|broken|accepted)((?: [0-9]+)*)")
_REPEATED = re.compile(r"\*([0-9]+) (.+)")


@dataclass(frozen=True)
class Case:
    """One request and its outcome. ``numbers``: the statuses, or the size of the body."""

    name: str
    outcome: str
    numbers: tuple[int, ...]
    data: bytes

    def __str__(self) -> str:
        return self.name


def load(outcome: str) -> list[Case]:
    """All cases with this outcome, by name; never none."""
    cases = [_load(path) for path in sorted(FOLDER.glob("*/*.case"))]
    found = [case for case in cases if case.outcome == outcome]
    assert found, f"no {outcome} cases"
    return found


def _load(path: Path) -> Case:
    head, _, text = path.read_text("ascii").partition("\n\n")
    comment, expect = head.split("\n")
    match = _EXPECT.fullmatch(expect)
    assert comment.startswith("# "), path
    assert match is not None, path
    data = b"".join(_bytes(line) for line in text.splitlines())
    numbers = tuple(int(number) for number in match[2].split())
    return Case(f"{path.parent.name}/{path.stem}", match[1], numbers, data)


def _bytes(line: str) -> bytes:
    repeated = _REPEATED.fullmatch(line)
    if repeated is not None:
        return int(repeated[1]) * _bytes(repeated[2])
    value = ast.literal_eval(f'b"""{line}"""')
    assert isinstance(value, bytes)
    return value
