"""HTTPS: server names, clients' certificates, and certificates that change on disk."""

from __future__ import annotations

import signal
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.certificates import Authority

from . import peers
from .client import request
from .processes import APPS, PATIENCE, Process, free_port, running_uwgate
from .tls import Secure, Site, client_context, curl, program, shared_site, site
from .yardstick import is_done_within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Uwgate

__all__ = ["program", "shared_site", "site"]  # fixtures

# Seconds after which an idle connection may be gone: the visitor himself has stood still.
MISSED = 4.0
PAUSE = 0.03  # seconds between two requests of a visitor: there are others on this machine
SEEN_WITHIN = 2.0  # seconds until new handshakes get a certificate that was put there


def show(uwgate: Start, *arguments: str) -> Uwgate:
    """An application that shows its environ."""
    program = uwgate(*arguments, "--wsgi-file", str(APPS / "differences.py"), "-p1")
    program.wait_for_log("generation 1 serves")
    return program


def environ(program: Uwgate, site: Site, *options: str) -> dict[str, str]:
    """What the application sees of curl's connection."""
    text = curl(*options, f"https://127.0.0.1:{program.address[1]}/show", site=site).decode(
        "latin-1"
    )
    return dict(line.partition("=")[::2] for line in text.splitlines())


def pem(folder: Path, authority: Authority, name: str, file: str = "client.pem") -> Path:
    """A client's certificate and key in one file, as curl takes it."""
    path = folder / file
    client = authority.client(name)
    path.write_bytes(client.pem + client.key_pem)
    return path


@pytest.fixture(scope="module")
def people(shared_folder: Path) -> Authority:
    """The authority of clients, in ``people.crt`` beside ``shared_site``."""
    authority = Authority("People")
    authority.write(shared_folder, "people.crt")
    return authority


@pytest.fixture(scope="module")
def asking(shared_site: Site, people: Authority) -> Iterator[Uwgate]:
    """One that takes a client's certificate, and tells the application of it."""
    yield from showing(shared_site, "asking", "", "people.crt")


@pytest.fixture(scope="module")
def demanding(shared_site: Site, people: Authority) -> Iterator[Uwgate]:
    """One that serves nobody without a certificate."""
    yield from showing(shared_site, "demanding", "", "!people.crt")


def showing(site: Site, name: str, ciphers: str, authority: str) -> Iterator[Uwgate]:
    folder = site.folder / name
    folder.mkdir()
    option = site.https(ciphers, authority.replace("people", f"{site.folder}/people"))
    application = ("--wsgi-file", str(APPS / "differences.py"), "-p1", "--https-export-cert")
    with running_uwgate(option, *application, folder=folder) as program:
        yield program


# Clients' certificates


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_an_optional_certificate_reaches_the_application(
    asking: Uwgate, shared_site: Site, people: Authority, folder: Path, version: str
) -> None:
    program, site = asking, shared_site
    alice = pem(folder, people, "alice")
    seen = environ(program, site, "--cert", str(alice), "--tls-max", version)
    assert seen["HTTPS_DN"] == "'/CN=alice'"
    assert "BEGIN CERTIFICATE" in seen["HTTPS_CC"]
    assert "HTTPS_CLIENT_CERTIFICATE" in seen
    assert seen["SSL_PROTOCOL"] == f"'TLSv{version}'"
    without = environ(program, site, "--tls-max", version)
    assert without["HTTPS"] == "'on'"
    assert "HTTPS_DN" not in without
    assert "HTTPS_CC" not in without


def test_the_variables_are_those_of_uwsgi(
    asking: Uwgate, shared_site: Site, people: Authority, folder: Path
) -> None:
    program, site = asking, shared_site
    names = ("HTTPS", "HTTPS_DN", "HTTPS_CC", "HTTPS_CLIENT_CERTIFICATE", "wsgi.url_scheme")
    alice = pem(folder, people, "al/ice + caf\u00e9")
    ours = environ(program, site, "--cert", str(alice))
    port = free_port()
    argv = [peers.program("uwsgi"), "--https-export-cert", "--master", "--die-on-term", "--https"]
    argv += [f"127.0.0.1:{port},{site.pair},,{site.folder}/people.crt"]
    argv += ["--wsgi-file", str(APPS / "differences.py"), "--need-app"]
    with peers.running(Process(argv, folder=folder, name="uwsgi"), stop=signal.SIGINT) as process:
        process.wait_for_socket(("127.0.0.1", port))
        url = f"https://127.0.0.1:{port}/show"
        text = curl("--cert", str(alice), url, site=site).decode("latin-1")
    theirs = dict(line.partition("=")[::2] for line in text.splitlines())
    assert {name: ours[name] for name in names} == {name: theirs[name] for name in names}


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_required_certificate_is_required(
    demanding: Uwgate, shared_site: Site, people: Authority, folder: Path, version: str
) -> None:
    program, site = demanding, shared_site
    before = program.log.count("TLS handshake failed")
    url = f"https://127.0.0.1:{program.address[1]}/show"
    alice = str(pem(folder, people, "alice"))
    stranger = str(pem(folder, Authority("Strangers"), "mallory", "stranger.pem"))
    known = ("--tls-max", version)
    assert environ(program, site, "--cert", alice, *known)["HTTPS_DN"] == "'/CN=alice'"
    refusals = {35, 56}  # in TLS 1.3 curl has begun to read before it hears of it
    for options in ((), ("--cert", stranger)):
        argv = ["curl", "-sS", "--cacert", str(site.authority), *known, *options, url]
        done = subprocess.run(argv, capture_output=True, timeout=120, check=False)
        assert done.returncode in refusals, done
        assert b"alert" in done.stderr, done
    program.wait_for(
        lambda: program.log.count("TLS handshake failed") == before + 2, "both reasons"
    )


def test_a_stranger_with_an_optional_certificate_is_refused(
    asking: Uwgate, shared_site: Site, folder: Path
) -> None:
    program, site = asking, shared_site
    stranger = str(pem(folder, Authority("Strangers"), "mallory", "stranger.pem"))
    url = f"https://127.0.0.1:{program.address[1]}/show"
    argv = ["curl", "-sS", "--cacert", str(site.authority), "--cert", stranger, url]
    assert subprocess.run(argv, capture_output=True, timeout=120, check=False).returncode != 0


def test_verbose_logs_every_reason(uwgate: Start, site: Site) -> None:
    program = show(uwgate, site.https(), "--ssl-verbose")
    curl("-k", f"http://127.0.0.1:{program.address[1]}/", site=site)
    program.wait_for_log("TLS handshake failed: .*http request")


# Server names


def shown(program: Uwgate, site: Site, name: str) -> bytes:
    """The certificate that a client of this name gets, whatever it says."""
    context = client_context(site)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with Secure(program.address, context, name=name) as connection:
        return connection.certificate


def test_each_name_has_its_certificate(uwgate: Start, site: Site, folder: Path) -> None:
    one, wild, late = (site.root.server(name) for name in ("one.example", "*.wild.example", "late"))
    one.write(folder, "one")
    wild.write(folder, "wild")
    (folder / "names").mkdir()
    program = show(
        uwgate,
        site.https(),
        "--sni=one.example one.crt,one.key",
        "--sni=*.wild.example wild.crt,wild.key",
        "--sni-dir=names",
    )
    default = shown(program, site, "other.example")
    assert shown(program, site, "localhost") == default
    assert shown(program, site, "ONE.example") == one.der
    assert shown(program, site, "a.wild.example") == wild.der
    assert shown(program, site, "late.example") == default
    late = site.root.server("late.example")
    late.write(folder / "names", "late.example")
    program.wait_for(lambda: shown(program, site, "late.example") == late.der, "the late name")


def test_the_name_reaches_the_application(asking: Uwgate, shared_site: Site) -> None:
    program, site = asking, shared_site
    port = program.address[1]
    options = ("--resolve", f"localhost:{port}:127.0.0.1", f"https://localhost:{port}/show")
    text = curl(*options, site=site).decode()
    assert "SSL_TLS_SNI='localhost'" in text


# Certificates that change


@contextmanager
def visits(program: Uwgate, site: Site) -> Iterator[list[BaseException]]:
    """New and kept connections make requests while the block runs; gives what failed."""
    failures: list[BaseException] = []
    done = threading.Event()
    context = client_context(site)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def come_and_go() -> None:
        while not done.is_set():
            try:
                with Secure(program.address, context) as connection:
                    connection.send(request())
                    assert connection.answer().status == 200
            except (OSError, AssertionError) as error:
                failures.append(error)
            time.sleep(PAUSE)

    def stay() -> None:
        try:
            while not done.is_set():
                with Secure(program.address, context) as connection:
                    answered = time.monotonic()
                    while not done.is_set():
                        try:
                            connection.send(request())
                            answer = connection.answer()
                        except OSError:
                            if time.monotonic() - answered > MISSED:
                                break
                            raise
                        answered = time.monotonic()
                        assert answer.status == 200
                        if "Connection" in answer:  # the gateway is about to end
                            break
                        time.sleep(PAUSE)
        except (OSError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for one in (come_and_go, come_and_go, stay, stay)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        done.set()
        for thread in threads:
            thread.join()


def seconds_until_shown(program: Uwgate, site: Site, certificate: bytes) -> float:
    """How long until new clients get a certificate, ten in a row: there are two processes."""
    began = time.monotonic()
    in_a_row = 0
    while in_a_row < 10:
        assert time.monotonic() - began < PATIENCE, program.log
        in_a_row = in_a_row + 1 if shown(program, site, "localhost") == certificate else 0
    return time.monotonic() - began


@pytest.mark.alone
def test_a_renewed_certificate_is_seen_and_no_request_fails(program: Uwgate, site: Site) -> None:
    def renew() -> float:
        renewed = site.root.server("localhost", "127.0.0.1")
        site.replace(renewed)
        return seconds_until_shown(program, site, renewed.der)

    with visits(program, site) as failures:
        for _ in range(2):
            assert is_done_within(SEEN_WITHIN + 0.5, renew)
    assert not failures
    assert "reload" not in program.log


def test_a_broken_pair_leaves_the_old_one_serving(program: Uwgate, site: Site) -> None:
    before = shown(program, site, "localhost")
    (site.folder / "site.crt").write_text("-----BEGIN CERTIFICATE-----\nno\n")
    program.wait_for_log(r"error: .*site\.crt.*")
    assert shown(program, site, "localhost") == before
    repaired = site.root.server("localhost", "127.0.0.1")
    site.replace(repaired)
    seconds_until_shown(program, site, repaired.der)


def test_a_certificate_without_its_key_does_not_start(uwgate: Start, site: Site) -> None:
    other = site.root.server("localhost", number=7)
    (site.folder / "site.key").write_bytes(other.key_pem)
    program = uwgate(site.https(), "--wsgi-file", str(APPS / "mirror.py"))
    assert program.wait() == 1
    assert "site.key" in program.log


def test_openssl_finds_nothing_to_complain_of(program: Uwgate, site: Site) -> None:
    host, port = program.address
    argv = [peers.program("openssl"), "s_client", "-connect", f"{host}:{port}", "-status"]
    argv += ["-CAfile", str(site.authority), "-verify_return_error", "-servername", "localhost"]
    done = subprocess.run(argv, input=b"", capture_output=True, timeout=120, check=False)
    assert b"Verify return code: 0 (ok)" in done.stdout, done
