"""The results as text for people: aligned, and in colour on a terminal."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from .contenders import REFERENCE, TARGET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .load import Run

    Results = Mapping[tuple[str, str, str], Sequence[Run]]  # by page, mode and contender

TITLES = {"/": "hello, world", "/large": "100 KiB"}
HEAD = ("", "requests/s", "spread", "p50 ms", "p99 ms", "CPU s/1000", "RSS MiB", "÷ uWSGI")
BOLD, GREEN, RED, DIM, PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def rate(runs: Sequence[Run]) -> float:
    """The median of the rates; 0 when a run had errors."""
    return 0.0 if any(run.errors for run in runs) else statistics.median(r.rate for r in runs)


def render(results: Results, *, colour: bool) -> str:
    """The whole report: a table for each page and mode, then the targets."""
    lines: list[str] = []
    groups = list(dict.fromkeys((page, mode) for page, mode, _ in results))
    for page, mode in groups:
        rows = {name: runs for (p, m, name), runs in results.items() if (p, m) == (page, mode)}
        lines += ["", _paint(f"{TITLES[page]}, {mode}", BOLD, colour)]
        lines += _table(rows, REFERENCE[mode], colour)
    lines.append("")
    lines += [_verdict(results, page, mode, colour) for page, mode in groups]
    return "\n".join(lines) + "\n"


def _table(rows: Mapping[str, Sequence[Run]], reference: str, colour: bool) -> list[str]:
    base = rate(rows.get(reference, ()) or ()) if reference in rows else 0.0
    cells: list[tuple[str, ...]] = [HEAD]
    notes: list[str] = []
    for name, runs in rows.items():
        wrong = next((run.errors for run in runs if run.errors), "")
        if wrong:
            notes.append(_paint(f"  {name} is not valid: {wrong}", RED, colour))
        cells.append((name, *_figures(runs, base)))
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    lines = [
        "  "
        + "  ".join(
            _align(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    lines[0] = _paint(lines[0], DIM, colour)
    lines[1:] = [
        _paint(line, BOLD, colour) if row[0] == "uwgate" else line
        for line, row in zip(lines[1:], cells[1:], strict=True)
    ]
    return lines + notes


def _figures(runs: Sequence[Run], base: float) -> tuple[str, ...]:
    middle = rate(runs)
    rates = [run.rate for run in runs]
    spread = (max(rates) - min(rates)) / statistics.median(rates) if min(rates) else 0.0
    return (
        f"{middle:,.0f}" if middle else "invalid",
        f"{spread:.0%}",
        f"{statistics.median(run.p50 for run in runs):.2f}",
        f"{statistics.median(run.p99 for run in runs):.2f}",
        f"{statistics.median(run.cpu for run in runs):.3f}",
        f"{statistics.median(run.rss for run in runs) / 2**20:.0f}",
        f"{middle / base:.2f}" if middle and base else "",
    )


def _verdict(results: Results, page: str, mode: str, colour: bool) -> str:
    ours = results.get((page, mode, "uwgate"))
    theirs = results.get((page, mode, REFERENCE[mode]))
    what = f"{TITLES[page]}, {mode}: "
    if not ours or not theirs:
        return f"{what}no ratio without both uwgate and {REFERENCE[mode]}"
    if not rate(ours) or not rate(theirs):
        return _paint(f"{what}no valid ratio", RED, colour)
    ratio = rate(ours) / rate(theirs)
    reached = ratio >= TARGET[mode]
    word = "reached" if reached else "missed"
    text = f"{what}{ratio:.2f} times {REFERENCE[mode]}, target {TARGET[mode]} {word}"
    return _paint(text, GREEN if reached else RED, colour)


def _align(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def _paint(text: str, code: str, colour: bool) -> str:
    return f"{code}{text}{PLAIN}" if colour else text
