"""What one option alone cannot show: addresses that clash, parts that are not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from uwgate.conf.address import Address, AddressKind, parse_listen
from uwgate.conf.pair import Place

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings

# (group, field) of everything that listens, in the order of binding.
LISTENING = (
    ("sockets", "shared_socket"),
    ("http", "http"),
    ("sockets", "socket"),
    ("sockets", "uwsgi_socket"),
    ("sockets", "http_socket"),
    ("sockets", "http11_socket"),
)

# Options of the HTTP gateway that need a package: (field, module, package, extra that brings it).
OPTIONAL = (
    ("http_auto_brotli", "brotli", "Brotli", "brotli"),
    ("http_auto_zstd", "zstandard", "zstandard", "zstd"),
)

Places = Mapping[tuple[str, str], list[Place]]


def crosscheck(settings: Settings, places: Places) -> list[str]:
    """What is wrong with options that are right each by itself."""
    return [
        *_shared_sockets(settings, places),
        *_twice(settings, places),
        *_not_installed(settings, places),
    ]


def _listeners(settings: Settings, places: Places) -> list[tuple[str, Place, Address]]:
    found: list[tuple[str, Place, Address]] = []
    for group, field in LISTENING:
        texts = getattr(getattr(settings, group), field)
        for text, place in zip(texts, places.get((group, field), []), strict=True):
            found.append((field.replace("_", "-"), place, parse_listen(text)))
    return found


def _shared_sockets(settings: Settings, places: Places) -> list[str]:
    count = len(settings.sockets.shared_socket)
    problems: list[str] = []
    for option, place, address in _listeners(settings, places):
        if address.kind is not AddressKind.SHARED:
            continue
        if option == "shared-socket":
            problems.append(f"{place}: {option} = {address}: a shared socket has an address")
        elif address.number >= count:
            known = f"=0 to ={count - 1}" if count > 1 else "=0" if count else "none"
            problems.append(
                f"{place}: {option} = {address}: there is no such shared-socket, known: {known}"
            )
    return problems


def _twice(settings: Settings, places: Places) -> list[str]:
    if settings.sockets.reuse_port:
        return []
    problems: list[str] = []
    seen: dict[Address, tuple[str, Place]] = {}
    for option, place, address in _listeners(settings, places):
        if address.kind is AddressKind.TCP and address.port == 0:
            continue  # the kernel chooses another one each time
        if address in seen:
            other, where = seen[address]
            problems.append(
                f"{place}: {option} = {address}: this address is taken by {other} at {where}"
            )
        seen[address] = (option, place)
    return problems


def _not_installed(settings: Settings, places: Places) -> list[str]:
    return [
        f"{place}: {field.replace('_', '-')}: needs {package}: pip install 'uwgate[{extra}]'"
        for field, module, package, extra in OPTIONAL
        if getattr(settings.http, field) and importlib.util.find_spec(module) is None
        for place in places.get(("http", field), [])
    ]
