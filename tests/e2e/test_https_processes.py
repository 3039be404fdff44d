"""HTTPS: the keeper and its gateways; sessions resumed, processes killed, reloads, privileges."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import ssl
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import client, peers
from .client import Connection, request
from .processes import APPS, LEAVING, PATIENCE, accepts, command, free_port, stat, still, tree
from .test_https_clients import visits
from .tls import (
    Secure,
    Site,
    client_context,
    gateway_of,
    program,
    shared_program,
    shared_site,
    site,
)
from .yardstick import is_done_within

if TYPE_CHECKING:
    from .conftest import Start
    from .processes import Uwgate

__all__ = ["program", "shared_program", "shared_site", "site"]  # fixtures

BACK = 1.0  # seconds until the service has to be back, on a quiet machine
RELOADS = 2


def ask(program: Uwgate, site: Site, target: str = "/") -> bytes:
    """The body of an answer on a connection of its own."""
    with Secure(program.address, client_context(site)) as connection:
        connection.send(request("GET", target, [("Connection", "close")]))
        return connection.answer().body


def seconds_until_served(program: Uwgate, site: Site) -> float:
    """How long it takes until a new client is answered."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        with contextlib.suppress(OSError):
            if ask(program, site) == b"ok\n":
                break
    return time.monotonic() - began


# Resumption


def on_every_process(
    program: Uwgate, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> dict[int, Secure]:
    """Connections, one to each gateway process, that offer a session."""
    first = Secure(program.address, context, session=session)
    pid = gateway_of(program, first)
    # So that it leaves the next one to the other.
    os.kill(pid, signal.SIGSTOP)
    try:
        program.wait_for(lambda: stat(pid)[0] == "T", "its standing still")
        second = Secure(program.address, context, session=session)
        return {pid: first, gateway_of(program, second): second}
    finally:
        os.kill(pid, signal.SIGCONT)


def first_session(program: Uwgate, context: ssl.SSLContext) -> tuple[int, ssl.SSLSession]:
    """A session with its ticket, and the process that gave it."""
    with Secure(program.address, context) as connection:
        connection.send(request())
        assert connection.answer().status == 200
        session = connection.sock.session
        assert session is not None
        return gateway_of(program, connection), session


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_resumes_in_either_process(
    shared_program: Uwgate, shared_site: Site, newest: ssl.TLSVersion
) -> None:
    program, site = shared_program, shared_site
    context = client_context(site, newest=newest)
    giver, session = first_session(program, context)
    connections = on_every_process(program, context, session)
    assert giver in connections
    assert len(connections) == 2
    for connection in connections.values():
        with connection:
            assert connection.sock.session_reused
            connection.send(request())
            assert connection.answer().status == 200


def test_a_session_resumes_after_a_renewal(program: Uwgate, site: Site) -> None:
    context = client_context(site)
    _, session = first_session(program, context)
    renewed = site.root.server("localhost", "127.0.0.1")
    site.replace(renewed)

    def is_seen() -> bool:
        with Secure(program.address, client_context(site)) as connection:
            return connection.certificate == renewed.der

    program.wait_for(is_seen, "renewal")
    for connection in on_every_process(program, context, session).values():
        with connection:
            assert connection.sock.session_reused


def test_a_session_resumes_in_a_process_that_was_born_later(
    shared_program: Uwgate, shared_site: Site
) -> None:
    program, site = shared_program, shared_site
    context = client_context(site)
    giver, session = first_session(program, context)
    os.kill(giver, signal.SIGKILL)
    program.wait_for_others("http", 2, instead_of=[giver])
    for connection in on_every_process(program, context, session).values():
        with connection:
            assert connection.sock.session_reused


def test_openssl_resumes(shared_program: Uwgate, shared_site: Site, folder: Path) -> None:
    program, site = shared_program, shared_site
    host, port = program.address
    argv = [peers.program("openssl"), "s_client", "-connect", f"{host}:{port}"]
    argv += ["-CAfile", str(site.authority), "-ign_eof"]
    asking = request("GET", "/", [("Connection", "close")])
    ticket = folder / "ticket"
    for option, word in (("-sess_out", b"New, TLSv1.3"), ("-sess_in", b"Reused, TLSv1.3")):
        done = subprocess.run(
            [*argv, option, str(ticket)], input=asking, capture_output=True, timeout=120, check=True
        )
        assert word in done.stdout, done.stdout
        assert b"ok\n" in done.stdout


# Deaths


def test_a_gateway_killed_is_replaced_and_costs_its_own_clients_alone(
    program: Uwgate, site: Site
) -> None:
    before = program.wait_for_processes("http", 2)
    keeper = program.processes("keeper")
    with visits(program, site) as failures:
        os.kill(before[0], signal.SIGKILL)
        after = program.wait_for_others("http", 2, instead_of=before[:1])
    assert len(failures) <= 4, failures  # those that were in it
    assert before[1] in after
    assert program.processes("keeper") == keeper
    program.wait_for_log(r"http 1 .*SIGKILL|killed by signal 9")


def test_a_gateway_that_keeps_dying_is_replaced_with_pauses(
    shared_program: Uwgate, shared_site: Site
) -> None:
    program, site = shared_program, shared_site
    pids = program.wait_for_processes("http", 2)
    for _ in range(4):
        os.kill(pids[0], signal.SIGKILL)
        pids = program.wait_for_others("http", 2, instead_of=pids[:1])
    assert ask(program, site) == b"ok\n"


def test_a_keeper_killed_leaves_requests_alone(program: Uwgate, site: Site, folder: Path) -> None:
    (keeper,) = program.processes("keeper")
    before = program.wait_for_processes("http", 2)
    marker = folder / "marker"
    with Secure(program.address, client_context(site)) as connection:
        connection.send(request("GET", f"/sleep?seconds=2&marker={marker}"))
        program.wait_for(marker.exists, "running request")
        os.kill(keeper, signal.SIGKILL)
        assert ask(program, site) == b"ok\n"
        assert connection.answer().body == b"slept\n"
    program.wait_for_others("http", 2, instead_of=before)
    program.wait_for_others("keeper", 1, instead_of=[keeper])
    program.wait_for_log("orphaned process")


@pytest.mark.alone
def test_keeper_and_gateways_killed_together_are_back_within_a_second(
    program: Uwgate, site: Site
) -> None:
    def kill() -> float:
        gateways = program.wait_for_processes("http", 2)
        keeper = program.wait_for_processes("keeper", 1)
        for pid in keeper + gateways:
            os.kill(pid, signal.SIGKILL)
        try:
            return seconds_until_served(program, site)
        finally:
            program.wait_for_others("keeper", 1, instead_of=keeper)
            program.wait_for_others("http", 2, instead_of=gateways)

    assert is_done_within(BACK, kill)


def test_a_stop_after_the_keepers_death_leaves_nobody(program: Uwgate, site: Site) -> None:
    with Secure(program.address, client_context(site)) as connection:
        connection.send(request())
        assert connection.answer().status == 200
        os.kill(program.processes("keeper")[0], signal.SIGKILL)
        assert program.stop(signal.SIGTERM, grace=LEAVING) == 0
    assert not program.survivors


def test_everybody_ends_when_the_master_is_killed(program: Uwgate, site: Site) -> None:
    assert ask(program, site) == b"ok\n"
    children = tree(program.pid)
    assert len(children) == 6  # keeper, two gateways, spawner, two workers
    os.kill(program.pid, signal.SIGKILL)
    program.popen.wait()
    left = still(children, patience=PATIENCE)
    assert not left, [command(pid) for pid in left]


def test_a_terminals_signals_are_the_masters_business(
    shared_program: Uwgate, shared_site: Site
) -> None:
    program, site = shared_program, shared_site
    for pid in program.processes("keeper") + program.processes("http"):
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
    before = program.wait_for_processes("http", 2)
    assert ask(program, site) == b"ok\n"
    assert program.processes("http") == before


def test_a_silent_keeper_holds_nobody_up_for_long(uwgate: Start, site: Site, folder: Path) -> None:
    (folder / "names").mkdir()
    witness = str(APPS / "witness.py")
    program = uwgate(site.https(), "--sni-dir=names", "--wsgi-file", witness, "-p1")
    program.wait_for_log("generation 1 serves")
    context = client_context(site)
    context.check_hostname = False
    keeper = program.processes("keeper")[0]
    os.kill(keeper, signal.SIGSTOP)
    try:
        for number in range(20):
            with Secure(program.address, context, name=f"name-{number}.example") as connection:
                connection.send(request())
                assert connection.answer().status == 200
    finally:
        os.kill(keeper, signal.SIGCONT)
    # It is asked again after a while, which may pass here; but not for every client.
    assert 1 <= program.log.count("no certificates within 1 s") < 10


def test_unfinished_handshakes_end_and_hold_nobody_up(uwgate: Start, site: Site) -> None:
    witness = str(APPS / "witness.py")
    program = uwgate(site.https(), "--wsgi-file", witness, "-p1", "--https-handshake-timeout=2")
    program.wait_for_log("generation 1 serves")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Connection(program.address)) for _ in range(150)]
        for connection in silent[::2]:
            connection.send(b"\x16\x03\x01\x02\x00\x01")
        for _ in range(20):
            assert ask(program, site) == b"ok\n"
        assert all(connection.ended() for connection in silent)
    program.wait_for_log("TLS handshake timed out")


# Reloads


def test_reloads_under_load_fail_no_request(program: Uwgate, site: Site) -> None:
    with visits(program, site) as failures:
        for number in range(2, 2 + RELOADS):
            program.popen.send_signal(signal.SIGHUP)
            program.wait_for_log(f"generation {number} serves")
    assert not failures


def test_a_reload_with_a_broken_certificate_leaves_the_old_generation(
    program: Uwgate, site: Site
) -> None:
    (site.folder / "site.key").write_text("no key")
    program.popen.send_signal(signal.SIGHUP)
    program.wait_for_log("reload failed, generation 1 keeps serving")
    assert ask(program, site) == b"ok\n"


def test_a_reload_can_begin_and_end_to_speak_tls(uwgate: Start, site: Site, folder: Path) -> None:
    port, other = free_port(), free_port()
    options = folder / "uwgate.ini"
    plain = f"[uwsgi]\nwsgi-file = {APPS}/witness.py\nhttp = 127.0.0.1:{port}\n"
    options.write_text(plain)
    program = uwgate("--ini", str(options))
    program.wait_for_log("generation 1 serves")
    options.write_text(f"{plain}https = 127.0.0.1:{other},{site.pair}\n")
    reload(program, 2)
    with Secure(("127.0.0.1", other), client_context(site)) as connection:
        connection.send(request())
        assert connection.answer().status == 200
    assert len(program.processes("keeper")) == 1
    assert client.ask(("127.0.0.1", port), request()).body == b"ok\n"
    options.write_text(plain)
    reload(program, 3)
    assert program.processes("keeper") == []
    assert not accepts(("127.0.0.1", other))
    assert client.ask(("127.0.0.1", port), request()).body == b"ok\n"


def reload(program: Uwgate, generation: int) -> None:
    """Reload, and wait until nothing is left of the generation before."""
    program.popen.send_signal(signal.SIGHUP)
    program.wait_for_log(f"generation {generation} serves")
    program.wait_for_log(f"generation {generation - 1} is gone")


# Privileges


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up being root")
def test_a_low_port_and_a_key_of_root_serve_as_somebody_else(
    uwgate: Start, site: Site, folder: Path
) -> None:
    folder.chmod(0o755)
    key = folder / "site.key"
    key.chmod(0o400)
    os.chown(key, 0, 0)
    program = uwgate(
        "--shared-socket=127.0.0.1:0",
        "--uid=nobody",
        "--gid=nogroup",
        site.https(at="=0"),
        "--wsgi-file",
        str(APPS / "witness.py"),
        "--http-processes=2",
    )
    program.wait_for_log("generation 1 serves")
    assert ask(program, site) == b"ok\n"
    nobody = pwd.getpwnam("nobody").pw_uid
    for pid in program.processes("http"):
        assert uids(pid) == {nobody}
    assert uids(program.processes("keeper")[0]) == {0}
    renewed = site.root.server("localhost", "127.0.0.1")
    site.replace(renewed)
    (folder / "site.key").chmod(0o400)

    def is_seen() -> bool:
        with Secure(program.address, client_context(site)) as connection:
            return connection.certificate == renewed.der

    program.wait_for(is_seen, "renewal of a key that only root can read")


def uids(pid: int) -> set[int]:
    """The real, effective, saved and file system user of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {int(uid) for uid in re.findall(r"^Uid:(.*)$", status, re.MULTILINE)[0].split()}


def test_each_form_of_address_speaks_tls(uwgate: Start, site: Site) -> None:
    port, other = free_port(), free_port()
    program = uwgate(
        f"--shared-socket=127.0.0.1:{port}",
        site.https(at="=0"),
        f"--https2=addr=[::1]:{other},cert={site.folder}/site.crt,key={site.folder}/site.key",
        f"--http=127.0.0.1:{other}",
        "--wsgi-file",
        str(APPS / "mirror.py"),
    )
    program.wait_for_log("generation 1 serves")
    for url in (
        f"https://127.0.0.1:{port}/",
        f"https://[::1]:{other}/",
        f"http://127.0.0.1:{other}/",
    ):
        argv = [peers.program("curl"), "-sS", "-k", url]
        done = subprocess.run(argv, capture_output=True, timeout=120, check=True)
        assert f'"scheme": "{url.partition(":")[0]}"'.encode() in done.stdout
