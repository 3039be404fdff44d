"""What a PROXY header of version 2 tells a backend of a client's TLS (section 2.2 there)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from uwgate.gateways.tls import variables
from uwgate.gateways.wire.proxy_protocol import TLV_SSL

if TYPE_CHECKING:
    from OpenSSL import SSL

AUTHORITY = 0x02
# Inside of TLV_SSL.
VERSION = 0x21
COMMON_NAME = 0x22
CIPHER = 0x23
# Bits of TLV_SSL's first byte.
SPOKE_TLS = 0x01
SHOWED_CERTIFICATE = 0x02 | 0x04  # on this connection, and in this session
NOT_VERIFIED = 1  # no certificate, or none that we know to be good

_SSL = struct.Struct(">BI")
_TLV = struct.Struct(">BH")
MAX_VALUE = 1024  # bytes; a common name may be of any length


def describe(connection: SSL.Connection) -> tuple[tuple[int, bytes], ...]:
    """The server name, if the client sent one, and what was agreed on."""
    found: list[tuple[int, bytes]] = []
    name = variables.server_name(connection)
    if name:
        found.append((AUTHORITY, name))
    inner = [(VERSION, connection.get_protocol_version_name().encode())]
    cipher = connection.get_cipher_name()
    if cipher:
        inner.append((CIPHER, cipher.encode()))
    bits, verify = SPOKE_TLS, NOT_VERIFIED
    common_name = _common_name(connection)
    if common_name is not None:  # a bad certificate has not passed the handshake
        bits |= SHOWED_CERTIFICATE
        verify = 0
        if common_name:
            inner.append((COMMON_NAME, common_name))
    block = b"".join(_TLV.pack(kind, len(value)) + value for kind, value in inner)
    found.append((TLV_SSL, _SSL.pack(bits, verify) + block))
    return tuple(found)


def _common_name(connection: SSL.Connection) -> bytes | None:
    """That of the client's certificate, empty where it has none; None without a certificate."""
    try:
        certificate = connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            return None
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, x509.InvalidVersion):  # OpenSSL is more tolerant than this parser
        return b""
    text = found[0].value if found else b""
    return (text.encode() if isinstance(text, str) else text)[:MAX_VALUE]
