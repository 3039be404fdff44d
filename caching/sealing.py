"""Datagrams that only those can make who know ``cache-udp-key``, and only once.

    8 bytes MAGIC | u64 milliseconds since the epoch | 16 random bytes
    | the datagram of ``datagrams.py`` | 32 bytes HMAC-SHA-256

The mac covers everything before it and the name of the cache. It hides nothing: who may listen on
the way reads keys and values. Made of the standard library, because workers run under the
application's own Python.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections import OrderedDict

from uwgate.caching.datagrams import MAX_DATAGRAM, DatagramError

MAGIC = b"\x00uwgate\x01"  # no datagram of uWSGI begins with 0
HEAD = struct.Struct("<8sQ16s")  # magic, milliseconds, nonce
MAC = 32  # bytes
OVERHEAD = HEAD.size + MAC
NONCE = 16  # bytes
MOST_NONCES = 65536  # that are remembered, of one cache


def seal(secret: bytes, cache: str, datagram: bytes, *, now: float, nonce: bytes) -> bytes | None:
    """A sealed datagram; None: it would be too long. ``nonce``: 16 bytes, never used before."""
    if len(datagram) + OVERHEAD > MAX_DATAGRAM:
        return None
    signed = HEAD.pack(MAGIC, int(now * 1000), nonce) + datagram
    return signed + _mac(secret, cache, signed)


class Opener:
    """Opens what was sealed for one cache.

    ``skew`` is how many seconds the clocks of sender and receiver may differ. What was made before
    ``since`` is not taken: it may have been taken by whoever was here before.
    """

    def __init__(self, secret: bytes, cache: str, *, skew: float, since: float) -> None:
        self._secret = secret
        self._cache = cache
        self._skew = skew
        self._horizon = int(since * 1000)
        self._seen: OrderedDict[bytes, int] = OrderedDict()  # and their milliseconds

    def open(self, sealed: bytes, now: float) -> bytes:
        """The datagram inside.

        Raises:
            DatagramError: it is not sealed, not with our secret, too old, or was here before.
        """
        if not sealed.startswith(MAGIC):
            raise DatagramError("not signed")
        if len(sealed) < OVERHEAD:
            raise DatagramError("too short")
        signed, mac = sealed[:-MAC], sealed[-MAC:]
        if not hmac.compare_digest(mac, _mac(self._secret, self._cache, signed)):
            raise DatagramError("wrong signature")
        _, made, nonce = HEAD.unpack_from(signed)
        if abs(made - now * 1000) > self._skew * 1000 or made <= self._horizon:
            raise DatagramError("too old, or from the future")
        if nonce in self._seen:
            raise DatagramError("sent again")
        self._remember(nonce, made, int((now - self._skew) * 1000))
        return signed[HEAD.size :]

    def _remember(self, nonce: bytes, made: int, oldest: int) -> None:
        self._seen[nonce] = made
        while self._seen:
            first, at = next(iter(self._seen.items()))
            if at >= oldest and len(self._seen) <= MOST_NONCES:
                break
            # Nobody would know it any more, so nothing as old as that is taken from now on.
            self._horizon = max(self._horizon, at)
            del self._seen[first]


def _mac(secret: bytes, cache: str, signed: bytes) -> bytes:
    return hmac.digest(secret, b"uwgate cache %b\0%b" % (cache.encode(), signed), hashlib.sha256)
