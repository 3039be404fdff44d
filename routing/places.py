"""Where addresses are, for ``${geoip[...]}``: databases in MaxMind's DB format.

The package maxminddb reads them. Three-letter codes and areas, which the databases of old had, are
in none of today's: they are empty.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.geoip import GeoipOptions

Path = tuple[str | int, ...]

PATHS: dict[bytes, Path] = {
    b"country_code": ("country", "iso_code"),
    b"country_name": ("country", "names", "en"),
    b"continent": ("continent", "code"),
    b"region": ("subdivisions", 0, "iso_code"),
    b"region_name": ("subdivisions", 0, "names", "en"),
    b"city": ("city", "names", "en"),
    b"postal_code": ("postal", "code"),
    b"latitude": ("location", "latitude"),
    b"lat": ("location", "latitude"),
    b"longitude": ("location", "longitude"),
    b"lon": ("location", "longitude"),
    b"dma": ("location", "metro_code"),
}


class Database(Protocol):
    """What is used of a reader of maxminddb."""

    def get(self, ip_address: str, /) -> object:
        """The record of an address; None if there is none.

        Raises:
            ValueError: it is no address.
            RuntimeError: the database is broken.
        """
        ...


class Places:
    """Fields of addresses, from the first of the databases that has them."""

    def __init__(self, databases: Sequence[Database]) -> None:
        self._databases = databases

    def field(self, address: bytes, field: bytes) -> bytes:
        """The value of a field in UTF-8; empty if nobody knows it."""
        path = PATHS.get(field)
        if path is None:
            return b""
        for database in self._databases:
            try:
                record = database.get(address.decode("latin-1"))
            except (ValueError, RuntimeError):  # no address, of a UNIX socket; a broken database
                continue
            found = _follow(record, path)
            if found:
                return found
        return b""


def open_places(options: GeoipOptions) -> Places | None:
    """The databases of a configuration; None if there are none.

    Raises:
        ConfigError: one cannot be read, or the package is missing.
    """
    named = {"geoip-city": options.geoip_city, "geoip-country": options.geoip_country}
    files = {name: path for name, path in named.items() if path}
    if not files:
        return None
    first = next(iter(files))
    try:
        maxminddb = importlib.import_module("maxminddb")
    except ImportError as error:
        raise ConfigError(
            f"{first} needs the package maxminddb (pip install uwgate[geoip])"
        ) from error
    databases: list[Database] = []
    for name, path in files.items():
        try:
            databases.append(maxminddb.open_database(path))
        except (OSError, ValueError, RuntimeError) as error:  # InvalidDatabaseError is the last
            raise ConfigError(f"{name} = {path}: {error}") from error
    return Places(databases)


def _follow(record: object, path: Path) -> bytes:
    for step in path:
        if isinstance(record, Mapping) and isinstance(step, str):
            record = record.get(step)
        elif isinstance(record, list) and isinstance(step, int) and step < len(record):
            record = record[step]
        else:
            return b""
    if isinstance(record, bool) or not isinstance(record, str | int | float):
        return b""
    return str(record).encode()
