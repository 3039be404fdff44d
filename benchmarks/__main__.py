"""``python -m benchmarks``: run everybody in turn, several times over, and print a table.

The runs of one contender are spread over the whole time (a, b, c, a, b, c, ...), so that a
machine that becomes slower for a minute does not decide who wins. Nothing is saved.
"""

from __future__ import annotations

import argparse
import os
import sys

from .contenders import CLOSE, CONTENDERS, KEEP, Contender, find
from .load import CONNECTIONS, Run, load
from .running import NotStarted, running
from .table import TITLES, render


def main() -> int:
    """Parse the command line, measure, print. Missing a target is no failure."""
    options = parse()
    if find("wrk") is None:
        sys.stderr.write("wrk is not installed (apt-get install wrk)\n")
        return 1
    taking_part = choose(options.only)
    note = f"wrk -t1 -c{CONNECTIONS}, {options.runs} runs of {options.seconds} s each, interleaved"
    say(f"{note}; {os.cpu_count()} CPUs\n")
    results: dict[tuple[str, str, str], list[Run]] = {}
    order = [
        (page, mode, contender.name)
        for page in options.page
        for mode in options.mode
        for contender in taking_part
        if mode in contender.modes
    ]
    for number in range(1, options.runs + 1):
        for contender in taking_part:
            progress(f"run {number} of {options.runs}: {contender.name}")
            for key, run in measure(contender, options):
                results.setdefault(key, []).append(run)
    progress("")
    ordered = {key: results[key] for key in order if key in results}
    say(render(ordered, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="who takes part")
    parser.add_argument("--runs", type=positive, default=5, help="how many times (5)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of a run (3)")
    parser.add_argument("--page", nargs="+", choices=list(TITLES), default=list(TITLES))
    parser.add_argument("--mode", nargs="+", choices=[KEEP, CLOSE], default=[KEEP, CLOSE])
    return parser.parse_args()


def positive(text: str) -> int:
    """A whole number from 1 to 600."""
    number = int(text)
    if not 1 <= number <= 600:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 600")
    return number


def choose(names: list[str]) -> list[Contender]:
    """Those who were asked for and are installed; the others are named."""
    chosen = []
    for contender in CONTENDERS:
        missing = [program for program in contender.programs if find(program) is None]
        if contender.name in names and missing:
            say(f"{contender.name} is left out: {', '.join(missing)} is not installed\n")
        elif contender.name in names:
            chosen.append(contender)
    return chosen


def measure(
    contender: Contender, options: argparse.Namespace
) -> list[tuple[tuple[str, str, str], Run]]:
    """Each page in each mode, once, on a server that was just started."""
    found = []
    try:
        with running(contender) as server:
            for page in options.page:
                for mode in options.mode:
                    if mode in contender.modes:
                        run = load(server, page, mode, options.seconds)
                        found.append(((page, mode, contender.name), run))
    except NotStarted as error:
        progress("")
        say(f"{contender.name} did not start:\n{error}\n")
    return found


def progress(text: str) -> None:
    """One line that replaces itself; nothing when nobody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def say(text: str) -> None:
    """A piece of the report."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
