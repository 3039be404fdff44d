"""What a simulated life of a legion is made of, and what was found in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from uwgate.subscriptions.legion.election import COMPATIBLE_TIMING, SEALED_TIMING, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a life is made of. ``periods`` is how long it lasts, ``faults`` how many there are.

    The last node is an arbiter if ``arbiter``; ``remembers``: nodes keep the highest term in a
    file. ``loss``, ``duplicates``: at most this fraction of the packets; ``delay``: at most this
    many seconds. Each life draws its own below that.
    """

    mode: str = "sealed"
    nodes: int = 3
    quorum: int | None = None  # None: more than half
    periods: int = 30
    faults: int = 4
    loss: float = 0.3
    duplicates: float = 0.1
    delay: float = 2.0
    remembers: bool = True
    arbiter: bool = False
    equal_valors: bool = False
    timing: Timing | None = None

    @property
    def majority(self) -> int:
        """How many votes a lord needs."""
        return self.nodes // 2 + 1 if self.quorum is None else self.quorum

    @property
    def times(self) -> Timing:
        """The timing, or the mode's own."""
        if self.timing is not None:
            return self.timing
        timing = SEALED_TIMING if self.mode == "sealed" else COMPATIBLE_TIMING
        return replace(timing, suspension=2 * timing.tolerance)


@dataclass(slots=True)
class Findings:
    """What happened in one life; times in seconds.

    ``overlaps``: a node acted, or had not cleaned up in time, when another rose. ``late``: a lord
    that was stalled still had the address then (it may not act any more, but cannot know that
    while it is stalled, and needs time to clean up after that). ``repeated_terms``,
    ``fallen_terms``: terms given twice; lower than one before. Without a lord although a majority
    was up and connected all the time: ``takeovers`` from when there was one, ``starts`` from when
    that majority came together.
    """

    overlaps: list[str] = field(default_factory=list)
    repeated_terms: int = 0
    fallen_terms: int = 0
    late: int = 0
    lords: int = 0
    takeovers: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    lordless: float = 0.0
    lasted: float = 0.0
