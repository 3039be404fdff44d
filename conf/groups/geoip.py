"""Where clients are (spec/internal-routing.md section 4)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoipOptions:
    """Databases of MaxMind for ``${geoip[...]}`` in rules."""

    geoip_country: str = option(
        "",
        kind=Kind.PATH,
        help="A database of countries in MaxMind's DB format (.mmdb). Needs the package maxminddb.",
    )
    geoip_city: str = option(
        "", kind=Kind.PATH, help="The same with cities, which is asked before the other."
    )
