"""The hash of uWSGI's tables: DJB's times 33, exclusive or (spec/subscriptions.md section 5)."""

from __future__ import annotations

BUCKETS = 65535  # what the statistics show is the hash modulo this


def djb33x(data: bytes) -> int:
    """The 32-bit hash. Bytes from 128 on count as negative, as uWSGI's ``char`` does."""
    value = 5381
    for byte in data:
        value = (value * 33 ^ (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
    return value
