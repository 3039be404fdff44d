"""Addresses made of keys (``use-pattern``, ``use-base``; spec/gateways.md section 3)."""

from __future__ import annotations

import re

# uWSGI takes the key as the client wrote it, which may lead anywhere.
FORBIDDEN = re.compile(r"[/:\x00-\x1f\x7f]|\.\.")
PLACEHOLDER = re.compile(r"%(.?)", re.DOTALL)


class Template:
    """The text before, between and behind the places where the key goes."""

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces

    @classmethod
    def of_pattern(cls, pattern: str) -> Template:
        """``%s`` is the key, ``%%`` a percent sign, ``%`` and anything else is nothing."""
        pieces = [""]
        end = 0
        for match in PLACEHOLDER.finditer(pattern):
            pieces[-1] += pattern[end : match.start()]
            end = match.end()
            if match[1] == "s":
                pieces.append("")
            elif match[1] == "%":
                pieces[-1] += "%"
        pieces[-1] += pattern[end:]
        return cls(pieces)

    @classmethod
    def of_base(cls, base: str) -> Template:
        """The base, immediately followed by the key."""
        return cls([base, ""])

    def fill(self, key: str) -> str | None:
        """The address for a key, whose port does not count; None for a key that cannot be a name.

        A key with a slash or two dots could lead out of the folder, one with a colon to
        any address of the network.
        """
        host, colon, port = key.rpartition(":")
        name = host if colon and (not port or (port.isascii() and port.isdigit())) else key
        if not name or name == "." or FORBIDDEN.search(name):
            return None
        return name.join(self._pieces)
