"""Options that need a package which is not installed with uwgate itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING

from uwgate.conf.pair import Place

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings

# Of the group http: (field, module, package, extra that brings it).
OPTIONAL = (
    ("http_auto_brotli", "brotli", "Brotli", "brotli"),
    ("http_auto_zstd", "zstandard", "zstandard", "zstd"),
)


def missing_extras(settings: Settings, places: Mapping[tuple[str, str], list[Place]]) -> list[str]:
    """What has to be installed for the options that are on."""
    return [
        f"{place}: {field.replace('_', '-')}: needs {package}: pip install 'uwgate[{extra}]'"
        for field, module, package, extra in OPTIONAL
        if getattr(settings.http, field) and importlib.util.find_spec(module) is None
        for place in places.get(("http", field), [])
    ]
