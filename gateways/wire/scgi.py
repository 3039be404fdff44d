"""SCGI: a netstring of variables, then the body as it is (python.ca/scgi/protocol.txt)."""

from __future__ import annotations

from collections.abc import Iterable

LENGTH = b"CONTENT_LENGTH"


class ScgiError(ValueError):
    """A variable cannot be said in SCGI."""


def encode_head(variables: Iterable[tuple[bytes, bytes]], size: int) -> bytes:
    """What goes before a body of ``size`` bytes. Of each name there has to be one at most.

    Raises:
        ScgiError: a NUL, which ends names and values, is in one.
    """
    parts = [LENGTH, b"%d" % size, b"SCGI", b"1"]  # the length comes first, and is always said
    for name, value in variables:
        if name in (LENGTH, b"SCGI"):
            continue
        if b"\0" in name or b"\0" in value:
            raise ScgiError(f"a NUL in {name[:40]!r}")
        parts += (name, value)
    text = b"\0".join(parts) + b"\0"
    return b"%d:%b," % (len(text), text)
