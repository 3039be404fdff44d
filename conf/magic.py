"""Magic variables: ``%x`` in the text of a file (spec/configuration.md section 5)."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uwgate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REFERENCE = re.compile(r"%(.?)", re.DOTALL)
FILE_VARIABLES = "psdencxijb0123456789"


@dataclass(frozen=True, slots=True)
class Machine:
    """The variables that are the same in every file, by letter."""

    values: Mapping[str, str]


def machine() -> Machine:
    """The variables of this process, at this moment."""
    uid, gid = os.getuid(), os.getgid()
    now = time.time()
    return Machine(
        {
            "v": os.getcwd(),
            "V": uwgate.__version__,
            "h": socket.gethostname(),
            "t": str(int(now)),
            "T": str(int(now * 1_000_000)),
            "k": str(os.cpu_count() or 1),
            "u": str(uid),
            "U": _name(lambda: pwd.getpwuid(uid).pw_name, uid),
            "g": str(gid),
            "G": _name(lambda: grp.getgrgid(gid).gr_name, gid),
            "b": sys.executable,
            "[": "\033",
            "%": "%",
        }
    )


def file_variables(given: str, path: str | None, section: str) -> dict[str, str]:
    """The variables that one file defines, by lower-case letter.

    ``given`` is the name as it was written; ``path`` is None for what is no plain file,
    which empties all of them but ``%o``.
    """
    if path is None:
        return dict.fromkeys(FILE_VARIABLES, "") | {"o": given}
    absolute = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
    directory, name = os.path.split(absolute)
    stem, dot, extension = name.rpartition(".")
    components = [part for part in directory.split("/") if part]
    values = {
        "o": given,
        "p": absolute,
        "s": name,
        "d": directory.rstrip("/") + "/",
        "e": extension if dot else "",
        "n": stem if dot else name,
        "c": components[-1] if components else "",
        "x": section,
        "i": str(_inode(absolute)),
        # uWSGI prints the hash as its bytes lie in the memory of a little-endian machine.
        "j": djb33x(absolute.encode(errors="surrogateescape")).to_bytes(4, "little").hex().upper(),
    }
    return values | {
        str(number): components[number] if number < len(components) else "" for number in range(10)
    }


def replace_magic(text: str, variables: Mapping[str, str], unknown: Callable[[str], None]) -> str:
    """``text`` with its magic variables replaced.

    ``%(`` stays for the placeholders. A variable that does not exist stays as well, and
    ``unknown`` is called with it.
    """

    def value(match: re.Match[str]) -> str:
        letter = match[1]
        if letter in variables:
            return variables[letter]
        if letter != "(":
            unknown(match[0])
        return match[0]

    return REFERENCE.sub(value, text) if "%" in text else text


def djb33x(data: bytes) -> int:
    """Bernstein's hash with exclusive or, in 32 bits."""
    value = 5381
    for byte in data:
        value = (value * 33 & 0xFFFFFFFF) ^ byte
    return value


def _name(lookup: Callable[[], str], number: int) -> str:
    try:
        return lookup()
    except KeyError:  # a container may run as a user without a name
        return str(number)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
