"""How many answers of each class clients got (RFC 9110 section 15)."""

from __future__ import annotations

_CLASSES = {ord(str(digit)): f"{digit}xx" for digit in range(1, 6)}


class Answers(list[int]):
    """Counts by the first byte of the status: ``answers[head[0]] += 1``.

    A list, because every answer is counted.
    """

    def __init__(self) -> None:
        super().__init__([0] * 256)

    def add(self, status: int) -> None:
        """One more answer."""
        self[ord("0") + status // 100] += 1

    def as_dict(self) -> dict[str, int]:
        """The counts of ``1xx`` to ``5xx``; ``other`` is what is no status at all."""
        found = {name: self[byte] for byte, name in _CLASSES.items() if self[byte]}
        other = sum(self) - sum(found.values())
        return found | {"other": other} if other else found
