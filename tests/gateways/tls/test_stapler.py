"""When responders are asked, and what becomes of their answers."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path

import pytest
from cryptography.x509.ocsp import OCSPCertStatus
from OpenSSL import SSL

from tests.certificates import DAY, NOW, Authority, Certificate
from tests.gateways.tls.conftest import ADDRESS, material
from tests.gateways.tls.conversation import handshake
from tests.gateways.tls.test_ocsp import NOWHERE, answer
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.tls.material import Material
from uwgate.gateways.tls.ocsp import ALL_SECONDS, query_of
from uwgate.gateways.tls.ring import Ring
from uwgate.gateways.tls.stapler import FIRST_PAUSE, LEEWAY, Stapler
from uwgate.gateways.tls.vault import Vault

MINUTE = datetime.timedelta(minutes=1)


class Time:
    """A time that stands until it is set."""

    now = NOW

    def __call__(self) -> datetime.datetime:
        return self.now


@pytest.fixture
def time() -> Time:
    """The time of the test."""
    return Time()


@pytest.fixture(scope="module")
def issuer() -> Authority:
    """An authority with a responder, below a root."""
    return Authority("Issuer", Authority())


@pytest.fixture(scope="module")
def served(issuer: Authority) -> Certificate:
    """A certificate that names a responder."""
    return issuer.server("a.example", responder=NOWHERE)


@pytest.fixture
def good(issuer: Authority, served: Certificate) -> bytes:
    """A response that is good from yesterday to tomorrow."""
    query = query_of(served.pem)
    assert query is not None
    return answer(query, issuer)


def shell(script: str) -> tuple[str, ...]:
    """A program in place of the one that asks."""
    return ("/bin/sh", "-c", f"cat > /dev/null; {script}")


@pytest.fixture
def answers(tmp_path: Path, good: bytes) -> tuple[str, ...]:
    """A program that has the good response, and counts how often it ran."""
    (tmp_path / "good").write_bytes(good)
    return shell(f"echo >> {tmp_path}/runs; cat {tmp_path}/good")


def runs(folder: Path) -> int:
    """How often ``answers`` ran."""
    path = folder / "runs"
    return len(path.read_text()) if path.exists() else 0


def poll(stapler: Stapler) -> bool:
    """Start what is due, and poll until it is over; whether something changed."""
    tick = threading.Event()
    changed = stapler.poll()
    for _ in range(6000):
        if not stapler.is_busy:
            return changed
        tick.wait(0.01)
        changed |= stapler.poll()
    raise AssertionError("the program never ended")


def staple(stapler: Stapler, dressed: Material) -> bytes | None:
    """The response that a material gets."""
    return stapler.dress(dressed).pairs[0].staple


def test_a_response_comes_after_the_certificate(
    time: Time, served: Certificate, answers: tuple[str, ...], good: bytes
) -> None:
    stapler = Stapler(program=answers, now=time)
    before = staple(stapler, material(served))
    assert poll(stapler)
    assert (before, staple(stapler, material(served))) == (None, good)


def test_a_response_is_asked_for_again_half_way_to_its_end(
    time: Time, served: Certificate, answers: tuple[str, ...], tmp_path: Path
) -> None:
    stapler = Stapler(program=answers, now=time)
    staple(stapler, material(served))
    poll(stapler)
    poll(stapler)
    once = runs(tmp_path)
    time.now = NOW + MINUTE  # half way between yesterday and tomorrow is past
    changed = poll(stapler)
    assert (once, runs(tmp_path), changed) == (1, 2, False)


def test_a_response_that_has_run_out_is_shown_no_longer(
    time: Time,
    served: Certificate,
    answers: tuple[str, ...],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stapler = Stapler(program=answers, now=time)
    staple(stapler, material(served))
    poll(stapler)
    time.now = NOW + DAY
    assert poll(stapler)
    assert staple(stapler, material(served)) is None
    assert "has run out" in caplog.text


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no route >&2; exit 1", "no route"),
        ("exit 0", "no answer"),
        ("echo hello", "no OCSP response"),
        ("head -c 100000 /dev/zero", "no OCSP response"),
    ],
)
def test_a_failure_is_logged_and_tried_again_ever_later(
    time: Time,
    served: Certificate,
    caplog: pytest.LogCaptureFixture,
    script: str,
    reason: str,
) -> None:
    stapler = Stapler(program=shell(script), now=time)
    staple(stapler, material(served))
    tries = []
    for passed in (0, 0.5, 1, 2, 2.5, 3):
        time.now = NOW + passed * FIRST_PAUSE
        caplog.clear()
        poll(stapler)
        tries.append(reason in caplog.text)
    assert tries == [True, False, True, False, False, True]


def test_a_revoked_certificate_is_an_error(
    time: Time,
    issuer: Authority,
    served: Certificate,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    query = query_of(served.pem)
    assert query is not None
    revoked = answer(query, issuer, status=OCSPCertStatus.REVOKED)
    (tmp_path / "revoked").write_bytes(revoked)
    stapler = Stapler(program=shell(f"cat {tmp_path}/revoked"), now=time)
    staple(stapler, material(served))
    poll(stapler)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert staple(stapler, material(served)) is None


def test_a_program_that_cannot_be_started_is_a_failure(
    time: Time, served: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    stapler = Stapler(program=("/nowhere",), now=time)
    staple(stapler, material(served))
    assert not poll(stapler)
    assert "cannot start /nowhere" in caplog.text


def test_a_program_that_hangs_is_ended(
    time: Time, served: Certificate, caplog: pytest.LogCaptureFixture
) -> None:
    stapler = Stapler(program=shell("exec sleep 1000"), now=time)
    staple(stapler, material(served))
    stapler.poll()
    time.now += datetime.timedelta(seconds=ALL_SECONDS) + LEEWAY
    stapler.poll()
    assert not stapler.is_busy
    assert "no answer" in caplog.text


def test_what_is_served_no_longer_is_not_asked_for(
    time: Time, served: Certificate, answers: tuple[str, ...], tmp_path: Path
) -> None:
    stapler = Stapler(program=answers, now=time)
    staple(stapler, material(served))
    stapler.forget_all_but([])
    poll(stapler)
    assert runs(tmp_path) == 0


def test_a_certificate_without_a_responder_asks_nobody(
    time: Time, issuer: Authority, answers: tuple[str, ...], tmp_path: Path
) -> None:
    stapler = Stapler(program=answers, now=time)
    staple(stapler, material(issuer.server("b.example")))
    poll(stapler)
    assert runs(tmp_path) == 0


@pytest.fixture
def options(served: Certificate, tmp_path: Path) -> HttpsOptions:
    """An address with the certificate that names a responder."""
    crt, key = served.write(tmp_path, "a")
    return HttpsOptions(https=(f"{ADDRESS},{crt},{key}",))


def changes(vault: Vault) -> list[tuple[str, Material]]:
    """What changes next."""
    tick = threading.Event()
    for _ in range(6000):
        if found := vault.changed():
            return found
        tick.wait(0.01)
    raise AssertionError("nothing changed")


def stapled(context: SSL.Context) -> bytes:
    """What a client that asks for it sees of the response; empty: none."""
    seen: list[bytes] = []

    def take(_: SSL.Connection, data: bytes, __: object) -> bool:
        seen.append(data)
        return True

    client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client_context.set_ocsp_client_callback(take)
    client, server = SSL.Connection(client_context), SSL.Connection(context)
    client.set_connect_state()
    client.request_ocsp()
    server.set_accept_state()
    handshake(client, server)
    return b"".join(seen)


def test_a_client_sees_the_response_after_a_renewal_of_its_ring(
    options: HttpsOptions, answers: tuple[str, ...], good: bytes
) -> None:
    vault = Vault(options, stapler=Stapler(program=answers))
    ring = Ring(options, vault.material)
    before = stapled(ring.context(ADDRESS))
    for name, renewed in changes(vault):
        ring.renew(name, renewed)
    assert (before, stapled(ring.context(ADDRESS))) == (b"", good)


def test_each_kind_of_certificate_has_its_own_response(
    issuer: Authority, served: Certificate, good: bytes
) -> None:
    rsa = issuer.server("a.example", kind="rsa", responder=NOWHERE)
    both = Material(pairs=material(served).pairs + material(rsa).pairs)
    options = HttpsOptions(https=(f"{ADDRESS},a|b,c|d",))
    ring = Ring(options, lambda name: both.with_staples((good, b"of the other one")))
    assert stapled(ring.context(ADDRESS)) == good


def test_nobody_is_asked_where_stapling_is_off(
    options: HttpsOptions, answers: tuple[str, ...], tmp_path: Path
) -> None:
    off = HttpsOptions(https=options.https, ssl_stapling=False)
    stapler = Stapler(program=answers)
    vault = Vault(off, stapler=stapler)
    vault.material(ADDRESS)
    vault.changed()
    assert not stapler.is_busy
    assert runs(tmp_path) == 0


def test_closing_the_vault_ends_the_program(options: HttpsOptions) -> None:
    stapler = Stapler(program=shell("exec sleep 1000"))
    vault = Vault(options, stapler=stapler)
    vault.material(ADDRESS)
    vault.changed()
    busy = stapler.is_busy
    vault.close()
    assert (busy, stapler.is_busy) == (True, False)
