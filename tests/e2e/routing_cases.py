"""Cases for rules, from files: lines of a configuration, and requests for them.

A file is one configuration for both servers. ``[*]`` holds lines for all its cases; every other
section is a case, whose rules see the requests with the case's name as host. Of its lines

- ``row`` says what it tries: ``condition exists``, ``action break``, ``variable qs``,
  ``recipe force-https``; several are separated by commas;
- ``ask`` is a request, with headers behind ``|``: ``GET /a | Cookie: a=b``;
- ``alone`` is the reason why only our workers are compared, and not the gateway,
- ``differs`` behind an ``ask`` is the reason why both answers are not the same, and
  ``ours`` what ours begins with then (status and reason, ``|``, part of the body);
- all others are rules and options.

``@`` stands for the folder with files; ``@http``, ``@uwsgi``, ``@redis`` and ``@dead`` for
addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "cases" / "routing"
FILES = sorted(FOLDER.glob("*.ini"))

_PLACE = re.compile(r"@([a-z]*)")


def fill(text: str, places: Mapping[str, str]) -> str:
    """A text with the places that it names; what is none stays."""
    return _PLACE.sub(lambda match: places.get(match[1], match[0]), text)


@dataclass(slots=True)
class Ask:
    """One request. ``differs``: why ours is answered otherwise; ``ours``: how."""

    line: str
    differs: str = ""
    ours: str = ""

    def as_bytes(self, host: str, *, close: bool = False) -> bytes:
        """What is sent; a Host that the case does not say is the case's own.

        ``close``: the server is told to close the connection behind its answer.
        """
        request, *headers = (part.strip() for part in self.line.split(" | "))
        words = request.split()
        method = words.pop(0) if not words[0].startswith("/") else "GET"
        version = words[1] if len(words) > 1 else "HTTP/1.1"
        if not any(one.lower().startswith("host:") for one in headers):
            headers.insert(0, f"Host: {host}")
        if close:
            headers.append("Connection: close")
        return "\r\n".join([f"{method} {words[0]} {version}", *headers, "", ""]).encode("latin-1")


@dataclass(slots=True)
class Case:
    """Rules under one name, and what is asked of them."""

    name: str
    rows: list[str] = field(default_factory=list)
    alone: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """One configuration. ``shared``: lines for all cases."""

    path: Path
    shared: tuple[tuple[str, str], ...]
    cases: tuple[Case, ...]

    def ini(self, places: Mapping[str, str]) -> str:
        """The rules of all cases as a configuration."""
        lines = [*self.shared, *self._chain(""), *self._chain("response-")]
        rest = [
            line
            for case in self.cases
            for line in case.lines
            if not line[0].startswith(("route", "response-route"))
        ]
        text = "".join(f"{name} = {value}\n" for name, value in [*lines, *rest])
        text = text.replace("%", "%%")
        return fill(text, places)

    def _chain(self, prefix: str) -> Iterator[tuple[str, str]]:
        """The rules of a chain, each case's behind a label with its name."""
        rules = {
            case.name: [line for line in case.lines if line[0].startswith(f"{prefix}route")]
            for case in self.cases
        }
        names = "|".join(name for name, lines in rules.items() if lines)
        if not names:
            return
        yield f"{prefix}route-host", rf"^({names})(\.|:|$) goto:$1"
        yield f"{prefix}route-run", "last:"
        for name, lines in rules.items():
            if lines:
                yield f"{prefix}route-label", name
                yield from lines
                yield f"{prefix}route-run", "last:"


def read(path: Path) -> CaseFile:
    """The cases of a file.

    Raises:
        ValueError: a line cannot be understood.
    """
    shared = Case("*")
    cases: list[Case] = []
    case = shared
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("["):
            case = shared if text == "[*]" else Case(text.strip("[]"))
            if case is not shared:
                cases.append(case)
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ValueError(f"{path}:{number}: {text}")
        match name:
            case "row":
                case.rows += [one.strip() for one in value.split(", ")]
            case "alone":
                case.alone = value
            case "ask":
                case.asks.append(Ask(value))
            case "differs":
                case.asks[-1].differs = value
            case "ours":
                case.asks[-1].ours = value
            case _:
                case.lines.append((name, value))
    return CaseFile(path, tuple(shared.lines), tuple(cases))
