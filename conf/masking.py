"""Values of options as they are shown to people: without the secrets that stand in them."""

from __future__ import annotations

MASK = "(hidden)"


def whole(value: str) -> str:
    """The value is a secret."""
    return MASK if value else value


def behind_name(value: str) -> str:
    """``NAME SECRET``."""
    name, blank, secret = value.strip().partition(" ")
    return f"{name} {MASK}" if blank and secret.strip() else MASK


def behind_cipher(value: str) -> str:
    """``NAME ADDRESS VALOR CIPHER:SECRET``; of what has another form only the name is shown."""
    words = value.split(maxsplit=3)
    if len(words) < 4 or not words[2].isdigit():
        return " ".join([*words[:1], MASK])
    cipher, colon, secret = words[3].partition(":")
    shown = f"{cipher}:{MASK}" if colon and secret else MASK
    return " ".join([*words[:3], shown])
