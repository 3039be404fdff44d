"""``http-hash``, what chash keeps together, and ``http-sticky``, the cookie that names a node."""

from __future__ import annotations

import re

from uwgate.conf.errors import ConfigError

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
MIN_SECRET = 16  # bytes
EXPECTED = "expected path, client, 'cookie NAME' or 'header NAME'"


def parse_hash(text: str) -> tuple[str, str]:
    """``path`` or ``client``, or ``cookie`` or ``header`` with a name.

    Raises:
        ConfigError: it is something else.
    """
    what, _, name = text.strip().partition(" ")
    name = name.strip()
    if what in ("path", "client") and not name:
        return what, ""
    if what in ("cookie", "header"):
        check_token(name)
        return what, name
    raise ConfigError(f"{text!r}: {EXPECTED}")


def check_token(text: str) -> None:
    """Refuse what cannot be the name of a cookie or of a header.

    Raises:
        ConfigError: it is no token.
    """
    if not TOKEN.fullmatch(text):
        raise ConfigError(f"{text!r} is no name: letters, digits and - _ . only")


def check_secret(text: str) -> None:
    """Refuse a secret that could be guessed.

    Raises:
        ConfigError: it is too short.
    """
    size = len(text.encode(errors="surrogateescape"))
    if size < MIN_SECRET:
        raise ConfigError(f"a secret of {size} bytes, expected at least {MIN_SECRET}")
