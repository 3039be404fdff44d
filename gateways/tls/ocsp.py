"""OCSP: what to ask a certificate's responder, and whether its answer may be stapled.

RFC 6960, and RFC 5019 for the lightweight profile that responders of today speak (SHA-1 of
names and keys, no nonce). As a program (``python -m uwgate.gateways.tls.ocsp``) it reads a
certificate and its issuer in DER from its standard input, asks over HTTP and writes the
answer in DER; the reason of a failure goes to its standard error, with status 1. Its two
arguments are the user and the group that it becomes before that, empty ones change nothing.
The answer is checked by who gets it.
"""

from __future__ import annotations

import datetime
import encodings.idna  # noqa: F401  # name look-up imports it, when it can no longer be read
import http.client
import signal
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from uwgate.conf import privileges
from uwgate.conf.errors import ConfigError, UwgateError

MAX_RESPONSE = 65536  # bytes; a kilobyte or two is usual
MAX_INPUT = 65536  # bytes of two certificates; a pipe holds as much
STEP_SECONDS = 5.0  # of connecting, sending, and each piece received
ALL_SECONDS = 15  # of the whole program
HEADERS = {"Content-Type": "application/ocsp-request", "Accept": "application/ocsp-response"}
SKEW = datetime.timedelta(minutes=5)  # clocks differ
WITHOUT_END = datetime.timedelta(hours=1)  # an answer that says no nextUpdate is used this long
SOONEST = datetime.timedelta(minutes=1)  # between two questions


class OcspError(UwgateError):
    """There is no answer, or none to be stapled."""


class RevokedError(OcspError):
    """The certificate is revoked: the operator has to act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A certificate that has a responder, and who signed it."""

    leaf: x509.Certificate
    issuer: x509.Certificate
    responder: str

    def to_bytes(self) -> bytes:
        """What the program reads."""
        der = serialization.Encoding.DER
        return self.leaf.public_bytes(der) + self.issuer.public_bytes(der)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staple:
    """An answer to be shown to clients. It is asked for anew at ``renew``, useless at ``end``."""

    response: bytes
    renew: datetime.datetime
    end: datetime.datetime


def query_of(chain: bytes) -> Query | None:
    """The query for a chain in PEM, leaf first.

    None: the leaf names no responder that is asked by HTTP, or its issuer does not follow.
    """
    certificates = x509.load_pem_x509_certificates(chain)
    if len(certificates) < 2 or certificates[0].issuer != certificates[1].subject:
        return None
    responder = _responder(certificates[0])
    if responder is None:
        return None
    query = Query(leaf=certificates[0], issuer=certificates[1], responder=responder)
    return query if len(query.to_bytes()) <= MAX_INPUT else None


def request(query: Query) -> bytes:
    """The question in DER."""
    builder = ocsp.OCSPRequestBuilder()
    # SHA-1, because responders that prepare their answers know no other (RFC 5019 section
    # 2.1.1); nothing depends on its strength here.
    builder = builder.add_certificate(query.leaf, query.issuer, hashes.SHA1())
    return builder.build().public_bytes(serialization.Encoding.DER)


def check(query: Query, data: bytes, now: datetime.datetime) -> Staple:
    """An answer, if it is about this certificate, signed by who may, and good today.

    Raises:
        OcspError: it is not.
    """
    try:
        return _check(query, ocsp.load_der_ocsp_response(data), data, now)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # Not all of a response is looked at when it is loaded: this may come from any part.
        raise OcspError(f"no OCSP response: {error}") from error


def _check(
    query: Query, response: ocsp.OCSPResponse, data: bytes, now: datetime.datetime
) -> Staple:
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise OcspError(f"the responder says {response.response_status.name}")
    single = _single(query, response)
    if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        raise RevokedError(f"the certificate is revoked since {single.revocation_time_utc}")
    if single.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        raise OcspError("the responder does not know the certificate")
    begin, end = single.this_update_utc, single.next_update_utc or now + WITHOUT_END
    if begin > now + SKEW:
        raise OcspError(f"the answer is good from {begin} on only, which is in the future")
    if end <= now:
        raise OcspError(f"the answer was good until {end} only")
    _check_signature(query, response, now)
    return Staple(response=data, renew=max(begin + (end - begin) / 2, now + SOONEST), end=end)


def _responder(certificate: x509.Certificate) -> str | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except (x509.ExtensionNotFound, ValueError):
        return None
    for access in found.value:
        location = access.access_location
        if (
            access.access_method == AuthorityInformationAccessOID.OCSP
            and isinstance(location, x509.UniformResourceIdentifier)
            and location.value.startswith("http://")
        ):
            return location.value
    return None


def _single(query: Query, response: ocsp.OCSPResponse) -> ocsp.OCSPSingleResponse:
    for single in response.responses:
        if single.serial_number != query.leaf.serial_number:
            continue
        digest = hashes.Hash(single.hash_algorithm)
        digest.update(query.issuer.subject.public_bytes())
        if digest.finalize() == single.issuer_name_hash:
            return single
    raise OcspError("the answer is about another certificate")


def _check_signature(query: Query, response: ocsp.OCSPResponse, now: datetime.datetime) -> None:
    """RFC 6960 section 4.2.2.2: the issuer signs, or who has its certificate for that."""
    delegates = [one for one in response.certificates if _is_delegate(one, query.issuer, now)]
    if not any(_has_signed(signer, response) for signer in (query.issuer, *delegates)):
        raise OcspError("the answer is signed by nobody who may sign it")


def _is_delegate(
    certificate: x509.Certificate, issuer: x509.Certificate, now: datetime.datetime
) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    if ExtendedKeyUsageOID.OCSP_SIGNING not in usage:
        return False
    return certificate.not_valid_before_utc - SKEW <= now <= certificate.not_valid_after_utc


def _has_signed(signer: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    key, signature, data = signer.public_key(), response.signature, response.tbs_response_bytes
    try:
        algorithm = response.signature_hash_algorithm
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, data)
        elif algorithm is None:
            return False
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def fetch(responder: str, question: bytes) -> bytes:
    """Ask a responder; redirections are not followed.

    Raises:
        OcspError: no answer.
    """
    parts = urlsplit(responder)
    try:
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=STEP_SECONDS
        )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, question, HEADERS)
        response = connection.getresponse()
        data = response.read(MAX_RESPONSE + 1)
        connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise OcspError(f"{responder}: {error or type(error).__name__}") from error
    if response.status != http.client.OK:
        raise OcspError(f"{responder}: status {response.status}")
    if len(data) > MAX_RESPONSE:
        raise OcspError(f"{responder}: more than {MAX_RESPONSE} bytes")
    return data


def read_query(data: bytes) -> Query:
    """What ``Query.to_bytes`` wrote.

    Raises:
        OcspError: it is something else.
    """
    try:
        length = _der_length(data)
        leaf = x509.load_der_x509_certificate(data[:length])
        issuer = x509.load_der_x509_certificate(data[length:])
    except (ValueError, IndexError) as error:
        raise OcspError(f"no certificate and issuer in DER: {error}") from error
    responder = _responder(leaf)
    if responder is None:
        raise OcspError("the certificate names no responder that is asked by HTTP")
    return Query(leaf=leaf, issuer=issuer, responder=responder)


def _der_length(data: bytes) -> int:
    """Bytes of the DER value at the head of ``data`` (X.690 section 8.1.3)."""
    first = data[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def main() -> int:
    """The program; returns its exit status."""
    signal.alarm(ALL_SECONDS)  # the end of all waits: name servers have no time-out here
    try:
        uid, gid = sys.argv[1:] or ("", "")
        query = read_query(sys.stdin.buffer.read(MAX_INPUT))
        question = request(query)
        privileges.drop(uid or None, gid or None)
        answer = fetch(query.responder, question)
    except (OcspError, ConfigError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
