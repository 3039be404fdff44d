"""Which answers of responders may be stapled; the program against OpenSSL's own responder."""

from __future__ import annotations

import contextlib
import datetime
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import DAY, NOW, Authority, Certificate
from tests.responder import responder_of
from uwgate.gateways.tls.ocsp import (
    MAX_RESPONSE,
    SKEW,
    OcspError,
    Query,
    check,
    query_of,
    read_query,
    request,
)

NOWHERE = "http://127.0.0.1:1/"


@pytest.fixture(scope="module")
def issuer() -> Authority:
    """An authority with a responder, below a root."""
    return Authority("Issuer", Authority())


@pytest.fixture(scope="module")
def served(issuer: Authority) -> Certificate:
    """A certificate that names a responder."""
    return issuer.server("a.example", responder=NOWHERE)


@pytest.fixture(scope="module")
def query(served: Certificate) -> Query:
    """The query for it."""
    found = query_of(served.pem)
    assert found is not None
    return found


def answer(
    query: Query,
    signer: Authority,
    *,
    by: Certificate | None = None,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    begin: datetime.datetime = NOW - DAY,
    end: datetime.datetime | None = NOW + DAY,
    about: x509.Certificate | None = None,
) -> bytes:
    """A response about the query's certificate, signed by ``by`` or by the authority itself."""
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=about or query.leaf,
        issuer=query.issuer,
        algorithm=hashes.SHA1(),
        cert_status=status,
        this_update=begin,
        next_update=end,
        revocation_time=NOW - DAY if revoked else None,
        revocation_reason=None,
    )
    responder = by.chain[0] if by else signer.certificate
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
    if by is not None:
        builder = builder.certificates([by.chain[0]])
    key = by.key if by else signer.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_a_good_answer_is_renewed_half_way_to_its_end(query: Query, issuer: Authority) -> None:
    staple = check(query, answer(query, issuer, end=NOW + 3 * DAY), NOW)
    assert (staple.renew, staple.end) == (NOW + DAY, NOW + 3 * DAY)


def test_an_answer_may_be_signed_by_a_delegate_of_the_issuer(
    query: Query, issuer: Authority
) -> None:
    data = answer(query, issuer, by=issuer.responder("responder"))
    assert check(query, data, NOW).response == data


def test_an_answer_without_an_end_is_used_for_a_while(query: Query, issuer: Authority) -> None:
    staple = check(query, answer(query, issuer, end=None), NOW)
    assert NOW < staple.renew < staple.end < NOW + DAY


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda q, a: b"", "no OCSP response"),
        (lambda q, a: b"<html>", "no OCSP response"),
        (lambda q, a: answer(q, a)[:-10], "no OCSP response"),
        (lambda q, a: answer(q, a, status=ocsp.OCSPCertStatus.REVOKED), "revoked since"),
        (lambda q, a: answer(q, a, status=ocsp.OCSPCertStatus.UNKNOWN), "does not know"),
        (lambda q, a: answer(q, a, begin=NOW - 2 * DAY, end=NOW), "was good until"),
        (lambda q, a: answer(q, a, begin=NOW + 2 * SKEW), "in the future"),
        (lambda q, a: answer(q, Authority("Issuer")), "nobody who may sign"),
        (lambda q, a: answer(q, a, by=a.server("delegate.example")), "nobody who may sign"),
        (
            lambda q, a: answer(q, a, by=Authority("Issuer").responder("delegate")),
            "nobody who may sign",
        ),
        (
            lambda q, a: answer(q, a, about=a.server("b.example").chain[0]),
            "about another certificate",
        ),
        (
            lambda q, a: ocsp.OCSPResponseBuilder.build_unsuccessful(
                ocsp.OCSPResponseStatus.TRY_LATER
            ).public_bytes(serialization.Encoding.DER),
            "TRY_LATER",
        ),
    ],
)
def test_what_may_not_be_stapled_says_why(
    query: Query, issuer: Authority, make: Callable[[Query, Authority], bytes], reason: str
) -> None:
    with pytest.raises(OcspError, match=reason):
        check(query, make(query, issuer), NOW)


def test_a_query_survives_its_way_to_the_program(query: Query) -> None:
    assert read_query(query.to_bytes()) == query


@pytest.mark.parametrize("cut", [0, 1, 3, 100, -1])
def test_a_query_cut_short_is_refused(query: Query, cut: int) -> None:
    with pytest.raises(OcspError):
        read_query(query.to_bytes()[:cut])


def test_without_a_responder_or_an_issuer_nobody_is_asked(issuer: Authority) -> None:
    silent = issuer.server("a.example")
    secure = issuer.server("a.example", responder="https://127.0.0.1/")
    alone = issuer.server("a.example", responder=NOWHERE).chain[0]
    pems = (silent.pem, secure.pem, alone.public_bytes(serialization.Encoding.PEM))
    assert [query_of(pem) for pem in pems] == [None] * 3


def run(query: Query) -> subprocess.CompletedProcess[bytes]:
    """The program, as the keeper starts it."""
    return subprocess.run(
        [sys.executable, "-m", "uwgate.gateways.tls.ocsp", "", ""],
        input=query.to_bytes(),
        capture_output=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": "src"},
    )


@pytest.fixture
def responder(issuer: Authority, tmp_path: Path) -> Iterator[Certificate]:
    """A certificate that names ``openssl ocsp``, which is at work."""
    with responder_of(issuer, tmp_path, "a.example") as served:
        yield served


def test_the_program_gets_an_answer_of_openssls_responder(responder: Certificate) -> None:
    query = query_of(responder.pem)
    assert query is not None
    done = run(query)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert check(query, done.stdout, datetime.datetime.now(datetime.UTC)).response == done.stdout


@pytest.fixture
def saying() -> Iterator[Callable[[bytes], int]]:
    """Servers that say something to the first client; their ports."""
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []

    def say(data: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(120)
        listeners.append(listener)

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while client.recv(65536):  # to the end: else a reset overtakes the data
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        threads.append(thread)
        port: int = listener.getsockname()[1]
        return port

    yield say
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", b"without response"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", b"SSH-2.0"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", b"status 500"),
        (b"HTTP/1.1 301 No\r\nLocation: http://127.0.0.1:1/\r\n\r\n", b"status 301"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_RESPONSE + 1), b"more than 65536 bytes"),
    ],
)
def test_the_program_says_what_is_wrong_with_a_responder(
    issuer: Authority, saying: Callable[[bytes], int], said: bytes, reason: bytes
) -> None:
    port = saying(said)
    query = query_of(issuer.server("a.example", responder=f"http://127.0.0.1:{port}/").pem)
    assert query is not None
    done = run(query)
    assert (done.stdout, done.returncode) == (b"", 1)
    assert reason in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_question_is_about_the_certificate(query: Query) -> None:
    asked = ocsp.load_der_ocsp_request(request(query))
    assert asked.serial_number == query.leaf.serial_number


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.data())
def test_a_damaged_answer_is_refused_or_taken_and_nothing_else(data: st.DataObject) -> None:
    query, good = DAMAGED
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(OcspError):
        check(query, bytes(damaged), NOW)


def _answered() -> tuple[Query, bytes]:
    issuer = Authority("Issuer", Authority())
    query = query_of(issuer.server("a.example", responder=NOWHERE).pem)
    assert query is not None
    return query, answer(query, issuer, by=issuer.responder("responder"))


DAMAGED = _answered()
