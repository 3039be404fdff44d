"""Certificates and keys as bytes, on their way from the keeper to a gateway."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import Any

from uwgate.conf.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate with its chain (PEM) and its key (PEM, not encrypted).

    ``staple`` is a checked OCSP response in DER, None without one.
    """

    chain: bytes
    key: bytes
    staple: bytes | None = None

    def __repr__(self) -> str:  # a key must not reach a log
        return f"Pair(chain={self.chain!r}, staple={self.staple is not None})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All that a context of one name is made of.

    ``ciphers`` are those of TLS 1.2, None: those that apply everywhere. ``client_ca`` is
    PEM, None: clients are not asked for a certificate.
    """

    pairs: tuple[Pair, ...]
    ciphers: str | None = None
    client_ca: bytes | None = None
    client_required: bool = False

    @property
    def verifies(self) -> bool:
        """Whether clients are asked for a certificate."""
        return self.client_ca is not None

    def with_staples(self, staples: tuple[bytes | None, ...]) -> Material:
        """The same with other OCSP responses, one entry a pair."""
        pairs = zip(self.pairs, staples, strict=True)
        return replace(self, pairs=tuple(replace(pair, staple=one) for pair, one in pairs))

    def to_bytes(self) -> bytes:
        """The value for a socket or a memory file; it holds keys."""
        return json.dumps(
            {
                "pairs": [
                    [_text(pair.chain), _text(pair.key), _text(pair.staple)] for pair in self.pairs
                ],
                "ciphers": self.ciphers,
                "client_ca": _text(self.client_ca),
                "client_required": self.client_required,
            }
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Material:
        """What ``to_bytes`` wrote.

        Raises:
            ConfigError: it is something else.
        """
        try:
            values: Any = json.loads(data)
            return cls(
                pairs=tuple(
                    Pair(chain=_needed(chain), key=_needed(key), staple=_bytes(staple))
                    for chain, key, staple in values["pairs"]
                ),
                ciphers=values["ciphers"],
                client_ca=_bytes(values["client_ca"]),
                client_required=values["client_required"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{len(data)} bytes that are no certificates of ours") from error


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)


def _needed(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
