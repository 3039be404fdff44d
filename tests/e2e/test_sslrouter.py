"""The sslrouter between real programs that choose by name, whether TLS ends there or passes."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority, Certificate

from . import peers
from .browser import Browser
from .client import request
from .processes import PATIENCE, free_port, running_uwgate
from .tls import Secure, Site, client_context, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start

NAMES = ("one.example", "two.example")
MUCH = 1 << 27
PIECE = bytes(1 << 18)


class Backend:
    """Serves HTTP at a UNIX socket, also through TLS, and says so.

    ``GET /`` is answered with its name and with what it was reached by, ``GET /123`` with so
    many bytes.
    """

    def __init__(self, path: Path, name: str, certificate: tuple[Path, Path]) -> None:
        self._name = name
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(str(path))
        self._sock.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._sock.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):  # a browser opens some that it does not use
            plain.settimeout(PATIENCE)
            if plain.recv(1, socket.MSG_PEEK) != b"\x16":  # of a TLS record
                self._answer(plain, "plain")
                return
            with self._context.wrap_socket(plain, server_side=True) as secure:
                self._answer(secure, "tls")
                secure.unwrap()

    def _answer(self, sock: socket.socket, how: str) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += (data := sock.recv(4096))
            if not data:
                return
        path = head.split()[1].decode()
        page = f"<h1>{self._name} {how}</h1>".encode()
        size = int(path[1:]) if path[1:].isdecimal() else len(page)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % size)
        sock.sendall(b"Content-Type: text/html\r\nConnection: close\r\n\r\n")
        if size == len(page):
            sock.sendall(page)
            return
        for _ in range(size // len(PIECE)):
            sock.sendall(PIECE)

    def close(self) -> None:
        # A thread in accept does not notice that its socket is closed.
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._sock.close()


@dataclass(frozen=True)
class Doors:
    """Ports of one sslrouter: where TLS ends, and where it passes to backends."""

    plain: int
    tls: int
    authority: Path
    certificates: tuple[Certificate, ...]

    def port(self, how: str) -> int:
        """The one whose clients reach backends like that."""
        return self.tls if how == "tls" else self.plain


@pytest.fixture(scope="module")
def doors(shared_folder: Path) -> Iterator[Doors]:
    folder = shared_folder
    root = Authority()
    both = root.server(*NAMES)
    crt, key = both.write(folder, "both")
    own = [root.server(name) for name in NAMES]
    plain, tls = free_port(), free_port()
    with contextlib.ExitStack() as stack:
        for name, certificate in zip(NAMES, own, strict=True):
            backend = Backend(folder / name, name, certificate.write(folder, f"own-{name}"))
            stack.callback(backend.close)
        program = stack.enter_context(
            running_uwgate(
                f"--sslrouter=127.0.0.1:{plain},{crt},{key}",
                f"--sslrouter-passthrough=127.0.0.1:{tls}",
                "--sslrouter-sni",
                f"--sslrouter-use-pattern={folder}/%s",
                folder=folder,
            )
        )
        program.wait_for_log("generation 1 serves")
        yield Doors(plain, tls, root.write(folder, "root.pem"), (both, *own))


HOWS = pytest.mark.parametrize("how", ["plain", "tls"], ids=["ends-here", "passes"])


def curl(doors: Doors, how: str, name: str, path: str, *more: str) -> str:
    port = doors.port(how)
    argv = [peers.program("curl"), "--silent", "--show-error", "--cacert", str(doors.authority)]
    argv += ["--noproxy", "*", "--resolve", f"{name}:{port}:127.0.0.1", *more]
    done = subprocess.run(
        [*argv, f"https://{name}:{port}{path}"], capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@HOWS
@pytest.mark.parametrize("name", NAMES)
def test_curl_reaches_whom_it_asks_for(doors: Doors, how: str, name: str) -> None:
    assert curl(doors, how, name, "/") == f"<h1>{name} {how}</h1>"


@HOWS
@pytest.mark.parametrize("name", NAMES)
def test_openssl_reaches_whom_it_asks_for(doors: Doors, how: str, name: str) -> None:
    argv = [peers.program("openssl"), "s_client", "-connect", f"127.0.0.1:{doors.port(how)}"]
    argv += ["-quiet", "-verify_return_error", "-verify_hostname", name, "-servername", name]
    done = subprocess.run(
        [*argv, "-CAfile", str(doors.authority)],
        input=b"GET / HTTP/1.1\r\n\r\n",
        capture_output=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.stdout.endswith(f"<h1>{name} {how}</h1>".encode()), done.stderr


def test_a_browser_reaches_whom_it_asks_for(doors: Doors, folder: Path) -> None:
    trusted = [certificate.chain[0] for certificate in doors.certificates]
    rule = "--host-resolver-rules=MAP *.example 127.0.0.1"
    seen = []
    wanted = [(name, how) for name in NAMES for how in ("plain", "tls")]
    with Browser(folder, trusted, rule) as browser:
        page = browser.page()
        for name, how in wanted:
            page.open(f"https://{name}:{doors.port(how)}/")
            seen.append(page.text("h1"))
    assert seen == [f"{name} {how}" for name, how in wanted]


@HOWS
def test_much_comes_through_tls(doors: Doors, how: str) -> None:
    more = ("--output", os.devnull, "--write-out", "%{http_code} %{size_download}")
    assert curl(doors, how, NAMES[0], f"/{MUCH}", *more) == f"200 {MUCH}"


# Certificates


@pytest.fixture
def site(folder: Path) -> Site:
    return make_site(folder)


def shown(port: int, site: Site, name: str) -> bytes:
    """The certificate that a client gets."""
    context = client_context(site)
    context.check_hostname = False
    with Secure(("127.0.0.1", port), context, name=name) as connection:
        return connection.certificate


def test_a_renewed_certificate_is_shown_and_connections_go_on(
    uwgate: Start, folder: Path, site: Site
) -> None:
    backend = Backend(folder / "backend", "backend", (folder / "site.crt", folder / "site.key"))
    program = uwgate(
        f"--sslrouter=127.0.0.1:0,{site.pair}", f"--sslrouter-to={folder}/backend",
        "--sslrouter-processes=2",
    )  # fmt: skip
    port = program.address[1]
    program.wait_for_log("generation 1 serves")
    renewed = site.root.server("localhost", "127.0.0.1")
    with Secure(program.address, client_context(site)) as old:
        assert old.certificate != renewed.der
        site.replace(renewed)
        # Both processes, most likely.
        program.wait_for(
            lambda: all(shown(port, site, "localhost") == renewed.der for _ in range(8)),
            "new certificate",
        )
        old.send(request())
        assert old.answer().body == b"<h1>backend plain</h1>"
    (folder / "site.key").write_bytes(b"nonsense")
    program.wait_for_log("what was served before stays")
    assert shown(port, site, "localhost") == renewed.der
    backend.close()


def test_a_node_brings_its_certificate_and_takes_it_along(
    uwgate: Start, folder: Path, site: Site
) -> None:
    name, port, node = "shop.example", free_port(), free_port()
    crt, key = (brought := site.root.server(name)).write(folder, "brought")
    server = free_port(socket.SOCK_DGRAM)
    program = uwgate(
        f"--sslrouter=127.0.0.1:{port},{site.pair}", "--sslrouter-sni",
        f"--sslrouter-subscription-server=127.0.0.1:{server}",
        f"--subscription-sni-folder={folder}",
    )  # fmt: skip
    program.wait_for_log("generation 1 serves")
    default = shown(port, site, name)
    assert default != brought.der
    announced = f"server=127.0.0.1:{server},key={name},sni_crt={crt},sni_key={key}"
    fifo = folder / "node.fifo"
    argv = ["--http-socket", f"127.0.0.1:{node}", "--subscribe2", announced]
    with peers.uwsgi(folder, *argv, "--master-fifo", str(fifo), app="witness.py"):
        program.wait_for(lambda: shown(port, site, name) == brought.der, "brought certificate")
        with Secure(("127.0.0.1", port), client_context(site), name=name) as connection:
            connection.send(request())
            assert connection.answer().body == b"ok\n"
        assert shown(port, site, "localhost") == default
        fifo.write_text("q")  # it says goodbye
        program.wait_for(lambda: shown(port, site, name) == default, "default certificate")


# Zergs


def test_tls_passes_that_comes_in_on_the_socket_of_a_pool(
    uwgate: Start, folder: Path, doors: Doors, shared_folder: Path
) -> None:
    path = folder / "pool.sock"
    pool = uwgate(f"--zergpool={path}:127.0.0.1:0", name="pool")
    port = int(pool.wait_for_log(r"127\.0\.0\.1:(\d+) \(for zergs")[1])
    pool.wait_for_log("generation 1 serves")
    zerg = uwgate(
        f"--sslrouter-zerg={path}", f"--sslrouter-use-pattern={shared_folder}/%s", name="zerg"
    )
    zerg.wait_for_log("generation 1 serves")
    at_pool = Doors(port, port, doors.authority, ())
    assert curl(at_pool, "tls", NAMES[1], "/") == f"<h1>{NAMES[1]} tls</h1>"
    assert zerg.stop() == 0
