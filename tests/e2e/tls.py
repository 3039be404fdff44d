"""What the tests of HTTPS share: certificates, a client with TLS, and who serves whom."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tests.certificates import Authority, Certificate

from . import peers
from .client import BLOCK, Connection
from .processes import APPS, PATIENCE, running_uwgate

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from .conftest import Start
    from .processes import Address, Uwgate


@dataclass(frozen=True)
class Site:
    """A folder with an authority (``root.pem``) and a server's pair (``site.crt``, ``.key``)."""

    folder: Path
    root: Authority

    @property
    def pair(self) -> str:
        """``CERTIFICATE,KEY`` as https has them."""
        return f"{self.folder}/site.crt,{self.folder}/site.key"

    @property
    def authority(self) -> Path:
        """What clients trust."""
        return self.folder / "root.pem"

    def replace(self, certificate: Certificate, name: str = "site") -> None:
        """Put another pair into the place of the old one, each file in one step."""
        new = certificate.write(self.folder, f"new-{name}")
        for path, end in zip(new, ("crt", "key"), strict=True):
            path.rename(self.folder / f"{name}.{end}")

    def https(self, *more: str, at: str = "127.0.0.1:0") -> str:
        """The option; ``more`` are ciphers and client CA."""
        return "--https=" + ",".join([at, self.pair, *more])


def make_site(folder: Path) -> Site:
    """A site for ``localhost`` and 127.0.0.1."""
    site = Site(folder, Authority())
    site.root.write(folder, "root.pem")
    site.root.server("localhost", "127.0.0.1").write(folder, "site")
    return site


def client_context(site: Site, *, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """What a client that trusts the site's authority connects with."""
    context = ssl.create_default_context(cafile=str(site.authority))
    if newest is not None:
        context.maximum_version = newest
    return context


class Secure(Connection):
    """A connection with TLS."""

    sock: ssl.SSLSocket

    def __init__(
        self,
        address: Address,
        context: ssl.SSLContext,
        *,
        name: str = "localhost",
        session: ssl.SSLSession | None = None,
        timeout: float = PATIENCE,
    ) -> None:
        raw = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        raw.settimeout(timeout)
        try:
            raw.connect(address)
            self.sock = context.wrap_socket(raw, server_hostname=name, session=session)
        except BaseException:
            raw.close()
            raise
        self.file = cast("io.BufferedReader", self.sock.makefile("rb", BLOCK))

    @property
    def certificate(self) -> bytes:
        """The server's, in DER."""
        return self.sock.getpeercert(binary_form=True) or b""


def curl(*arguments: str, site: Site, status: int = 0) -> bytes:
    """Run curl; returns its output. ``status`` is the exit status to expect."""
    argv = [peers.program("curl"), "-sS", "--cacert", str(site.authority), "--max-time", "120"]
    done = subprocess.run([*argv, *arguments], capture_output=True, timeout=240, check=False)
    assert done.returncode == status, (done.returncode, done.stderr)
    return done.stdout


def gateway_of(program: Uwgate, connection: Connection) -> int:
    """The pid of the gateway process that serves a client of 127.0.0.1."""
    client_port = connection.sock.getsockname()[1]
    server_port = program.address[1]
    wanted = (f"0100007F:{server_port:04X}", f"0100007F:{client_port:04X}")
    found: list[int] = []

    def look() -> bool:
        # Read in pieces while connections come and go: a line may stand there twice, or not.
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        mine = {f"socket:[{line[9]}]" for line in lines if (line[1], line[2]) == wanted}
        for pid in program.processes("http"):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink(entry) in mine:
                        found.append(pid)
        return bool(found)

    program.wait_for(look, f"process with {wanted}")
    return found[0]


@pytest.fixture
def site(folder: Path) -> Site:
    """Certificates in the test's folder."""
    return make_site(folder)


PAIRS = ("--wsgi-file", str(APPS / "witness.py"), "-p2", "--http-processes=2")


@pytest.fixture
def program(uwgate: Start, site: Site) -> Uwgate:
    """Two gateway processes and two workers with the witness application, serving."""
    program = uwgate(site.https(), *PAIRS)
    program.wait_until_it_serves()
    return program


@pytest.fixture(scope="module")
def shared_site(shared_folder: Path) -> Site:
    """Certificates that no test changes."""
    return make_site(shared_folder)


@pytest.fixture(scope="module")
def shared_program(shared_folder: Path, shared_site: Site) -> Iterator[Uwgate]:
    """As ``program``, for tests after which it is as it was."""
    with running_uwgate(shared_site.https(), *PAIRS, folder=shared_folder) as program:
        program.wait_until_it_serves()
        yield program
