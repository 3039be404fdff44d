"""The PROXY protocol, versions 1 and 2: who the client behind a proxy is.

After haproxy's doc/proxy-protocol.txt (sections 2.1 and 2.2); "section" below means there.
"""

from __future__ import annotations

import enum
import ipaddress
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # version 2, section 2.2
V1_START = b"PROXY "
MAX_V1 = 107  # bytes of a line with its CR LF, section 2.1
# Bytes of a version 2 header; its length field could say 65551. Addresses are 216 bytes at
# most, and what TLVs tell of TLS are names.
MAX_V2 = 4096
MAX_HEADER = MAX_V2

_HEAD = struct.Struct(">12sBBH")  # signature, version and command, family and protocol, length
_TLV = struct.Struct(">BH")
_PORTS = struct.Struct(">HH")
_CRC = struct.Struct(">I")
TLV_CRC32C = 0x03
TLV_SSL = 0x20
_SSL_CLIENT = 0x01  # PP2_CLIENT_SSL: the client spoke TLS with the proxy
_UNIX_PATH = 108  # bytes, section 2.2
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_ADDRESS = re.compile(rb"[0-9A-Fa-f.:]{2,39}")

Endpoint = tuple[str, int] | bytes  # address and port, or the path of a UNIX socket


class ProxyError(ValueError):
    """What begins a connection is no PROXY header, or a broken one."""


class Family(enum.IntEnum):
    """Families of version 2, with their transport: section 2.2."""

    UNSPEC = 0x00
    TCP4 = 0x11
    TCP6 = 0x21
    UNIX = 0x31


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHeader:
    """What a header says.

    ``source`` and ``destination`` are None where it does not say: UNKNOWN, UNSPEC, LOCAL.
    ``is_local``: the proxy itself speaks (a health check). ``tlvs`` are types and values in
    order, CRC32c excepted.
    """

    source: Endpoint | None = None
    destination: Endpoint | None = None
    is_local: bool = False
    tlvs: tuple[tuple[int, bytes], ...] = ()

    @property
    def client_spoke_tls(self) -> bool:
        """The client's connection to the proxy is encrypted (section 2.2.6)."""
        return any(
            kind == TLV_SSL and value[:1] and value[0] & _SSL_CLIENT for kind, value in self.tlvs
        )


def decode(buffer: bytes) -> tuple[ProxyHeader, int] | None:
    """The header at the head of ``buffer`` and its length in bytes; None while bytes are missing.

    Raises:
        ProxyError: no header begins like this, or it is broken or too large.
    """
    if buffer[: len(SIGNATURE)] == SIGNATURE[: len(buffer)]:
        return _decode_v2(buffer)
    if buffer[: len(V1_START)] == V1_START[: len(buffer)]:
        return _decode_v1(buffer)
    raise ProxyError("no PROXY header")


def encode_v1(source: Endpoint | None, destination: Endpoint | None) -> bytes:
    """A version 1 line; UNKNOWN where the two are not TCP addresses of one family."""
    if isinstance(source, tuple) and isinstance(destination, tuple):
        client = ipaddress.ip_address(source[0])
        server = ipaddress.ip_address(destination[0])
        if client.version == server.version:
            family = 4 if client.version == 4 else 6
            line = f"PROXY TCP{family} {client} {server} {source[1]} {destination[1]}\r\n"
            return line.encode("ascii")
    return b"PROXY UNKNOWN\r\n"


def encode_v2(header: ProxyHeader, *, checksum: bool = False) -> bytes:
    """A version 2 header, with a CRC32c on request.

    Raises:
        ValueError: an address is none, the two are of different families, or it grows too large.
    """
    family, addresses = _encode_addresses(header.source, header.destination)
    block = addresses + b"".join(
        _TLV.pack(kind, len(value)) + value
        for kind, value in (*header.tlvs, *(((TLV_CRC32C, bytes(4)),) if checksum else ()))
    )
    if _HEAD.size + len(block) > MAX_V2:
        raise ValueError(f"header of {_HEAD.size + len(block)} bytes, limit {MAX_V2}")
    command = 0x20 if header.is_local else 0x21
    data = _HEAD.pack(SIGNATURE, command, family, len(block)) + block
    return data[:-4] + _CRC.pack(crc32c((data,))) if checksum else data


def crc32c(parts: Iterable[bytes]) -> int:
    """CRC-32C (Castagnoli, RFC 3720 section B.4) of the parts one behind the other."""
    crc = 0xFFFFFFFF
    table = _TABLE
    for part in parts:
        for octet in part:
            crc = table[(crc ^ octet) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


# Version 1


def _decode_v1(buffer: bytes) -> tuple[ProxyHeader, int] | None:
    end = buffer.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(buffer) >= MAX_V1:
            raise ProxyError(f"PROXY line of more than {MAX_V1} bytes")
        if b"\n" in buffer:
            raise ProxyError("PROXY line ends in LF without CR")
        return None
    words = buffer[:end].split(b" ")
    if words[1] == b"UNKNOWN":  # what follows is to be ignored
        return ProxyHeader(), end + 2
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != 6:
        raise ProxyError("malformed PROXY line")
    version = 4 if words[1] == b"TCP4" else 6
    source = _text_address(words[2], version), _text_port(words[4])
    destination = _text_address(words[3], version), _text_port(words[5])
    return ProxyHeader(source=source, destination=destination), end + 2


def _text_address(text: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(text.decode()) if _ADDRESS.fullmatch(text) else None
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise ProxyError(f"PROXY line: not an IPv{version} address")
    return str(address)


def _text_port(text: bytes) -> int:
    if _PORT.fullmatch(text) is None or int(text) > 0xFFFF:
        raise ProxyError("PROXY line: not a port")
    return int(text)


# Version 2


def _decode_v2(buffer: bytes) -> tuple[ProxyHeader, int] | None:
    if len(buffer) < _HEAD.size:
        return None
    _, command, code, length = _HEAD.unpack_from(buffer)
    if command >> 4 != 2 or command & 0xF > 1:
        raise ProxyError(f"PROXY header with version and command {command:#04x}")
    end = _HEAD.size + length
    if end > MAX_V2:
        raise ProxyError(f"PROXY header of {end} bytes, limit {MAX_V2}")
    if len(buffer) < end:
        return None
    if command == 0x20:  # LOCAL: the block means nothing, whatever it holds
        return ProxyHeader(is_local=True), end
    try:
        family = Family(code)
    except ValueError:
        raise ProxyError(f"PROXY header with family {code:#04x}") from None
    block = buffer[_HEAD.size : end]
    source, destination, used = _decode_addresses(family, block)
    tlvs = () if family is Family.UNSPEC else _decode_tlvs(buffer[:end], _HEAD.size + used)
    return ProxyHeader(source=source, destination=destination, tlvs=tlvs), end


def _decode_addresses(family: Family, block: bytes) -> tuple[Endpoint | None, Endpoint | None, int]:
    """Source, destination, and how many bytes of the block they took."""
    if family is Family.UNSPEC:
        return None, None, len(block)
    size = {Family.TCP4: 4, Family.TCP6: 16, Family.UNIX: _UNIX_PATH}[family]
    used = 2 * size + (0 if family is Family.UNIX else _PORTS.size)
    if len(block) < used:
        raise ProxyError(f"PROXY header with {len(block)} bytes of addresses, needs {used}")
    first, second = block[:size], block[size : 2 * size]
    if family is Family.UNIX:
        return first.partition(b"\0")[0], second.partition(b"\0")[0], used
    ports = _PORTS.unpack_from(block, 2 * size)
    return (
        (str(ipaddress.ip_address(first)), ports[0]),
        (str(ipaddress.ip_address(second)), ports[1]),
        used,
    )


def _decode_tlvs(header: bytes, start: int) -> tuple[tuple[int, bytes], ...]:
    tlvs: list[tuple[int, bytes]] = []
    position = start
    while position < len(header):
        value = position + _TLV.size
        if value > len(header):
            raise ProxyError("PROXY header: TLV cut short")
        kind, length = _TLV.unpack_from(header, position)
        position = value + length
        if position > len(header):
            raise ProxyError("PROXY header: TLV runs past the end")
        if kind == TLV_CRC32C:
            _check(header, value, length)
        else:
            tlvs.append((kind, header[value:position]))
    return tuple(tlvs)


def _check(header: bytes, at: int, length: int) -> None:
    if length != _CRC.size:
        raise ProxyError(f"PROXY header: CRC32c of {length} bytes")
    given = _CRC.unpack_from(header, at)[0]
    if crc32c((header[:at], bytes(_CRC.size), header[at + _CRC.size :])) != given:
        raise ProxyError("PROXY header: wrong CRC32c")


def _encode_addresses(
    source: Endpoint | None, destination: Endpoint | None
) -> tuple[Family, bytes]:
    if source is None or destination is None:
        return Family.UNSPEC, b""
    if isinstance(source, bytes) and isinstance(destination, bytes):
        return Family.UNIX, b"".join(_padded(path) for path in (source, destination))
    if isinstance(source, bytes) or isinstance(destination, bytes):
        raise ValueError("a UNIX socket and an address in one PROXY header")
    client, server = ipaddress.ip_address(source[0]), ipaddress.ip_address(destination[0])
    if client.version != server.version:
        raise ValueError("addresses of two families in one PROXY header")
    family = Family.TCP4 if client.version == 4 else Family.TCP6
    return family, client.packed + server.packed + _PORTS.pack(source[1], destination[1])


def _padded(path: bytes) -> bytes:
    if len(path) > _UNIX_PATH:
        raise ValueError(f"path of {len(path)} bytes, limit {_UNIX_PATH}")
    return path.ljust(_UNIX_PATH, b"\0")


def _make_table() -> Sequence[int]:
    table: list[int] = []
    for number in range(256):
        crc = number
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_TABLE = _make_table()
