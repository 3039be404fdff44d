"""Why an announcement was not followed, in words that can be counted."""

from __future__ import annotations

import enum

from uwgate.conf.errors import UwgateError


class Refusal(enum.Enum):
    """The reasons; the values are the names of the counters."""

    MALFORMED = "malformed"  # the datagram breaks the format
    TOO_LARGE = "too-large"  # longer than a datagram or a field may be
    CREDENTIALS = "credentials"  # no credentials, or those of the wrong user
    NO_PUBLIC_KEY = "no-public-key"  # nobody may sign for this name
    UNSIGNED = "unsigned"  # a signature is required
    EXPIRED = "expired"  # older than the tolerance
    FUTURE = "future"  # the sender's clock is ahead
    REPLAYED = "replayed"  # not newer than what came before it
    BAD_SIGNATURE = "bad-signature"
    LOOP = "loop"  # it comes from ourselves, through others
    VASSAL = "vassal"  # a vassal is required, and it names none
    FULL = "full"  # a bound on names, nodes or marks is reached


class Refused(UwgateError):
    """A packet changes nothing. ``reason`` is what to count; the text is for the log."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(text)
        self.reason = reason
