"""A few variables of a uwsgi block, found without decoding the others.

A router needs two or three of the thirty variables of a request, and the block goes on as it
came. What is refused is exactly what ``uwsgi.decode_block`` refuses.
"""

from __future__ import annotations

from collections.abc import Iterable

from uwgate.gateways.wire.uwsgi import PacketError


class Scanner:
    """Finds the variables with these names."""

    def __init__(self, names: Iterable[bytes]) -> None:
        self._names = frozenset(names)
        # A name's length and last byte tell most others apart, and cost less than to cut it out.
        shapes = bytearray(256)
        for name in self._names:
            shapes[len(name) + name[-1] & 0xFF] = 1
        self._shapes = bytes(shapes)

    def scan(self, data: bytes, start: int, end: int) -> dict[bytes, bytes]:
        """The wanted variables of the block ``data[start:end]``; of duplicates the last.

        ``end`` is at most the length of ``data``.

        Raises:
            PacketError: a key is empty, or a length runs past the end of the block.
        """
        found: dict[bytes, bytes] = {}
        shapes = self._shapes
        names = self._names
        position = start
        try:
            while position < end:
                # Most lengths have a high byte of 0, which is not worth adding.
                size = data[position]
                if data[position + 1]:
                    size += data[position + 1] << 8
                key = position + 2
                key_end = key + size
                following = key_end + 2 + data[key_end]
                if data[key_end + 1]:
                    following += data[key_end + 1] << 8
                if not size:
                    raise PacketError(f"empty key at byte {position - start}")
                if shapes[size + data[key_end - 1] & 0xFF]:
                    name = data[key:key_end]
                    if name in names:
                        found[name] = data[key_end + 2 : following]
                position = following
        except IndexError:
            position = end + 1
        # Whatever runs past the end, the next variable would begin there.
        if position > end:
            raise PacketError("a variable runs past the block")
        return found
