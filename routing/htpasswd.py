"""Files of users and hashed passwords, as Apache's htpasswd writes them.

Hashing takes time on purpose (bcrypt: up to a second): call ``verify`` in a thread.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache
from threading import Lock

MAX_FILE = 4 << 20  # bytes
MAX_PASSWORD = 1024  # bytes; hashing more is work for nothing

_ALPHABET = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_crypt_lock = Lock()  # crypt() keeps its result in a place of its own


def verify(content: bytes, user: bytes, password: bytes) -> bool:
    """Whether the file has a line for the user whose hash is that of the password.

    Of several lines for one user the first counts. A hash of a kind that this machine
    cannot check is never right.
    """
    if len(content) > MAX_FILE or len(password) > MAX_PASSWORD or b"\0" in password:
        return False
    for line in content.splitlines():
        name, colon, rest = line.partition(b":")
        if colon and name == user:
            return is_right(rest.split(b":", 1)[0].strip(), password)
    return False


def is_right(hashed: bytes, password: bytes) -> bool:
    """Whether a hash is that of a password."""
    if hashed.startswith(b"{SHA}"):
        made = b"{SHA}" + base64.b64encode(hashlib.sha1(password).digest())
        return hmac.compare_digest(made, hashed)
    if hashed.startswith(b"{SSHA}"):
        return _is_right_ssha(hashed[6:], password)
    if hashed.startswith(b"$apr1$"):
        salt = hashed[6:].partition(b"$")[0][:8]
        return hmac.compare_digest(apr1(password, salt), hashed)
    if len(hashed) < 13:
        return False
    made = _crypt(password, hashed) or b""
    return len(made) >= 13 and hmac.compare_digest(made, hashed)


def _is_right_ssha(text: bytes, password: bytes) -> bool:
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    digest, salt = decoded[:20], decoded[20:]
    return hmac.compare_digest(hashlib.sha1(password + salt).digest(), digest)


def apr1(password: bytes, salt: bytes) -> bytes:
    """Apache's variant of the MD5 crypt scheme, with ``$apr1$`` and the salt in front."""
    inner = hashlib.md5(password + salt + password).digest()
    start = password + b"$apr1$" + salt
    start += (inner * (len(password) // 16 + 1))[: len(password)]
    bits = len(password)
    while bits:
        start += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    digest = hashlib.md5(start).digest()
    for turn in range(1000):
        text = password if turn & 1 else digest
        if turn % 3:
            text += salt
        if turn % 7:
            text += password
        text += digest if turn & 1 else password
        digest = hashlib.md5(text).digest()
    groups = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))
    letters = b"".join(
        _letters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in groups
    )
    return b"$apr1$" + salt + b"$" + letters + _letters(digest[11], 2)


def _letters(value: int, count: int) -> bytes:
    return bytes(_ALPHABET[value >> 6 * place & 63] for place in range(count))


@lru_cache(maxsize=1)
def _system_crypt() -> Callable[[bytes, bytes], bytes | None] | None:
    """The C library's crypt: DES, MD5, SHA-256, SHA-512, bcrypt and yescrypt on most systems."""
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            function = ctypes.CDLL(name).crypt
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_char_p
        function.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        return function
    return None


def _crypt(password: bytes, setting: bytes) -> bytes | None:
    """The hash of a password as another one was made; None if that is not possible."""
    function = _system_crypt()
    if function is None:
        return None
    with _crypt_lock:
        made = function(password, setting)
    return None if made is None or made.startswith(b"*") else made
