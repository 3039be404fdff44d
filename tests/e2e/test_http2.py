"""HTTP/2 with curl and h2load, in the clear and over TLS: real processes on both sides."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority

from . import peers
from .peers import program, running
from .processes import APPS, Process, Uwgate, forget_peak, peak, running_uwgate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start

MIB = 1 << 20
ENOUGH = 16 * MIB  # by which a gateway may grow, whatever goes through it
MUCH = 4 * ENOUGH


@dataclass
class Site:
    """A running uwgate and how curl speaks HTTP/2 with it."""

    program: Uwgate
    url: str
    curl: tuple[str, ...]

    def ask(self, path: str, *options: str, **keywords: object) -> bytes:
        """What curl prints; it must succeed, over HTTP/2."""
        argv = [program("curl"), "-sS", "--fail", "-m", "120", *self.curl, *options]
        argv += ["-w", "%{stderr}%{http_version}", self.url + path]
        done = subprocess.run(argv, capture_output=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stderr.decode().endswith("2"), done.stderr.decode()
        return done.stdout

    @property
    def gateway(self) -> int:
        """The pid of the process that has the connections."""
        (pid,) = self.program.wait_for_processes("http", 1)
        return pid


APP = ("--wsgi-file", str(APPS / "bytes.py"), "--processes=2", "--disable-logging")


@contextlib.contextmanager
def plain(folder: Path) -> Iterator[Site]:
    where = ("--http", "127.0.0.1:0", "--http2-prior-knowledge")
    with running_uwgate(*where, *APP, folder=folder) as program:
        host, port = program.address
        yield Site(program, f"http://{host}:{port}", ("--http2-prior-knowledge",))


@contextlib.contextmanager
def encrypted(folder: Path) -> Iterator[Site]:
    authority = Authority()
    certificate, key = authority.server("localhost").write(folder, "site")
    trusted = authority.write(folder, "authority")
    where = ("--https", f"127.0.0.1:0,{certificate},{key}")
    with running_uwgate(*where, *APP, folder=folder) as program:
        _, port = program.address
        name = f"localhost:{port}:127.0.0.1"
        curl = ("--http2", "--cacert", str(trusted), "--resolve", name)
        yield Site(program, f"https://localhost:{port}", curl)


SITES = {"plain": plain, "encrypted": encrypted}


@pytest.fixture(scope="module", params=SITES)
def site(request: pytest.FixtureRequest, shared_folder: Path) -> Iterator[Site]:
    folder = shared_folder / request.param
    folder.mkdir()
    with SITES[request.param](folder) as site:
        yield site


def test_the_application_sees_http_2(site: Site) -> None:
    assert site.ask("/") == b"HTTP/2.0"


@pytest.mark.parametrize("how", ["with its length", "without"])
def test_an_upload_arrives_whole(site: Site, how: str, folder: Path) -> None:
    body = folder / "body"
    body.write_bytes(bytes(5 * MIB + 7))
    options = ("-T", str(body)) if how == "with its length" else ("-T", "-")
    argv = [program("curl"), "-sS", *site.curl, *options, "-X", "POST", site.url + "/count"]
    with body.open("rb") as file:
        done = subprocess.run(argv, stdin=file, capture_output=True, check=True, timeout=120)
    assert done.stdout == b"%d" % (5 * MIB + 7)


def test_a_client_without_alpn_gets_http_1(site: Site) -> None:
    argv = [program("curl"), "-sS", *site.curl[1:], "--http1.1", site.url + "/"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=120)
    assert done.stdout == b"HTTP/1.1"


def test_http2_can_be_switched_off(uwgate: Start, folder: Path) -> None:
    certificate, key = Authority().server("localhost").write(folder, "site")
    app = ("--wsgi-file", str(APPS / "bytes.py"))
    started = uwgate("--https", f"127.0.0.1:0,{certificate},{key}", "--http2=false", *app)
    host, port = started.address
    argv = [program("curl"), "-sS", "-k", "--http2", f"https://{host}:{port}/"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=120)
    assert done.stdout == b"HTTP/1.1"


def test_much_comes_down_at_constant_memory(site: Site) -> None:
    site.ask("/")
    forget_peak(site.gateway)
    before = peak(site.gateway)
    argv = [program("curl"), "-sS", *site.curl, "-o", "/dev/null", "-w", "%{size_download}"]
    argv += [f"{site.url}/zeros?{MUCH}"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=240)
    assert int(done.stdout) == MUCH
    assert peak(site.gateway) - before < ENOUGH


def test_much_goes_up_at_constant_memory(site: Site, folder: Path) -> None:
    site.ask("/")
    forget_peak(site.gateway)
    before = peak(site.gateway)
    body = folder / "body"
    with body.open("wb") as file:
        file.truncate(MUCH)
    argv = [program("curl"), "-sS", *site.curl, "-T", str(body), f"{site.url}/count"]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=240)
    assert done.stdout == b"%d" % MUCH
    assert peak(site.gateway) - before < ENOUGH


def h2load(site: Site, *options: str, path: str = "/") -> str:
    """The report of h2load."""
    argv = [program("h2load"), *options, site.url.replace("localhost", "127.0.0.1") + path]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=240, text=True)
    return done.stdout


def failed(report: str) -> dict[str, int]:
    """What became of the requests, by h2load's words."""
    line = re.search(r"^requests: (.*)$", report, re.MULTILINE)
    assert line is not None, report
    return {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", line[1])}


def test_no_request_of_many_fails(site: Site) -> None:
    seen = failed(h2load(site, "-n5000", "-c20", "-m32"))
    assert (seen["succeeded"], seen["failed"], seen["errored"]) == (5000, 0, 0)


def test_no_large_response_of_many_fails(site: Site) -> None:
    seen = failed(h2load(site, "-n200", "-c10", "-m16", path="/zeros?300000"))
    assert (seen["succeeded"], seen["failed"], seen["errored"]) == (200, 0, 0)


def test_no_upload_of_many_fails(site: Site, folder: Path) -> None:
    body = folder / "body"
    body.write_bytes(bytes(200000))
    seen = failed(h2load(site, "-n200", "-c10", "-m16", "-d", str(body), path="/count"))
    assert (seen["succeeded"], seen["failed"], seen["errored"]) == (200, 0, 0)


def test_a_worker_that_is_killed_costs_one_request(site: Site, folder: Path) -> None:
    argv = [program("h2load"), "-n8000", "-c4", "-m8"]
    argv += [site.url.replace("localhost", "127.0.0.1")]
    worker = site.program.wait_for_processes("worker", 2)[0]
    with running(Process(argv, folder=folder, name="h2load"), stop=signal.SIGKILL) as load:
        os.kill(worker, signal.SIGKILL)
        assert load.wait() == 0, load.log
    site.program.wait_for_others("worker", 2, instead_of=[worker])
    seen = failed(load.log)
    assert seen["errored"] == 0
    assert seen["failed"] <= 1
    assert seen["succeeded"] >= 7999


def test_a_reload_ends_connections_between_requests(folder: Path) -> None:
    """curl asks again and again on one connection, which a reload may close, but not break.

    Over TLS: in the clear, curl 7.88 fails with every second request on a connection, whoever
    the server is.
    """
    with encrypted(folder) as site:
        argv = [program("curl"), "-sS", "--fail", *site.curl]
        for number in range(150):
            argv += ["-o", "/dev/null", f"{site.url}/zeros?{number * 2000}"]
        with running(Process(argv, folder=folder, name="curl"), stop=signal.SIGKILL) as client:
            site.program.popen.send_signal(signal.SIGHUP)
            site.program.wait_for_log("generation 2 serves")
            assert client.wait() == 0, client.log


def test_a_plain_uwsgi_backend_sees_the_same(uwgate: Start, folder: Path) -> None:
    backend = f"{folder}/backend.sock"
    with peers.uwsgi(folder, "--socket", backend, app="mirror.py"):
        where = ("--http", "127.0.0.1:0", "--http2-prior-knowledge", "--http-to", backend)
        host, port = uwgate(*where).address
        argv = [program("curl"), "-sS", "--http2-prior-knowledge", f"http://{host}:{port}/p?q=1"]
        argv += ["-H", "Cookie: a=1", "-H", "Cookie: b=2", "-T", "-"]
        done = subprocess.run(argv, input=b"body", capture_output=True, check=True, timeout=120)
    seen = json.loads(done.stdout)
    assert (seen["method"], seen["path"], seen["query"]) == ("PUT", "/p", "q=1")
    assert (seen["protocol"], seen["size"], seen["length"]) == ("HTTP/2.0", 4, "4")
    assert seen["headers"]["HTTP_COOKIE"] == "a=1; b=2"
    assert "HTTP_TRANSFER_ENCODING" not in seen["headers"]
