"""Rings made before a fork: tickets of one process resume in another one."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.gateways.tls.conftest import ADDRESS, Write
from tests.gateways.tls.conversation import client_context

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
NOBODY = 65534

# Not in this process: pytest has threads, and a fork copies only one of them.
PROGRAM = """
import os, socket, sys
from OpenSSL import SSL
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.tls.ring import Ring
from uwgate.gateways.tls.vault import Vault

address, files, folder, user = sys.argv[1:5]
options = HttpsOptions(https=(f"{address},{files}",), sni_dir=folder)
vault = Vault(options)
ring = Ring(options, vault.material)
listeners = [socket.socket(fileno=int(fd)) for fd in sys.argv[5:]]
for listener in listeners:
    if os.fork() == 0:
        if user:
            material = {name: vault.material(name) for name in ("www.example", "default.example")}
            ring.fetch = material.get
            os.setgid(int(user))
            os.setuid(int(user))
        while True:
            client, _ = listener.accept()
            if not client.recv(1, socket.MSG_PEEK):
                os._exit(0)
            connection = SSL.Connection(ring.context(address), client)
            connection.set_accept_state()
            try:
                connection.do_handshake()
                connection.recv(100)
                connection.sendall(str(os.getpid()).encode())
                connection.shutdown()
            except SSL.Error:
                pass
            client.close()
for _ in listeners:
    os.wait()
"""


class Processes:
    """Two processes that were forked with one ring; ``ask`` one of them."""

    def __init__(self, files: str, folder: Path, user: str) -> None:
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        fds = [listener.fileno() for listener in self._listeners]
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, ADDRESS, files, str(folder), user, *map(str, fds)],
            pass_fds=fds,
            env={"PYTHONPATH": "src"},
        )

    def ask(
        self,
        number: int,
        name: str,
        client: ssl.SSLContext,
        session: ssl.SSLSession | None = None,
    ) -> tuple[bytes, bool, ssl.SSLSession | None]:
        """The process that answered, whether it resumed, and the session."""
        address = self._listeners[number].getsockname()
        with (
            socket.create_connection(address, timeout=120) as plain,
            client.wrap_socket(plain, server_hostname=name, session=session) as sock,
        ):
            sock.sendall(b"who?")
            answer = sock.recv(100)
            return answer, bool(sock.session_reused), sock.session

    def close(self) -> None:
        """A connection without a byte ends a process."""
        for listener in self._listeners:
            socket.create_connection(listener.getsockname()).close()
            listener.close()
        assert self._process.wait(120) == 0


@pytest.fixture(
    params=[
        "",
        pytest.param(
            str(NOBODY),
            marks=pytest.mark.skipif(
                os.geteuid() != 0, reason="only root can become somebody else"
            ),
        ),
    ]
)
def processes(
    request: pytest.FixtureRequest, write: Write, root: Authority, tmp_path: Path
) -> Iterator[Processes]:
    """Processes that stay who we are, and such that become nobody."""
    write(root.server("www.example"), "www.example")
    files = write(root.server("default.example"), "default")
    made = Processes(files, tmp_path, request.param)
    yield made
    made.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["default.example", "www.example"])
def test_a_ticket_of_one_process_resumes_in_the_other(
    processes: Processes, root: Authority, name: str, version: ssl.TLSVersion
) -> None:
    client = client_context(trusted=root.pem, maximum=version)
    first, new, session = processes.ask(0, name, client)
    second, resumed, _ = processes.ask(1, name, client, session)
    assert first != second
    assert (new, resumed) == (False, True)
