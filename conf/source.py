"""Reading what a configuration may come from: files, and the schemes in their place."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass

from uwgate.conf.errors import ConfigError

TIMEOUT = 10.0  # seconds, for commands and for http://
MAX_SIZE = 16 << 20  # bytes

SCHEME = re.compile(r"([a-z]+)://(.*)", re.DOTALL)
EXTENSIONS = ("ini", "xml", "yaml", "yml", "json", "js", "toml")
WITH_SECTION = re.compile(rf"(.*\.(?:{'|'.join(EXTENSIONS)})):([^/]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Location:
    """A configuration resource: its name as given and the section asked for, or None."""

    name: str
    section: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether the name is the path of a file."""
        return self.name != "-" and not SCHEME.fullmatch(self.name)

    @property
    def extension(self) -> str:
        """What stands behind the last dot, in lower case."""
        return self.name.rpartition(".")[2].lower()


def locate(text: str) -> Location:
    """Split ``file:section``.

    The section stands behind a known extension. Elsewhere it is what follows the last
    colon, unless a file of the whole name exists; in a URL only behind its last slash.
    """
    if match := WITH_SECTION.fullmatch(text):
        return Location(match[1], match[2] or None)
    scheme = SCHEME.fullmatch(text)
    head, colon, section = text.rpartition(":")
    if not colon or "/" in section:
        return Location(text)
    if scheme is None:
        return Location(text) if os.path.exists(text) else Location(head, section or None)
    # The colon of "scheme:" and that of a port do not start a section.
    behind_slash = "/" in head.partition("://")[2] or scheme[1] in ("exec", "fd")
    return Location(head, section or None) if behind_slash else Location(text)


def read(name: str) -> str:
    """The text of a resource, decoded as UTF-8 (a wrong byte survives as a surrogate).

    Relative names start at the current directory, as in uWSGI.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        data = _read(name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot read {name!r}: {reason}") from error
    except ValueError as error:  # a NUL byte in a path
        raise ConfigError(f"cannot read {name!r}: {error}") from error
    if len(data) > MAX_SIZE:
        raise ConfigError(f"{name!r} has more than {MAX_SIZE} bytes, the limit")
    return data.decode(errors="surrogateescape")


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(MAX_SIZE + 1)
    match = SCHEME.fullmatch(name)
    if match is None:
        with open(name, "rb") as file:
            return file.read(MAX_SIZE + 1)
    scheme, rest = match[1], match[2]
    match scheme:
        case "exec":
            return _execute(rest)
        case "fd":
            return _descriptor(name, rest)
        case "http":
            return _fetch(name)
        case "file":
            with open(rest, "rb") as file:
                return file.read(MAX_SIZE + 1)
        case _:
            raise ConfigError(
                f"cannot read {name!r}: {scheme}:// is not offered; "
                "expected a file, '-', exec://, fd://, file:// or http://"
            )


def _execute(command: str) -> bytes:
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command], stdout=subprocess.PIPE, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"exec://{command}: not done after {TIMEOUT:.0f} s") from error
    if done.returncode != 0:
        raise ConfigError(f"exec://{command}: exit status {done.returncode}")
    return done.stdout


def _descriptor(name: str, number: str) -> bytes:
    if not number.isdigit():
        raise ConfigError(f"cannot read {name!r}: expected fd:// and a number")
    with os.fdopen(int(number), "rb", closefd=False) as file:
        return file.read(MAX_SIZE + 1)


def _fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            body: bytes = response.read(MAX_SIZE + 1)
            return body
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise ConfigError(f"cannot read {url!r}: {error}") from error
