"""uWSGI's ``key=value,key=value`` lists; a backslash protects the character behind it."""

from __future__ import annotations

from uwgate.conf.errors import ConfigError


def read_keyval(text: str) -> dict[str, str]:
    """The pairs of a list, in its order.

    uWSGI passes over what it cannot read; here it is an error.

    Raises:
        ConfigError: an item is no pair, or a key stands there twice.
    """
    found: dict[str, str] = {}
    for item in split_items(text):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ConfigError(f"{item!r}: expected KEY=VALUE")
        if key in found:
            raise ConfigError(f"{key} stands there twice")
        found[key] = value
    return found


def split_items(text: str) -> list[str]:
    """The items of a list, their backslashes gone."""
    items = [""]
    protected = False
    for character in text:
        if protected or character not in "\\,":
            items[-1] += character
            protected = False
        elif character == "\\":
            protected = True
        else:
            items.append("")
    return items
