"""``python -m benchmarks.static``: files beside nginx with sendfile, with ratios.

A file of 1 KiB and one of 100 MiB, over plain HTTP with kept connections: wrk asks for the small
one on 32 connections and for the large one on one. Each server has one process. Nothing is saved,
and missing a target is no failure.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from .__main__ import positive, progress, say
from .contenders import Contender, find
from .running import NotStarted, running

# Name, bytes, connections, and how much of nginx's rate there has to be.
FILES = (("1 KiB", 1024, 32, 0.3), ("100 MiB", 104857600, 1, 0.9))
WARM_UP = 1  # second

NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 10000000;
    types {{ text/plain txt; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


def main() -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.static", description=__doc__)
    parser.add_argument("--runs", type=positive, default=3, help="how many times (3)")
    parser.add_argument("--seconds", type=positive, default=3, help="length of a run (3)")
    options = parser.parse_args()
    if find("wrk") is None or find("nginx") is None:
        sys.stderr.write("wrk or nginx is not installed (apt-get install wrk nginx-light)\n")
        return 1
    rates: dict[tuple[str, str], list[float]] = {}
    for number in range(1, options.runs + 1):
        for contender in CONTENDERS:
            progress(f"run {number} of {options.runs}: {contender.name}")
            try:
                with running(contender) as server:
                    for name, size, connections, _ in FILES:
                        load(server.port, size, connections, WARM_UP)
                        rate = load(server.port, size, connections, options.seconds)
                        rates.setdefault((name, contender.name), []).append(rate)
            except NotStarted as error:
                say(f"{contender.name} did not start:\n{error}\n")
    progress("")
    say(render({key: statistics.median(values) for key, values in rates.items()}))
    return 0


def load(port: int, size: int, connections: int, seconds: int) -> float:
    """Bodies a second; 0 when an answer was wrong."""
    argv = [find("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    done = subprocess.run(
        [*argv, f"http://127.0.0.1:{port}/{size}.txt"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    count = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", done.stdout)
    bytes_read = re.search(r"Transfer/sec:\s+([\d.]+)([KMGT]?)B", done.stdout)
    if not count or not bytes_read or re.search(r"errors:|Non-2xx", done.stdout):
        return 0.0
    if size < 1048576:
        seconds_taken = float(count[2]) * {"ms": 1e-3, "s": 1.0, "m": 60.0}[count[3]]
        return float(count[1]) / seconds_taken
    # By bytes: one is on its way when the time is over.
    return float(bytes_read[1]) * float(1024 ** " KMGT".index(bytes_read[2] or " ")) / size


def render(rates: dict[tuple[str, str], float]) -> str:
    """The rates, and how the targets were met."""
    lines = [""]
    for name, size, _, target in FILES:
        ours, theirs = rates.get((name, "uwgate"), 0.0), rates.get((name, "nginx"), 0.0)
        ratio = ours / theirs if theirs else 0.0
        met = "met" if ratio >= target else "missed"
        lines.append(
            f"  {name:>8}: uwgate {ours:>9,.1f} /s ({ours * size / 1e6:>8,.1f} MB/s), "
            f"nginx {theirs:>9,.1f} /s; ratio {ratio:.2f}, target {target} {met}"
        )
    return "\n".join([*lines, ""]) + "\n"


def _site(folder: Path) -> None:
    """The files, older than what a server may take for one that is being written."""
    (folder / "www").mkdir()
    folder.chmod(0o755)  # nginx's worker is another user
    for _, size, _, _ in FILES:
        path = folder / "www" / f"{size}.txt"
        with path.open("wb") as file:
            for start in range(0, size, 1048576):
                file.write(os.urandom(min(1048576, size - start)))
        os.utime(path, (1_600_000_000, 1_600_000_000))
    (folder / "www" / "index.html").write_text("<title>here</title>")


def _uwgate(port: int, folder: Path) -> list[list[str]]:
    _site(folder)
    argv = [sys.executable, "-m", "uwgate", "--http", f"127.0.0.1:{port}", "--need-app=false"]
    argv.append("--disable-logging")  # as nginx does here
    return [[*argv, "--check-static", f"{folder}/www", "--static-index", "index.html"]]


def _nginx(port: int, folder: Path) -> list[list[str]]:
    _site(folder)
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(folder=folder, port=port, user=user))
    return [[find("nginx") or "nginx", "-e", "stderr", "-p", str(folder), "-c", str(config)]]


CONTENDERS = (
    Contender("uwgate", (), (), _uwgate),
    Contender("nginx", ("nginx",), (), _nginx),
)


if __name__ == "__main__":
    sys.exit(main())
