"""What an application is told about a TLS connection (spec/uwsgi-protocol.md 9.2, 9.5).

uWSGI's variables have uWSGI's names and values; what it does not tell has the names that
Apache's mod_ssl gave it.
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from uwgate.gateways.wire import cgi

# Bytes that a client's certificate may take of a request's block of 64 KiB.
MAX_CERTIFICATE = 24576

# RFC 6066 section 3 allows host names only; a client may still send anything.
SERVER_NAME = re.compile(rb"[A-Za-z0-9_.-]{1,253}")

# The names of X509_NAME_oneline; other attributes go by their number.
SHORT_NAMES = {
    NameOID.COMMON_NAME: "CN",
    NameOID.SURNAME: "SN",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.STREET_ADDRESS: "street",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.TITLE: "title",
    NameOID.GIVEN_NAME: "GN",
    NameOID.INITIALS: "initials",
    NameOID.GENERATION_QUALIFIER: "generationQualifier",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.PSEUDONYM: "pseudonym",
    NameOID.USER_ID: "UID",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
}
_SPECIAL = re.compile(rb"[^ -~]|[/+]")


class CertificateError(ValueError):
    """An application cannot be told of a client's certificate: it is too large, or malformed."""


def pack(connection: SSL.Connection, *, export: bool) -> bytes:
    """The variables of an established connection, packed.

    ``export``: with the client's certificate as PEM. Those that need the certificate are
    only there when the client has sent one.

    Raises:
        CertificateError: see ``pack_plain`` for what is left.
    """
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        return pack_plain(connection)
    try:
        name = one_line(certificate.subject)
    except ValueError as error:  # OpenSSL is more tolerant than the parser that we use
        raise CertificateError(f"malformed subject in a client certificate: {error}") from error
    variables = [
        ("HTTPS_CLIENT_CERTIFICATE", certificate.public_bytes(Encoding.DER)),
        ("HTTPS_DN", name),
    ]
    if export:
        variables.append(("HTTPS_CC", certificate.public_bytes(Encoding.PEM)))
    size = sum(len(value) for _, value in variables)
    if size > MAX_CERTIFICATE:
        raise CertificateError(f"client certificate of {size} bytes, limit {MAX_CERTIFICATE}")
    return pack_plain(connection) + cgi.pack(variables)


def pack_plain(connection: SSL.Connection) -> bytes:
    """The variables that need no client certificate, packed."""
    protocol = connection.get_protocol_version_name().encode()
    key = protocol, connection.get_cipher_name(), connection.get_servername()
    packed = _known.get(key)
    if packed is None:
        _, cipher, _ = key
        variables = [("HTTPS", b"on"), ("SSL_PROTOCOL", protocol)]
        if cipher is not None:
            variables.append(("SSL_CIPHER", cipher.encode()))
        if name := server_name(connection):
            variables.append(("SSL_TLS_SNI", name))
        packed = cgi.pack(variables)
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[key] = packed
    return packed


def server_name(connection: SSL.Connection) -> bytes:
    """What the client called us in its handshake; empty: nothing, or nothing that is a name."""
    name = connection.get_servername()
    return name if name is not None and SERVER_NAME.fullmatch(name) else b""


MAX_KNOWN = 1024  # the name is the client's choice
_known: dict[tuple[bytes, str | None, bytes | None], bytes] = {}


def one_line(name: x509.Name) -> bytes:
    r"""A distinguished name as OpenSSL writes it in one line, for example ``/C=IT/CN=a\/b``."""
    parts = []
    for attribute in name:
        short = SHORT_NAMES.get(attribute.oid, attribute.oid.dotted_string)
        value = attribute.value
        raw = value.encode() if isinstance(value, str) else value
        parts.append(b"/" + short.encode() + b"=" + _SPECIAL.sub(_escape, raw))
    return b"".join(parts)


def _escape(match: re.Match[bytes]) -> bytes:
    octet = match[0]
    return b"\\" + octet if octet in b"/+" else b"\\x%02X" % octet[0]
