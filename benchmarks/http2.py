"""``python -m benchmarks.http2``: HTTP/2 over TLS beside hypercorn and nginx, with ratios.

h2load asks for the hello page on 8 connections with 16 streams each. uwgate and nginx have one
process that speaks HTTP/2 and two workers; hypercorn (on trio) runs the application itself, in
two processes. Nothing is saved, and missing a target is no failure.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

from .__main__ import positive, progress, say
from .contenders import HERE, WORKERS, Contender, find
from .https import make_certificate
from .https import nginx as https_nginx
from .running import NotStarted, running

CONNECTIONS = 8
STREAMS = 16
WARM_UP = 1  # second
# Against whom, and how much of it.
TARGETS = {"hypercorn": 2.0}


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http2", description=__doc__)
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="who takes part")
    parser.add_argument("--runs", type=positive, default=3, help="how many times (3)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of a run (3)")
    options = parser.parse_args()
    if find("h2load") is None:
        sys.stderr.write("h2load is not installed (apt-get install nghttp2-client)\n")
        return 1
    rates: dict[str, list[float]] = {}
    for number in range(1, options.runs + 1):
        for contender in CONTENDERS:
            missing = [program for program in contender.programs if find(program) is None]
            if contender.name not in options.only or missing:
                continue
            progress(f"run {number} of {options.runs}: {contender.name}")
            try:
                with running(contender) as server:
                    load(server.port, WARM_UP)
                    rates.setdefault(contender.name, []).append(load(server.port, options.seconds))
            except NotStarted as error:
                say(f"{contender.name} did not start:\n{error}\n")
    progress("")
    say(render({name: statistics.median(values) for name, values in rates.items()}))
    return 0


def load(port: int, seconds: int) -> float:
    """Requests a second; 0 when one of them failed."""
    argv = [find("h2load") or "h2load", f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-D{seconds}"]
    done = subprocess.run(
        [*argv, f"https://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    found = re.search(r"finished in .*, ([\d.]+) req/s", done.stdout)
    wrong = re.search(r"[1-9]\d* (?:failed|errored|timeout)|[1-9]\d* [345]xx", done.stdout)
    return 0.0 if found is None or wrong else float(found[1])


def render(rates: dict[str, float]) -> str:
    """The rates, and how the targets were met."""
    width = max(map(len, rates), default=0)
    lines = ["", *(f"  {name:<{width}}{rate:>12,.0f} requests/s" for name, rate in rates.items())]
    ours = rates.get("uwgate", 0.0)
    for name, rate in rates.items():
        if name == "uwgate" or not ours or not rate:
            continue
        text = f"{ours / rate:.2f} times {name}"
        if name in TARGETS:
            verdict = "reached" if ours / rate >= TARGETS[name] else "missed"
            text += f", target {TARGETS[name]} {verdict}"
        lines.append(text)
    return "\n".join(lines) + "\n"


def _uwgate(port: int, folder: Path) -> list[list[str]]:
    where = f"127.0.0.1:{port},{make_certificate(folder)}"
    argv = [sys.executable, "-m", "uwgate", "--https", where, "-p", WORKERS, "--disable-logging"]
    argv += ["--http-connection-requests", "0"]
    return [[*argv, "--wsgi-file", str(HERE / "pages.py")]]


def _hypercorn(port: int, folder: Path) -> list[list[str]]:
    certificate, _, key = make_certificate(folder).partition(",")
    argv = ["--bind", f"127.0.0.1:{port}", "--workers", WORKERS, "--worker-class", "trio"]
    argv += ["--certfile", certificate, "--keyfile", key, "asgi_pages:application"]
    start = f"import sys; sys.path.insert(0, {str(HERE)!r}); import hypercorn.__main__ as h; "
    return [[sys.executable, "-c", f"{start} sys.exit(h.main({argv!r}))"]]


def _nginx(port: int, folder: Path) -> list[list[str]]:
    *backend, front = https_nginx(port, folder)
    config = folder / "nginx.conf"
    config.write_text(
        config.read_text().replace(f"127.0.0.1:{port} ssl;", f"127.0.0.1:{port} ssl http2;")
    )
    # More requests come at a time than uWSGI lets wait by default.
    return [[*argv, "--listen", "512"] for argv in backend] + [front]


CONTENDERS = (
    Contender("uwgate", (), (), _uwgate, tls=True),
    Contender("hypercorn", ("hypercorn",), (), _hypercorn, "on trio, 2 processes", tls=True),
    Contender("nginx-uwsgi", ("nginx", "uwsgi"), (), _nginx, "1 nginx worker", tls=True),
)


if __name__ == "__main__":
    sys.exit(main())
