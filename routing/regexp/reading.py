"""A pattern while it is read: its text, and how far one is."""

from __future__ import annotations

import re


class PatternError(ValueError):
    """A pattern that cannot be used. ``position`` counts bytes from 0."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} (at byte {position + 1} of the pattern)")
        self.position = position


class Reading:
    """The text and a position in it."""

    __slots__ = ("length", "position", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.length = len(text)
        self.position = 0

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self.position >= self.length

    def at(self, prefix: bytes) -> bool:
        """Whether this comes next."""
        return self.text.startswith(prefix, self.position)

    def take(self, prefix: bytes) -> bool:
        """Pass this by if it comes next."""
        if not self.at(prefix):
            return False
        self.position += len(prefix)
        return True

    def peek(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """What of the pattern comes next; the position stays."""
        return pattern.match(self.text, self.position)

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Pass by what of the pattern comes next."""
        found = self.peek(pattern)
        if found is not None:
            self.position = found.end()
        return found

    def find(self, text: bytes) -> int:
        """Where a text comes next, or -1."""
        return self.text.find(text, self.position)

    def byte(self) -> int:
        """The next byte.

        Raises:
            PatternError: there is none.
        """
        if self.done:
            raise PatternError("the pattern ends too early", self.position)
        byte = self.text[self.position]
        self.position += 1
        return byte
