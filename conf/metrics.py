"""What ``metric`` says: names, types and first values of numbers.

See spec/observability.md section 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from uwgate.conf.arithmetic import MAXIMUM, MINIMUM
from uwgate.conf.errors import ConfigError
from uwgate.conf.keyval import read_keyval

TYPES: Final = ("counter", "gauge", "absolute")  # a type's place is its number in statistics
KEYS: Final = ("name", "type", "initial_value", "oid")

_NAME = re.compile(r"[0-9A-Za-z._-]+")
_OID = re.compile(r"[0-9.]+")
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_UNREAD = {
    "collector": "only applications and rules change a metric",
    "children": "only applications and rules change a metric",
    "freq": "nothing collects metrics",
    "alias": "use the name of the metric itself",
    "reset_after_push": "nothing pushes metrics",
    **{f"arg{number}{end}": "collectors are not offered" for number in "123" for end in ("", "n")},
}


@dataclass(frozen=True, slots=True)
class Metric:
    """``kind`` is one of ``TYPES``; it is for readers and makes no difference here."""

    name: str
    kind: str = "counter"
    initial: int = 0
    oid: str = ""


def read_metric(text: str) -> Metric:
    """``NAME``, or a list of ``KEY=VALUE``.

    Raises:
        ConfigError: it is neither, or asks for what is not offered.
    """
    pairs = read_keyval(text) if "=" in text else {"name": text}
    for key in pairs:
        if key in _UNREAD:
            raise ConfigError(f"{key}: is not offered yet: {_UNREAD[key]}")
        if key not in KEYS:
            raise ConfigError(f"{key}: expected one of {', '.join(KEYS)}")
    name, kind = pairs.get("name", ""), pairs.get("type", TYPES[0])
    initial, oid = pairs.get("initial_value", "0"), pairs.get("oid", "")
    if not _NAME.fullmatch(name):
        raise ConfigError(f"the name {name!r}: expected letters, digits, '.', '-' and '_'")
    if kind == "alias":
        raise ConfigError(f"type=alias: is not offered yet: {_UNREAD['alias']}")
    if kind not in TYPES:
        raise ConfigError(f"type={kind}: expected one of {', '.join(TYPES)}")
    if not _NUMBER.fullmatch(initial) or not MINIMUM <= int(initial) <= MAXIMUM:
        raise ConfigError(f"initial_value={initial}: expected a number of 64 bits")
    if oid and not _OID.fullmatch(oid):
        raise ConfigError(f"oid={oid}: expected digits and '.'")
    return Metric(name, kind, int(initial), oid)


def read_metrics(texts: Iterable[str]) -> tuple[Metric, ...]:
    """The metrics; of those of one name the last one counts, as in uWSGI.

    Raises:
        ConfigError: one is none.
    """
    return tuple({one.name: one for one in map(read_metric, texts)}.values())
