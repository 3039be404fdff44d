"""Captures announcements of a real uWSGI; how the files of this folder were made.

    python tests/cases/legion/capture.py PATH_OF_UWSGI

One uWSGI 2.0.31 with one legion for each cipher announces itself to a socket of ours on
loopback and is then told to reload, for its announcement of death. The ciphers that OpenSSL 3
calls legacy are switched on for it.
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
CIPHERS = (
    "aes-128-cbc:sekret",
    "aes-192-cbc:a:secret:with:colons",
    "aes-256-cbc:a-secret-that-is-longer-than-thirty-two-bytes the iv",
    "aes-256-ecb:hello",
    "aes-128-cfb:hello",
    "aes-128-ofb:hello an iv",
    "camellia-256-cbc:hello",
    "sm4-cbc:hello",
    "seed-cbc:hello",
    "bf-cbc:hello",
    "bf-ecb:hello",
    "cast5-cbc:hello",
    "des-ede3-cbc:hello",
)
LEGACY = """
openssl_conf = init
[init]
providers = providers
[providers]
default = on
legacy = on
[on]
activate = 1
"""
KINDS = ("first", "lord", "dead")


def name_of(cipher: str) -> str:
    return cipher.partition(":")[0]


def main() -> None:
    inboxes = {}
    argv = [sys.argv[1], "--legion-freq", "1"]
    for cipher in CIPHERS:
        inbox = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        inbox.bind(("127.0.0.1", 0))
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{own.getsockname()[1]}"
        own.close()
        name = name_of(cipher)
        inboxes[name] = inbox
        argv += ["--legion", f"{name} {address} 98 {cipher}"]
        argv += ["--legion-node", f"{name} 127.0.0.1:{inbox.getsockname()[1]}"]
        argv += ["--legion-scroll", f"{name} scroll of {name}"]
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "openssl.cnf"
        configuration.write_text(LEGACY)
        uwsgi = subprocess.Popen(argv, env={**os.environ, "OPENSSL_CONF": str(configuration)})
        try:
            time.sleep(4)
            uwsgi.send_signal(signal.SIGHUP)
            time.sleep(1)
        finally:
            uwsgi.kill()
            uwsgi.wait()
    for cipher in CIPHERS:
        name = name_of(cipher)
        inbox = inboxes[name]
        inbox.setblocking(False)
        datagrams = []
        while True:
            try:
                datagrams.append(inbox.recv(65536))
            except BlockingIOError:
                break
        # The first two are sent before the election, the third on becoming lord.
        for kind, datagram in zip(KINDS, (datagrams[0], datagrams[2], datagrams[-1]), strict=True):
            (HERE / f"{name}.{kind}").write_bytes(datagram)
    (HERE / "ciphers.txt").write_text("".join(f"{cipher}\n" for cipher in CIPHERS))


if __name__ == "__main__":
    main()
