"""What a person says about the world: ``--answer cache:pages/home=<p>hello``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from uwgate.conf.errors import ConfigError
from uwgate.routing.functions import decide
from uwgate.routing.results import Cached, Decision, Failed

KINDS = {
    "cache": "[CACHE/]KEY=VALUE, an item of a cache",
    "memcached": "KEY=VALUE",
    "redis": "KEY=VALUE",
    "rpc": "FUNCTION=RESULT",
    "python": "MODULE:FUNCTION=next, last, fail or a status",
    "ldapauth": "USER=yes, whose password is right; the same for radius and spnego",
    "radius": "USER=yes",
    "spnego": "USER=yes",
    "metric": "NAME=NUMBER",
    "lord": "LEGION=yes",
    "geoip": "FIELD=VALUE, such as geoip:country_code=IT",
    "time": "now=SECONDS since 1970",
}
_ANY = re.compile(r".*", re.DOTALL)
_VALUES = {
    "python": re.compile(r"next|last|fail|[2-9][0-9]{2}"),
    "metric": re.compile(r"-?[0-9]{1,18}"),
    "time": re.compile(r"[0-9]{1,12}(\.[0-9]+)?"),
    **dict.fromkeys(("lord", "ldapauth", "radius", "spnego"), re.compile(r"yes|no")),
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said, by kind: texts like ``key=value``, which are only taken apart when a
    question is there, because keys may have a ``=`` of their own."""

    texts: tuple[tuple[str, bytes], ...] = ()

    def find(self, kind: str, *keys: bytes) -> bytes | None:
        """The value for the first of the keys that something was said about; the last word
        counts. None: nothing was."""
        for key in keys:
            for of, text in reversed(self.texts):
                if of == kind and text.startswith(key + b"="):
                    return text[len(key) + 1 :]
        return None

    def says_yes(self, kind: str, key: bytes) -> bool:
        """Whether something was said to be so."""
        return self.find(kind, key) == b"yes"

    def users(self, kind: str) -> list[bytes]:
        """Everybody of whom something good was said."""
        names = [text.rpartition(b"=")[0] for of, text in self.texts if of == kind]
        return [name for name in names if self.says_yes(kind, name)]

    def cached(self, name: bytes, key: bytes) -> Cached | None:
        """What is said to be in a cache."""
        value = self.find("cache", name + b"/" + key, key)
        return None if value is None else Cached(value)

    def decision(self, function: str) -> Decision | Failed | None:
        """What a Python function is said to say."""
        value = self.find("python", function.encode())
        if value is None:
            return None
        text = value.decode(errors="replace")
        match text:
            case "next":
                return Decision()
            case "last":
                return Decision(last=True)
            case "fail":
                return Failed("said so")
            case _:
                return decide(int(text))


def read_answers(texts: Iterable[str]) -> Answers:
    """Texts such as ``cache:pages/home=hello``.

    Raises:
        ConfigError: one cannot be understood.
    """
    found: list[tuple[str, bytes]] = []
    for text in texts:
        kind, colon, rest = text.partition(":")
        form = KINDS.get(kind)
        if form is None or not colon:
            raise ConfigError(f"--answer {text}: expected one of {', '.join(KINDS)}, and a colon")
        if "=" not in rest:
            raise ConfigError(f"--answer {text}: expected {kind}:{form}")
        value = rest.rpartition("=")[2]
        if not _VALUES.get(kind, _ANY).fullmatch(value):
            raise ConfigError(f"--answer {text}: expected {kind}:{form}")
        found.append((kind, rest.encode(errors="surrogateescape")))
    return Answers(tuple(found))
