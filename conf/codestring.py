"""``MODIFIER1:FILE:FUNCTION``, the value of ``use-code-string`` (spec/gateways.md section 3)."""

from __future__ import annotations

from typing import NamedTuple

from uwgate.conf.errors import ConfigError


class CodeString(NamedTuple):
    """A function in a Python file."""

    file: str
    function: str


def parse_code_string(text: str) -> CodeString:
    """What the value names.

    Raises:
        ConfigError: it is malformed, or not about Python.
    """
    modifier1, _, rest = text.partition(":")
    file, _, function = rest.rpartition(":")
    if not (modifier1.isascii() and modifier1.isdigit() and file and function.isidentifier()):
        raise ConfigError(f"{text!r}: expected 0:FILE:FUNCTION")
    if int(modifier1):
        raise ConfigError(f"{text!r}: modifier1 {int(modifier1)}; only Python, 0, can be called")
    return CodeString(file, function)
