"""Capture what a real uWSGI sends to a subscription server, and write it beside this file.

Usage: python tests/cases/subscriptions/capture.py UWSGI [name ...]
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
NODE = "127.0.0.1:43031"
EVERYTHING = (
    "key=foo.com:8000,addr=10.0.0.1:99,modifier1=5,modifier2=2,weight=3,"
    "sni_key=/tls/k.pem,sni_crt=/tls/c.pem,sni_ca=!/tls/a.pem"
)
NOTIFY = ("--subscription-notify-socket", "/run/n.sock")
ASK = ("--subscribe2", "server={server},key=foo.com")
# name, socket of the server, how many datagrams before it is stopped, arguments
CASES: tuple[tuple[str, str, int, tuple[str, ...]], ...] = (
    ("subscribe2", "udp", 1, ("--processes", "2", "--threads", "3", *ASK)),
    ("subscribe2-unix", "unix", 1, ASK),
    ("subscribe-to", "udp", 1, ("--subscribe-to", "{server}:foo.com")),
    ("subscribe-to-modifier", "udp", 1, ("--subscribe-to", "{server}:foo.com:8000,5")),
    ("subscribe-to-unix", "unix", 1, ("--subscribe-to", "{server}:foo.com,5")),
    ("subscribe-to-local", "udp", 1, ("--subscribe-to", "/run/node.sock={server}:foo.com")),
    ("subscribe-to-file", "udp", 2, ("--subscribe-to", "{server}:@keys.txt")),
    ("everything", "udp", 1, (*NOTIFY, "--subscribe2", "server={server}," + EVERYTHING)),
    ("escaped", "udp", 1, ("--subscribe2", "server={server},key=a\\,b")),
    ("weighted", "udp", 1, ("--weight", "7", "--subscribe-to", "{server}:foo.com")),
    (
        "auto-weight",
        "udp",
        1,
        ("--auto-weight", "1", "--processes", "2", "--threads", "3", *ASK),
    ),
    (
        "with-modifier1",
        "udp",
        1,
        (
            *("--subscribe-with-modifier1", "9"),
            *("--subscribe2", "server={server},key=foo.com,modifier1=3,modifier2=4"),
        ),
    ),
    (
        "shared-socket",
        "udp",
        1,
        ("--shared-socket", "127.0.0.1:43032", "--subscribe-to", "=0={server}:foo.com"),
    ),
    ("signed-sha1", "udp", 1, ("--subscribe-to", "{server}:foo.com,0,SHA1:rsa.pem")),
    ("signed-sha256", "udp", 1, ("--subscribe-to", "{server}:foo.com,0,SHA256:rsa.pem")),
    (
        "signed-sha512",
        "unix",
        1,
        ("--subscribe2", "server={server},key=foo.com,sign=SHA512:rsa.pem"),
    ),
    (
        "signed-everything",
        "udp",
        1,
        (*NOTIFY, "--subscribe2", f"server={{server}},sign=SHA256:rsa.pem,{EVERYTHING}"),
    ),
    ("signed-ec-sha256", "udp", 1, ("--subscribe-to", "{server}:foo.com,0,SHA256:ec.pem")),
)


def capture(uwsgi: str, kind: str, count: int, arguments: tuple[str, ...]) -> list[bytes]:
    """``count`` datagrams from a uWSGI that runs, and as many from one that is stopped."""
    family = socket.AF_INET if kind == "udp" else socket.AF_UNIX
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(family, socket.SOCK_DGRAM) as server,
    ):
        for name in ("rsa.pem", "ec.pem"):
            Path(folder, name).write_bytes((HERE / name).read_bytes())
        Path(folder, "keys.txt").write_text("# two names\n\nfoo.com\nbar.com,5")
        server.bind(("127.0.0.1", 0) if kind == "udp" else f"{folder}/s")
        server.settimeout(10)
        address = server.getsockname()
        name = address if kind == "unix" else f"{address[0]}:{address[1]}"
        argv = [uwsgi, "--master", "--die-on-term", "--socket", NODE]
        argv += [argument.format(server=name) for argument in arguments]
        with subprocess.Popen(argv, cwd=folder, stderr=subprocess.DEVNULL, process_group=0) as node:
            try:
                found = [server.recv(4096) for _ in range(count)]
                time.sleep(0.5)  # interrupted in its first announcement, it does not sign
                node.send_signal(signal.SIGINT)
                while len(found) < 2 * count:
                    datagram = server.recv(4096)
                    if datagram[3] == 1:  # not the second announcement, a second later
                        found.append(datagram)
            finally:
                os.killpg(node.pid, signal.SIGKILL)  # it has said what we wanted to hear
    while accepts():
        time.sleep(0.05)  # the worker dies a little later
    return found


def accepts() -> bool:
    """Does somebody still listen at the node's address?"""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 43031)) == 0


def main() -> None:
    """Run every case, or those that are named."""
    uwsgi, *wanted = sys.argv[1:]
    for name, kind, count, arguments in CASES:
        if wanted and name not in wanted:
            continue
        found = capture(uwsgi, kind, count, arguments)
        for number, datagram in enumerate(found):
            command = "unsubscribe" if datagram[3] else "subscribe"
            suffix = f"-{number % count + 1}" if count > 1 else ""
            text = "\n".join(datagram[at : at + 40].hex() for at in range(0, len(datagram), 40))
            (HERE / f"{name}{suffix}.{command}.hex").write_text(text + "\n")


if __name__ == "__main__":
    main()
