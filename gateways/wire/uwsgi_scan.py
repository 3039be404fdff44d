"""A few variables of a uwsgi block, found without decoding the others.

A router needs two or three of the thirty variables of a request, and the block goes on as it
came. What is refused is exactly what ``uwsgi.decode_block`` refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from uwgate.gateways.wire.uwsgi import PacketError

if TYPE_CHECKING:
    from mypy_extensions import i64  # compiled: no object; not compiled: it is an int

NOWHERE: Final = -1


class Scanner:
    """Finds the variables with these names.

    Raises:
        ValueError: there are too many names for it.
    """

    def __init__(self, names: Sequence[bytes]) -> None:
        self._nothing: list[bytes | None] = [None] * len(names)
        # What is looked for: the empty name, too, for it is an error.
        self._names = [*names, b""]
        # A name's length and last byte tell most others apart, and cost less than to cut it out.
        # With the right factor they tell those that are looked for from each other, too.
        for factor in range(1, 256, 2):
            places = {_shape(name, factor): place for place, name in enumerate(self._names)}
            if len(places) == len(self._names):
                break
        else:
            raise ValueError(f"{len(names)} names cannot be told apart")
        self._factor = factor
        # A list, because Python looks into those faster than into bytes.
        self._places = [places.get(shape, NOWHERE) for shape in range(256)]

    def scan(self, data: bytes, start: int, end: int) -> list[bytes | None]:
        """The variables of the block ``data[start:end]`` in the order of the names.

        None: there is none. Of duplicates it is the last. ``end`` is at most the length of
        ``data``.

        Raises:
            PacketError: a key is empty, or a length runs past the end of the block.
        """
        names = self._names
        places = self._places
        found = self._nothing.copy()
        factor: i64 = self._factor
        stop: i64 = end
        position: i64 = start
        try:
            while position < stop:
                # Most lengths have a high byte of 0.
                key_end: i64 = position + 2 + data[position]
                following: i64 = key_end + 2 + data[key_end]
                if data[position + 1] or data[key_end + 1]:
                    key_end += data[position + 1] << 8
                    following = key_end + 2 + data[key_end] + (data[key_end + 1] << 8)
                # What stands before an empty key is the 0 of its length.
                place: i64 = places[(key_end - position) * factor + data[key_end - 1] & 0xFF]
                if place >= 0:
                    name = data[position + 2 : key_end]
                    if name == names[place]:
                        if not name:
                            raise PacketError(f"empty key at byte {position - start}")
                        found[place] = data[key_end + 2 : following]
                position = following
        except IndexError:
            position = stop + 1
        # Whatever runs past the end, the next variable would begin there.
        if position > stop:
            raise PacketError("a variable runs past the block")
        return found


def _shape(name: bytes, factor: int) -> int:
    return (2 + len(name)) * factor + (name[-1] if name else 0) & 0xFF
