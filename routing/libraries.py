"""Packages that some actions need and that do not come with uwgate (pyproject.toml's extras)."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable

from uwgate.conf.errors import ConfigError
from uwgate.routing.workshop import Mistake

# By action: the module, and the extra that brings it along.
LIBRARIES: dict[str, tuple[str, str]] = {
    "ldapauth": ("ldap3", "ldap"),
    "ldapauth-next": ("ldap3", "ldap"),
    "radius": ("pyrad", "radius"),
    "radius-next": ("pyrad", "radius"),
    "spnego": ("gssapi", "spnego"),
    "spnego-next": ("gssapi", "spnego"),
    "xslt": ("lxml", "xslt"),
    "toxslt": ("lxml", "xslt"),
}


def is_installed(module: str) -> bool:
    """Whether a module can be found; nothing of it is run."""
    return importlib.util.find_spec(module) is not None


def require(action: str) -> None:
    """Nothing, if the package of an action is there.

    Raises:
        Mistake: it is not.
    """
    module, extra = LIBRARIES[action]
    if not is_installed(module):
        raise Mistake(f"{action} needs the package {module} (pip install uwgate[{extra}])")


def load(actions: Iterable[str]) -> None:
    """Import what actions need, before a process gives its privileges or its files away.

    Raises:
        ConfigError: a package does not work.
    """
    for action in sorted(LIBRARIES.keys() & set(actions)):
        module, extra = LIBRARIES[action]
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"{action} needs the package {module} (pip install uwgate[{extra}]): {error}"
            ) from error
