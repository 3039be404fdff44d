"""``python -m benchmarks.fastrouter``: uWSGI's fastrouter and ours behind the same nginx.

nginx -> fastrouter -> uWSGI with two workers, over TCP and over UNIX sockets; without a fastrouter
for comparison. Then each fastrouter before two workers of its own instance. One fastrouter process
each. With ``--compiled`` also ours with compiled modules. Nothing is saved, and missing a target is
no failure.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from .__main__ import positive, progress, say
from .compiled import NotBuilt, build
from .contenders import HERE, KEEP, NGINX, WORKERS, Contender, find
from .load import Run, load
from .running import NotStarted, running

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = 1.0
TCP, UNIX = "TCP", "UNIX sockets"
OWN = ", own workers"  # behind the name of a product
COMPILED = ", compiled"  # the same
BACKLOG = "512"  # more connections come at a time than uWSGI lets wait by default


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fastrouter", description=__doc__)
    parser.add_argument("--over", nargs="+", choices=[TCP, UNIX], default=[TCP, UNIX])
    parser.add_argument("--runs", type=positive, default=5, help="how many times (5)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of a run (3)")
    parser.add_argument("--compiled", action="store_true", help="ours with compiled modules too")
    options = parser.parse_args()
    missing = [name for name in ("wrk", "nginx", "uwsgi") if find(name) is None]
    if missing:
        sys.stderr.write(f"not installed: {', '.join(missing)}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="compiled-") as folder:
        compiled = None
        if options.compiled:
            progress("compiling")
            try:
                compiled = build(Path(folder, "copy"))
            except NotBuilt as error:
                sys.stderr.write(f"not compiled:\n{error}\n")
                return 1
        say(render(_measure(options, compiled)))
    return 0


def _measure(
    options: argparse.Namespace, compiled: Path | None
) -> dict[tuple[str, str], list[Run]]:
    """The runs by transport and contender."""
    results: dict[tuple[str, str], list[Run]] = {}
    for number in range(1, options.runs + 1):
        for over in options.over:
            for contender in contenders(over, compiled):
                progress(f"run {number} of {options.runs}: {contender.name} over {over}")
                try:
                    with running(contender) as server:
                        run = load(server, "/", KEEP, options.seconds)
                        results.setdefault((over, contender.name), []).append(run)
                except NotStarted as error:
                    say(f"{contender.name} did not start:\n{error}\n")
    progress("")
    return results


def render(results: dict[tuple[str, str], list[Run]]) -> str:
    """The medians, and how the target was met."""
    lines = [""]
    for (over, name), runs in results.items():
        wrong = next((run.errors for run in runs if run.errors), "")
        middle = statistics.median(run.rate for run in runs)
        cpu = statistics.median(run.cpu for run in runs)
        text = f"  {over:<14}{name:<22}{middle:>10,.0f} requests/s{cpu:>8.3f} CPU s/1000"
        lines.append(f"{text}  {wrong}".rstrip())
    overs = dict.fromkeys(over for over, _ in results)
    for over, kind, made in product(overs, ("", OWN), ("", COMPILED)):
        ours = results.get((over, f"uwgate{made}{kind}"), ())
        theirs = results.get((over, f"uwsgi{kind}"), ())
        if ours and theirs and not any(run.errors for run in (*ours, *theirs)):
            ratio = statistics.median(r.rate for r in ours) / statistics.median(
                r.rate for r in theirs
            )
            verdict = "reached" if ratio >= TARGET else "missed"
            measured = f"{ratio:.2f} times uWSGI's, target {TARGET} {verdict}"
            lines.append(f"over {over}{made}{kind}: {measured}")
    return "\n".join(lines) + "\n"


def contenders(over: str, compiled: Path | None = None) -> list[Contender]:
    """Who takes part; nginx is in front of each of them.

    ``compiled`` is the PYTHONPATH of compiled modules; None: there are none.
    """
    found = _contenders(over)
    if compiled is None:
        return found
    path = f"PYTHONPATH={compiled}"
    return [
        Contender(f"uwgate{COMPILED}", (), (KEEP,), _chain(over, _with(path, _uwgate))),
        Contender(f"uwgate{COMPILED}{OWN}", (), (KEEP,), _alone(over, _with(path, _uwgate_alone))),
        *found,
    ]


def _with(setting: str, argv: Callable[[str, str], list[str]]) -> Callable[[str, str], list[str]]:
    return lambda door, backend: ["env", setting, *argv(door, backend)]


def _contenders(over: str) -> list[Contender]:
    return [
        Contender("uwgate", (), (KEEP,), _chain(over, _uwgate)),
        Contender("uwsgi", (), (KEEP,), _chain(over, _uwsgi)),
        Contender("neither", (), (KEEP,), _chain(over, None)),
        Contender(f"uwgate{OWN}", (), (KEEP,), _alone(over, _uwgate_alone)),
        Contender(f"uwsgi{OWN}", (), (KEEP,), _alone(over, _uwsgi_alone)),
    ]


def _uwgate(door: str, backend: str) -> list[str]:
    argv = [sys.executable, "-m", "uwgate", "--fastrouter", door, "--fastrouter-to", backend]
    return [*argv, "--listen", BACKLOG]


def _uwsgi(door: str, backend: str) -> list[str]:
    argv = [find("uwsgi") or "uwsgi", "--master", "--die-on-term", "--fastrouter", door]
    return [*argv, "--fastrouter-to", backend, "--listen", BACKLOG]


def _uwgate_alone(door: str, backend: str) -> list[str]:
    argv = [sys.executable, "-m", "uwgate", "--fastrouter", door, "--disable-logging"]
    return [*argv, "--listen", BACKLOG, *_workers()]


def _uwsgi_alone(door: str, backend: str) -> list[str]:
    argv = [find("uwsgi") or "uwsgi", "--master", "--die-on-term", "--fastrouter", door]
    argv += ["--fastrouter-use-socket=0", "--socket", backend, "--disable-logging"]
    return [*argv, "--listen", BACKLOG, *_workers()]


def _workers() -> list[str]:
    return ["--wsgi-file", str(HERE / "pages.py"), "--processes", WORKERS]


def _alone(
    over: str, instance: Callable[[str, str], list[str]]
) -> Callable[[int, Path], list[list[str]]]:
    def commands(port: int, folder: Path) -> list[list[str]]:
        door, backend = _addresses(over, port, folder)
        nginx = _nginx(port, folder, f"unix:{door}" if over == UNIX else door)
        return [instance(door, backend), nginx]

    return commands


def _addresses(over: str, port: int, folder: Path) -> tuple[str, str]:
    if over == UNIX:
        return f"{folder}/door.sock", f"{folder}/uwsgi.sock"
    # Two ports of loopback's many addresses, which nobody else has.
    return f"127.0.2.1:{port}", f"127.0.2.2:{port}"


def _chain(
    over: str, router: Callable[[str, str], list[str]] | None
) -> Callable[[int, Path], list[list[str]]]:
    def commands(port: int, folder: Path) -> list[list[str]]:
        door, backend = _addresses(over, port, folder)
        argv = [find("uwsgi") or "uwsgi", "--socket", backend, "--master", "--die-on-term"]
        argv += ["--disable-logging", "--listen", BACKLOG]
        started = [[*argv, *_workers()]]
        if router is not None:
            started.append(router(door, backend))
        to = door if router is not None else backend
        return [*started, _nginx(port, folder, f"unix:{to}" if over == UNIX else to)]

    return commands


def _nginx(port: int, folder: Path, to: str) -> list[str]:
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    text = NGINX.format(folder=folder, port=port, user=user)
    config.write_text(text.replace(f"unix:{folder}/uwsgi.sock", to))
    return [find("nginx") or "nginx", "-e", "stderr", "-p", str(folder), "-c", str(config)]


if __name__ == "__main__":
    sys.exit(main())
