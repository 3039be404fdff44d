"""Header compression (RFC 7541) around the hpack library, for a server with many clients.

Decoding remembers blocks: a client that repeats itself sends the same bytes for the same
fields as long as its dynamic table does not change. Encoding uses no dynamic table at all: a
field then has one form for all clients, and is encoded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from h2.errors import ErrorCodes
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.hpack import Decoder
from hpack.table import HeaderTable

from uwgate.gateways.wire.http2 import ConnectionFault

MAX_BLOCKS = 64  # header blocks that one connection remembers, of up to
MAX_BLOCK_SIZE = 512  # bytes each
MAX_FIELDS = 2048  # encoded fields that are remembered
NO_TABLE = b"\x20"  # section 6.3: begins the first block; from then on the table is empty
# Section 7.1.3: what no intermediary may put into a table either.
_SECRET = frozenset((b"set-cookie", b"authorization", b"proxy-authorization"))
_LITERAL = 0x00  # section 6.2.2
_NEVER_INDEXED = 0x10  # section 6.2.3

Fields = tuple[tuple[bytes, bytes], ...]


class _Table(HeaderTable):
    """A dynamic table that counts its changes."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)


class HeaderDecoder:
    """The decoding end of one connection. ``max_size`` bounds a list of fields (section 10.5.1
    of RFC 9113: 32 bytes are added for each field)."""

    __slots__ = ("_changes", "_decoder", "_known", "_table")

    def __init__(self, max_size: int) -> None:
        self._decoder = Decoder(max_size)
        self._decoder.header_table = self._table = _Table()
        self._known: dict[bytes, Fields] = {}
        self._changes = 0

    def decode(self, block: bytes) -> Fields:
        """The fields of a block, in order.

        Raises:
            ConnectionFault: the block is broken, or expands beyond the limit.
        """
        fields = self._known.get(block)
        if fields is not None:
            return fields
        try:
            fields = tuple((name, value) for name, value in self._decoder.decode(block, raw=True))
        except OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, str(error)) from error
        except HPACKError as error:
            raise ConnectionFault(ErrorCodes.COMPRESSION_ERROR, str(error)) from error
        if self._changes != self._table.changes or _may_resize(block):
            self._changes = self._table.changes
            self._known.clear()
        elif len(block) <= MAX_BLOCK_SIZE:
            if len(self._known) >= MAX_BLOCKS:
                self._known.clear()
            self._known[block] = fields
        return fields


def _may_resize(block: bytes) -> bool:
    """The block begins with a change of the table's size (section 4.2: only there)."""
    return block[:1] != b"" and block[0] & 0xE0 == 0x20


def encode_status(status: int) -> bytes:
    """``:status``, which begins a response."""
    return encode_field(b":status", b"%d" % status)


def encode_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Fields as a header block. Names must be in lower case."""
    return b"".join(encode_field(name, value) for name, value in fields)


@lru_cache(MAX_FIELDS)
def encode_field(name: bytes, value: bytes) -> bytes:
    """One field, as a literal that changes no table (section 6.2), or as an index."""
    known = HeaderTable.STATIC_TABLE_MAPPING.get(name)
    start = _NEVER_INDEXED if name in _SECRET else _LITERAL
    if known is None:
        return (
            _integer(0, 4, start) + _integer(len(name), 7) + name + _integer(len(value), 7) + value
        )
    index, values = known
    if value in values:
        return _integer(values[value], 7, 0x80)  # section 6.1
    return _integer(index, 4, start) + _integer(len(value), 7) + value


def _integer(number: int, bits: int, start: int = 0) -> bytes:
    """Section 5.1: a number in the low ``bits`` of the first byte, ``start`` above them."""
    most = (1 << bits) - 1
    if number < most:
        return bytes((start | number,))
    encoded = bytearray((start | most,))
    number -= most
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
