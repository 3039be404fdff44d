"""How many requests one worker slot serves on a lease, without a gateway in between.

Usage: PYTHONPATH=src python benchmarks/worker.py [seconds [app.py]] [--log]

Prints requests per second of worker CPU time, which no slow client can spoil, and of wall clock.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uwgate.conf import control
from uwgate.conf.groups.application import ApplicationOptions
from uwgate.conf.groups.log import LogOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener, Start
from uwgate.gateways.wire import lease, uwsgi
from uwgate.workers.command import spawner_command

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello, world"]
"""
VARIABLES = {
    "REQUEST_METHOD": "GET",
    "REQUEST_URI": "/hello?x=1",
    "PATH_INFO": "/hello",
    "QUERY_STRING": "x=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SCRIPT_NAME": "",
    "SERVER_NAME": "box",
    "SERVER_PORT": "8080",
    "UWSGI_ROUTER": "http",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "40000",
    "HTTP_HOST": "127.0.0.1:8080",
    "HTTP_USER_AGENT": "benchmark",
    "HTTP_ACCEPT": "*/*",
}


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(seconds: float, app: Path, *, log: bool) -> None:
    """Start a worker, ask it the same thing again and again, print the figures."""
    settings = Settings(
        application=ApplicationOptions(wsgi_file=str(app)), log=LogOptions(log_requests=log)
    )
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("")
    listening.listen()
    listening.setblocking(False)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    life_read, life_write = os.pipe()
    start = Start(
        settings=settings,
        listeners=(Listener(fd=listening.fileno(), role="lease", name="lease"),),
        control_fd=theirs.fileno(),
        life_fd=life_read,
        lease_address=None,
        instance=1,
        generation=1,
    )
    fd = start.to_memory_file()
    with open(os.devnull, "wb") as nowhere:
        spawner = subprocess.Popen(
            spawner_command(settings, fd),
            pass_fds=(fd, theirs.fileno(), life_read, listening.fileno()),
            stderr=nowhere,
        )
    theirs.close()
    pid = 0
    while (message := control.decode(ours.recv(control.MAX_MESSAGE)))["type"] != "ready":
        if message["type"] == "failed":
            raise SystemExit(message["reason"])
        pid = message.get("pid", pid)
    client = socket.socket(socket.AF_UNIX)
    client.connect(listening.getsockname())
    client.recv(lease.FRAME.size)
    packet = uwsgi.encode((key.encode(), value.encode()) for key, value in VARIABLES.items())
    size = 0
    count = 0
    began, used = time.monotonic(), cpu_seconds(pid)
    while time.monotonic() - began < seconds:
        for _ in range(200):
            client.send(packet)
            size = len(client.recv(1 << 20))
        count += 200
    wall, cpu = time.monotonic() - began, cpu_seconds(pid) - used
    print(  # noqa: T201
        f"{count / cpu:,.0f} requests per CPU second, {count / wall:,.0f} per second; "
        f"answers of {size} bytes"
    )
    client.close()
    ours.send(control.encode("stop"))
    spawner.wait(10)
    os.close(life_write)


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--log"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "app.py")
        path.write_text(HELLO)
        run(
            float(words[0]) if words else 3.0,
            Path(words[1]) if len(words) > 1 else path,
            log="--log" in sys.argv,
        )
