"""How long a file may be kept: the static-expires options (spec part B1).

uWSGI sends an Expires field for each rule that matches. Here the first one decides, in uWSGI's
order of kinds: the file's path, PATH_INFO, REQUEST_URI, the type.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from uwgate.files.dates import LAST
from uwgate.routing.regexp.pattern import Pattern, SubjectTooLongError

KINDS = ("path", "path-info", "uri", "type")


@dataclass(frozen=True, slots=True)
class Keeping:
    """Until when a file may be kept: seconds since the epoch."""

    until: int

    def age(self, now: float) -> int:
        """The seconds from now on; 0 if it is over."""
        return max(self.until - int(now), 0)


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """``kind`` is one of KINDS; ``wanted`` the pattern, or for a type its text.

    ``from_change``: the seconds count from the last change of the file, not from the request.
    """

    kind: str
    wanted: Pattern | bytes = field(repr=False)
    seconds: int
    from_change: bool = False

    def matches(self, subject: bytes) -> bool:
        """Whether the rule is for such a subject; a pattern is not tried on one too long for it."""
        if isinstance(self.wanted, bytes):
            return self.wanted == subject
        try:
            return self.wanted.search(subject) is not None
        except SubjectTooLongError:
            return False


def keeping_of(
    rules: Iterable[ExpiryRule], subjects: dict[str, bytes | None], *, changed: int, now: float
) -> Keeping | None:
    """What the first rule that matches says; None: none does. ``rules`` are sorted by kind.

    ``subjects``: for each kind its text. ``changed``: when the file was, in seconds.
    """
    for rule in rules:
        subject = subjects[rule.kind]
        if subject is not None and rule.matches(subject):
            start = changed if rule.from_change else int(now)
            return Keeping(min(max(start + rule.seconds, 0), LAST))
    return None
