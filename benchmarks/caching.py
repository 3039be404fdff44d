"""``python -m benchmarks.caching``: an answer from a cache by a routing rule, here and in uWSGI.

The same rule and the same item in both, with keep-alive: behind the HTTP router, where our gateway
finds the item itself and uWSGI's worker does, and at a socket of the workers. Nothing is saved, and
missing a target is no failure.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from .__main__ import positive, progress, say
from .contenders import HERE, KEEP, WORKERS, Contender, find
from .load import Run, load
from .running import NotStarted, running

TARGET = 1.0
GATEWAY, WORKER = "HTTP router", "workers' socket"
RULE = ["--cache2", "name=pages,items=100", "--add-cache-item", f"page={'cached ' * 100}"]
RULE += ["--route", "^/$ cache:key=page,content_type=text/plain"]
LISTEN = {
    GATEWAY: lambda port: ["--http", f"127.0.0.1:{port}", "--http-keepalive"],
    WORKER: lambda port: ["--http11-socket", f"127.0.0.1:{port}"],
}


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.caching", description=__doc__)
    parser.add_argument("--runs", type=positive, default=5, help="how many times (5)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of a run (3)")
    options = parser.parse_args()
    missing = [name for name in ("wrk", "uwsgi") if find(name) is None]
    if missing:
        sys.stderr.write(f"not installed: {', '.join(missing)}\n")
        return 1
    results: dict[tuple[str, str], list[Run]] = {}
    for number in range(1, options.runs + 1):
        for where in LISTEN:
            for contender in contenders(where):
                progress(f"run {number} of {options.runs}: {contender.name}, {where}")
                try:
                    with running(contender) as server:
                        run = load(server, "/", KEEP, options.seconds)
                        results.setdefault((where, contender.name), []).append(run)
                except NotStarted as error:
                    say(f"{contender.name} did not start:\n{error}\n")
    progress("")
    say(render(results))
    return 0


def contenders(where: str) -> list[Contender]:
    """Both programs, at one kind of socket."""
    ours = [sys.executable, "-m", "uwgate"]
    theirs = [find("uwsgi") or "uwsgi", "--die-on-term"]
    return [
        Contender("uwgate", (), (KEEP,), _commands(ours, where)),
        Contender("uwsgi", (), (KEEP,), _commands(theirs, where)),
    ]


def _commands(program: list[str], where: str) -> Callable[[int, Path], list[list[str]]]:
    def commands(port: int, folder: Path) -> list[list[str]]:
        argv = [*program, "--master", "--disable-logging", *LISTEN[where](port), *RULE]
        return [[*argv, "--wsgi-file", str(HERE / "pages.py"), "--processes", WORKERS]]

    return commands


def render(results: dict[tuple[str, str], list[Run]]) -> str:
    """The medians, and how the target was met."""
    lines = [""]
    for (where, name), runs in results.items():
        wrong = next((run.errors for run in runs if run.errors), "")
        rate = statistics.median(run.rate for run in runs)
        cpu = statistics.median(run.cpu for run in runs)
        text = f"  {where:<18}{name:<8}{rate:>10,.0f} requests/s{cpu:>8.3f} CPU s/1000"
        lines.append(f"{text}  {wrong}".rstrip())
    for where in LISTEN:
        ours, theirs = results.get((where, "uwgate")), results.get((where, "uwsgi"))
        if ours and theirs:
            ratio = statistics.median(r.rate for r in ours) / statistics.median(
                r.rate for r in theirs
            )
            verdict = "reached" if ratio >= TARGET else "missed"
            lines.append(f"{where}: {ratio:.2f} times uWSGI's, target {TARGET} {verdict}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
