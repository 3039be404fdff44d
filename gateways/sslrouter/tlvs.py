"""What a PROXY header of version 2 tells a backend of a client's TLS (section 2.2 there)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

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
    certificate = connection.get_peer_certificate()
    bits, verify = SPOKE_TLS, NOT_VERIFIED
    if certificate is not None:  # a bad one has not passed the handshake
        bits |= SHOWED_CERTIFICATE
        verify = 0
        common_name = certificate.get_subject().commonName
        if common_name:
            inner.append((COMMON_NAME, common_name.encode()[:MAX_VALUE]))
    block = b"".join(_TLV.pack(kind, len(value)) + value for kind, value in inner)
    found.append((TLV_SSL, _SSL.pack(bits, verify) + block))
    return tuple(found)
