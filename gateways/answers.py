"""How many answers of each class clients got (RFC 9110 section 15)."""

from __future__ import annotations

_CLASSES = {ord(str(digit)): f"{digit}xx" for digit in range(1, 6)}


class Answers:
    """Counts by the first byte of the status: ``answers.counts[head[0]] += 1``."""

    def __init__(self) -> None:
        self.counts = [0] * 256

    def add(self, status: int) -> None:
        """One more answer."""
        self.counts[ord("0") + status // 100] += 1

    def as_dict(self) -> dict[str, int]:
        """The counts of ``1xx`` to ``5xx``; ``other`` is what is no status at all."""
        counts = self.counts
        found = {name: counts[byte] for byte, name in _CLASSES.items() if counts[byte]}
        other = sum(counts) - sum(found.values())
        return found | {"other": other} if other else found
