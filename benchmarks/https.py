"""``python -m benchmarks.https``: HTTPS beside uWSGI and nginx, as a table of ratios.

Requests on kept connections (wrk), full handshakes of TLS 1.3, and resumed ones of TLS 1.2
(``openssl s_time``, which asks for no ticket of TLS 1.3). Everyone has the same P-256 key, one
process that speaks TLS, and two workers. Nothing is saved, and missing a target is no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from .__main__ import positive, progress, say
from .contenders import HERE, NGINX, WORKERS, Contender, find
from .running import NotStarted, Running, running

CONNECTIONS = 32
PAUSE = 0.5  # seconds between two measurements
CLIENTS = 8  # of s_time, each with one connection after the other

KEPT, FULL, RESUMED = "requests/s", "full handshakes/s", "resumed handshakes/s"
FIGURES = (KEPT, FULL, RESUMED)
# Against whom, and how much of it.
TARGETS = {KEPT: ("uwsgi", 1.3), FULL: ("nginx-uwsgi", 0.9)}


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.https", description=__doc__)
    known = [contender.name for contender in CONTENDERS]
    parser.add_argument("--only", nargs="+", choices=known, default=known, help="who takes part")
    parser.add_argument("--runs", type=positive, default=3, help="how many times (3)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of a run (3)")
    options = parser.parse_args()
    for program in ("wrk", "openssl"):
        if find(program) is None:
            sys.stderr.write(f"{program} is not installed\n")
            return 1
    results: dict[tuple[str, str], list[float]] = {}
    with contextlib.ExitStack() as stack:
        servers: dict[str, Running] = {}
        for contender in CONTENDERS:
            missing = [program for program in contender.programs if find(program) is None]
            if contender.name not in options.only or missing:
                continue
            try:
                servers[contender.name] = stack.enter_context(running(contender))
            except NotStarted as error:
                say(f"{contender.name} did not start:\n{error}\n")
        # All wait while one is asked, and take turns: what the machine does meanwhile is then
        # the same for all. Each is the first one now and then: what the last one left behind
        # (thousands of closed connections) costs the next.
        names = list(servers)
        for number in range(1, options.runs + 1):
            names.append(names.pop(0))
            for figure in FIGURES:
                for name in names:
                    progress(f"run {number} of {options.runs}: {name}, {figure}")
                    time.sleep(PAUSE)
                    value = measure(servers[name], figure, options.seconds)
                    results.setdefault((name, figure), []).append(value)
    progress("")
    say(render(results))
    return 0


def measure(server: Running, figure: str, seconds: int) -> float:
    """One figure of one server, a second. 0: it made errors."""
    if figure == KEPT:
        return kept(server.port, seconds)
    kind = ("-new", "-tls1_3") if figure == FULL else ("-reuse", "-tls1_2")
    return handshakes(server.port, seconds, *kind)


def kept(port: int, seconds: int) -> float:
    """Requests a second on kept connections."""
    argv = [find("wrk") or "wrk", "-t1", f"-c{CONNECTIONS}", f"https://127.0.0.1:{port}/"]
    for length in (1, seconds):  # a second that does not count
        done = subprocess.run(
            [*argv, f"-d{length}s"], capture_output=True, text=True, timeout=60, check=False
        )
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    wrong = re.search(r"errors:|Non-2xx", done.stdout)
    return 0.0 if found is None or wrong else float(found[1])


def handshakes(port: int, seconds: int, *kind: str) -> float:
    """Handshakes a second of several clients together."""
    argv = [find("openssl") or "openssl", "s_time", "-connect", f"127.0.0.1:{port}"]
    argv += [*kind, "-time", str(seconds)]
    clients = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(CLIENTS)
    ]
    total = 0
    for client in clients:
        output, _ = client.communicate(timeout=seconds + 30)
        # "N connections in M real seconds", the last one said; M is rounded up.
        counts = re.findall(r"(\d+) connections in \d+ real seconds", output)
        total += int(counts[-1]) if counts else 0
    return total / seconds


def render(results: dict[tuple[str, str], list[float]]) -> str:
    """The table, and how the targets were met."""
    medians = {key: statistics.median(values) for key, values in results.items()}
    names = list(dict.fromkeys(name for name, _ in medians))
    width = max([len(name) for name in names], default=0)
    lines = ["", " " * (width + 2) + "".join(f"{figure:>22}" for figure in FIGURES)]
    for name in names:
        cells = [f"{medians[name, figure]:,.0f}" for figure in FIGURES]
        lines.append(f"  {name:<{width}}" + "".join(f"{cell:>22}" for cell in cells))
    lines.append("")
    for figure in FIGURES:
        for other in names:
            ours, theirs = medians.get(("uwgate", figure), 0.0), medians.get((other, figure), 0.0)
            if other == "uwgate" or not ours or not theirs:
                continue
            text = f"{figure}: {ours / theirs:.2f} times {other}"
            against, target = TARGETS.get(figure, ("", 0.0))
            if other == against:
                text += f", target {target} {'reached' if ours / theirs >= target else 'missed'}"
            lines.append(text)
    return "\n".join(lines) + "\n"


def make_certificate(folder: Path) -> str:
    """A P-256 key and its certificate; returns ``CERTIFICATE,KEY``."""
    paths = folder / "site.crt", folder / "site.key"
    argv = [find("openssl") or "openssl", "req", "-x509", "-newkey", "ec", "-nodes"]
    argv += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"]
    argv += ["-days", "2", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(argv, check=True, capture_output=True)
    return f"{paths[0]},{paths[1]}"


def _uwgate(port: int, folder: Path) -> list[list[str]]:
    where = f"127.0.0.1:{port},{make_certificate(folder)}"
    argv = [sys.executable, "-m", "uwgate", "--https", where, "-p", WORKERS, "--disable-logging"]
    return [[*argv, "--wsgi-file", str(HERE / "pages.py")]]


def _uwsgi(*where: str) -> list[str]:
    argv = [find("uwsgi") or "uwsgi", *where, "--master", "--die-on-term", "--disable-logging"]
    return [*argv, "--wsgi-file", str(HERE / "pages.py"), "--processes", WORKERS]


def _uwsgi_https(port: int, folder: Path) -> list[list[str]]:
    where = f"127.0.0.1:{port},{make_certificate(folder)}"
    return [_uwsgi("--https", where, "--http-keepalive")]


def nginx(port: int, folder: Path) -> list[list[str]]:
    certificate, _, key = make_certificate(folder).partition(",")
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    text = NGINX.format(folder=folder, port=port, user=user)
    tls = (
        f"listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; "
        f"ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
    )
    config.write_text(text.replace(f"listen 127.0.0.1:{port};", tls))
    front = [find("nginx") or "nginx", "-e", "stderr", "-p", str(folder), "-c", str(config)]
    return [_uwsgi("--socket", f"{folder}/uwsgi.sock"), front]


CONTENDERS = (
    Contender("uwgate", (), (), _uwgate, tls=True),
    Contender("uwsgi", ("uwsgi",), (), _uwsgi_https, "--https --http-keepalive", tls=True),
    Contender("nginx-uwsgi", ("nginx", "uwsgi"), (), nginx, "1 nginx worker", tls=True),
)


if __name__ == "__main__":
    sys.exit(main())
