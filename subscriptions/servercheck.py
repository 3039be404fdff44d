"""What is wrong with the options of subscription servers, found before anything starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from uwgate.conf.address import AddressKind, parse_backend
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.corerouter import ALGORITHM_NAMES
from uwgate.conf.pair import Place
from uwgate.conf.privileges import find_user
from uwgate.conf.settings import COREROUTERS, Settings
from uwgate.subscriptions.spec import parse_server, parse_sign_check

Places = Mapping[tuple[str, str], list[Place]]
Check = Callable[[str, str], None]  # option and value; raises ConfigError


def check(settings: Settings, places: Places) -> list[str]:
    """One text for each problem, with its place."""
    return [
        *_values(settings, places),
        *_twice(settings, places),
        *_without_use(settings, places),
    ]


def _values(settings: Settings, places: Places) -> Iterator[str]:
    groups = [("subscriptions", "", CHECKS)]
    groups += [(f"{kind}_corerouter", f"{kind}-", CORE_CHECKS) for kind in COREROUTERS]
    for group, prefix, checks in groups:
        for field, is_good in checks.items():
            value = getattr(getattr(settings, group), field)
            values = value if isinstance(value, tuple) else () if value is None else (value,)
            option = prefix + field.replace("_", "-")
            for text, place in zip(values, places.get((group, field), []), strict=False):
                try:
                    is_good(option, text)
                except ConfigError as error:
                    yield f"{place}: {error}"


def _twice(settings: Settings, places: Places) -> Iterator[str]:
    seen: dict[str, str] = {}
    for kind in COREROUTERS:
        field = (f"{kind}_corerouter", "subscription_server")
        option = f"{kind}-subscription-server"
        servers = settings.corerouter(kind).subscription_server
        for text, place in zip(servers, places.get(field, []), strict=False):
            if text in seen and not text.endswith(":0"):
                yield f"{place}: {option} = {text}: this address is taken by {seen[text]}"
            seen.setdefault(text, f"{option} at {place}")


def _without_use(settings: Settings, places: Places) -> Iterator[str]:
    """Options that nothing would come of."""
    for kind in COREROUTERS:
        core = settings.corerouter(kind)
        group = f"{kind}_corerouter"
        if core.subscription_server and not settings.has_gateway(kind):
            for place in places.get((group, "subscription_server"), []):
                yield f"{place}: {kind}-subscription-server: no {kind} is there to use the nodes"
        if core.resubscribe and not core.subscription_server:
            for place in places.get((group, "resubscribe"), []):
                yield (
                    f"{place}: {kind}-resubscribe: there is no {kind}-subscription-server whose "
                    "nodes could be passed on"
                )


def _server(option: str, text: str) -> None:
    parse_server(option, text)


def _sign_check(option: str, text: str) -> None:
    folder = parse_sign_check(option, text).path
    if not os.path.isdir(folder):
        raise ConfigError(f"{option} = {text}: {folder}: no such folder")


def _algorithm(option: str, text: str) -> None:
    key, equals, name = text.partition("=")
    if not key or not equals or name not in ALGORITHM_NAMES:
        known = ", ".join(ALGORITHM_NAMES)
        raise ConfigError(f"{option} = {text}: {name!r}: expected KEY= and one of {known}")


def _user(option: str, text: str) -> None:
    find_user(text, option)


def _other_server(option: str, text: str) -> None:
    try:
        parse_backend(text)
    except ConfigError as error:
        raise ConfigError(f"{option} = {text}: {error}") from error


def _source(option: str, text: str) -> None:
    if parse_server(option, text).kind is not AddressKind.TCP:
        raise ConfigError(f"{option} = {text}: announcements leave from host:port (UDP)")


CHECKS: dict[str, Check] = {
    "subscriptions_sign_check": _sign_check,
    "subscriptions_sign_skip_uid": _user,
}
CORE_CHECKS: dict[str, Check] = {
    "subscription_server": _server,
    "algo_of": _algorithm,
    "resubscribe": _other_server,
    "resubscribe_bind": _source,
}
