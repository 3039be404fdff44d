"""Where addresses are."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tests.workers.visits import Ruled
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.geoip import GeoipOptions
from uwgate.conf.loading import load
from uwgate.routing.machine import Machine
from uwgate.routing.places import PATHS, Places, open_places
from uwgate.routing.variables import GEOIP_FIELDS

MILAN: dict[str, object] = {
    "city": {"names": {"en": "Milan", "it": "Milano"}},
    "continent": {"code": "EU"},
    "country": {"iso_code": "IT", "names": {"en": "Italy"}},
    "location": {"latitude": 45.5, "longitude": -9.25, "metro_code": 7},
    "postal": {"code": "20121"},
    "subdivisions": [{"iso_code": "25", "names": {"en": "Lombardy"}}, {"iso_code": "MI"}],
}


class Known:
    """A database of one address. Whatever is none is a ValueError, as in maxminddb."""

    def __init__(self, address: str, record: object) -> None:
        self._address = address
        self._record = record

    def get(self, address: str) -> object:
        if not address[:1].isdigit():
            raise ValueError(f"{address!r} does not appear to be an IPv4 or IPv6 address")
        return self._record if address == self._address else None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"country_code", b"IT"),
        (b"country_code3", b""),
        (b"country_name", b"Italy"),
        (b"continent", b"EU"),
        (b"region", b"25"),
        (b"region_name", b"Lombardy"),
        (b"city", b"Milan"),
        (b"postal_code", b"20121"),
        (b"lat", b"45.5"),
        (b"latitude", b"45.5"),
        (b"lon", b"-9.25"),
        (b"longitude", b"-9.25"),
        (b"dma", b"7"),
        (b"area", b""),
    ],
)
def test_a_field_is_that_of_the_address(field: bytes, value: bytes) -> None:
    places = Places([Known("192.0.2.1", MILAN)])
    assert places.field(b"192.0.2.1", field) == value
    assert Machine(places).place_of(b"192.0.2.1", field) == value
    assert places.field(b"192.0.2.2", field) == b""
    assert places.field(b"", field) == b""


def test_the_second_database_knows_what_the_first_does_not() -> None:
    city = Known("192.0.2.1", {"city": {"names": {"en": "Rome"}}})
    places = Places([city, Known("192.0.2.1", MILAN)])
    assert places.field(b"192.0.2.1", b"city") == b"Rome"
    assert places.field(b"192.0.2.1", b"country_code") == b"IT"


@pytest.mark.parametrize(
    "record", [None, "text", [], {"city": []}, {"city": {"names": {"en": {}}}}]
)
def test_a_record_of_another_form_has_nothing(record: object) -> None:
    assert Places([Known("192.0.2.1", record)]).field(b"192.0.2.1", b"city") == b""


def test_a_broken_database_knows_nothing() -> None:
    def get(address: str) -> object:
        raise RuntimeError(f"{address}: the MaxMind DB file's data section contains bad data")

    places = Places([SimpleNamespace(get=get), Known("192.0.2.1", MILAN)])
    assert places.field(b"192.0.2.1", b"city") == b"Milan"


def test_all_fields_are_those_of_the_variable() -> None:
    assert set(PATHS) == {one.encode() for one in GEOIP_FIELDS} - {b"country_code3", b"area"}


def test_without_options_nobody_knows_anything() -> None:
    assert open_places(GeoipOptions()) is None
    assert Machine().place_of(b"192.0.2.1", b"city") == b""


def test_a_missing_package_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(ConfigError, match=r"geoip-city needs the package maxminddb"):
        open_places(GeoipOptions(geoip_city="/x"))


def test_a_database_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str) -> Known:
        raise FileNotFoundError(2, "No such file", path)

    monkeypatch.setitem(sys.modules, "maxminddb", SimpleNamespace(open_database=broken))
    with pytest.raises(ConfigError, match=r"geoip-country = /x: .*No such file"):
        open_places(GeoipOptions(geoip_country="/x"))


def test_the_city_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def opened(path: str) -> Known:
        asked.append(path)
        return Known("0.0.0.0", {"country": {"iso_code": path}})

    monkeypatch.setitem(sys.modules, "maxminddb", SimpleNamespace(open_database=opened))
    places = open_places(GeoipOptions(geoip_country="/country", geoip_city="/city"))
    assert asked == ["/city", "/country"]
    assert places is not None
    assert places.field(b"0.0.0.0", b"country_code") == b"/city"
    ruled = Ruled(["route-if = equal:${geoip[country_code]};/city return:418"])
    ruled.policy.world._places = places
    assert ruled.get("/").status == b"418 I'm a teapot"


def test_a_database_that_is_not_there_stops_the_start() -> None:
    lines = ["--http", ":8080", "--geoip-city", "/nowhere.mmdb", "--route-run", "return:404"]
    with pytest.raises(ConfigError, match=r"geoip-city"):
        load(lines, {})
