"""The variables of requests, as rules see them.

Clients repeat themselves: but for its first variables (method, target, path and query) a block
is that of the request before. What was taken apart once is kept, as far as there is room.
"""

from __future__ import annotations

from uwgate.gateways.wire.uwsgi import PacketError, decode_block

VARYING = 4  # variables at the beginning of a block that differ from request to request
MAX_KNOWN = 1024  # ends of blocks that are remembered, of up to
MAX_KNOWN_SIZE = 2048  # bytes each


class Variables:
    """Takes blocks apart. One for each gateway process."""

    def __init__(self) -> None:
        self._known: dict[bytes, dict[bytes, bytes]] = {}

    def read(self, block: bytes) -> dict[bytes, bytes]:
        """All variables, in a dict of the caller's own; of equal names the last one counts.

        Raises:
            PacketError: it is no block.
        """
        variables: dict[bytes, bytes] = {}
        position = 0
        try:
            for _ in range(VARYING):
                start = position + 2
                key_end = start + block[position] + (block[position + 1] << 8)
                value = key_end + 2
                position = value + block[key_end] + (block[key_end + 1] << 8)
                if key_end == start:
                    raise PacketError("variable without a name")
                variables[block[start:key_end]] = block[value:position]
        except IndexError:
            return dict(decode_block(block))
        if position > len(block):
            raise PacketError(f"variable runs past the block of {len(block)} bytes")
        rest = block[position:]
        known = self._known.get(rest)
        if known is None:
            known = self._learn(rest)
        variables.update(known)
        return variables

    def _learn(self, rest: bytes) -> dict[bytes, bytes]:
        known = dict(decode_block(rest))
        if len(rest) <= MAX_KNOWN_SIZE:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[rest] = known
        return known
