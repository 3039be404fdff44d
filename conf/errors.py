"""The errors that uwgate raises, by whose fault they are.

UwgateError
├── ConfigError        the operator's: an option, a file, an address
├── ClientError        the client's: answered with its status
├── BackendError       a backend refused or broke off: 502
│   └── BackendTimeout it did not answer in time: 504
└── NoNodeError        nobody to send the request to: 503
"""

from __future__ import annotations


class UwgateError(Exception):
    """Any expected failure."""


class ConfigError(UwgateError):
    """The configuration cannot be used; the text names file, line, option and value."""


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
    """No node can take the request."""

    status = 503
