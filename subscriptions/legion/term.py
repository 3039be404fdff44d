"""Terms: the numbers of lordships. Each is higher than those before; no two nodes share one.

The upper bits count, and the count is at least the second in which the term was chosen; so
terms go on rising when all nodes have forgotten the last one. The lower bits are drawn from the
node's uuid, so two nodes that choose in the same second choose differently.
"""

from __future__ import annotations

import hashlib

TAG_BITS = 20  # with seconds above them a term fits into the 53 bits of a JSON number
MAX_SECONDS = 1 << 40  # a clock that claims more is not believed


def next_term(highest: int, wall: float, uuid: bytes) -> int:
    """A term above ``highest`` that belongs to this node alone."""
    tag = int.from_bytes(hashlib.sha256(uuid).digest()[:4], "big") >> (32 - TAG_BITS)
    seconds = min(max(int(wall), 0), MAX_SECONDS)
    return max(seconds, (highest >> TAG_BITS) + 1) << TAG_BITS | tag
