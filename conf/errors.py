"""The errors that uwgate raises, by whose fault they are.

UwgateError
├── ConfigError        the operator's: an option, a file, an address
├── ClientError        the client's: answered with its status
├── BackendError       a backend refused or broke off: 502
│   └── BackendTimeout it did not answer in time: 504
└── NoNodeError        nobody to send the request to: 503
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uwgate.conf.pair import Note


class UwgateError(Exception):
    """Any expected failure."""


class ConfigError(UwgateError):
    """The configuration cannot be used; the text names file, line, option and value.

    One line of text is one problem. ``remarks`` is what else there is to say of the
    configuration, besides what is wrong with it.
    """

    def __init__(self, text: str, remarks: Sequence[Note] = ()) -> None:
        super().__init__(text)
        self.remarks = tuple(remarks)


class ClientError(UwgateError):
    """A client broke a rule. ``status`` is the answer that it gets."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class BackendError(UwgateError):
    """A backend refused, or broke off."""

    status = 502

    def __init__(self, address: str, reason: str, *, sent: bool) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.retry = not sent  # nothing reached it: another node may have the request


class BackendTimeout(BackendError):
    """A backend did not answer in time."""

    status = 504


class NoNodeError(UwgateError):
    """No node can take the request. ``retry_after``: seconds until one may."""

    status = 503

    def __init__(self, reason: str, *, retry_after: int = 1) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
