"""What one option alone cannot show: addresses that clash, parts that are not installed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping

from uwgate.conf import tls
from uwgate.conf.address import Address, AddressKind, parse_listen
from uwgate.conf.cachecheck import check_caches
from uwgate.conf.errors import ConfigError
from uwgate.conf.pair import Place
from uwgate.conf.settings import COREROUTERS, Settings

# (group, field) of everything that listens, in the order of binding.
LISTENING = (
    ("sockets", "shared_socket"),
    ("http", "http"),
    ("https", "https"),
    ("https", "https2"),
    ("https", "http_to_https"),
    ("fastrouter", "fastrouter"),
    ("rawrouter", "rawrouter"),
    ("sslrouter", "sslrouter"),
    ("sslrouter", "sslrouter2"),
    ("sslrouter", "sslrouter_passthrough"),
    ("sockets", "socket"),
    ("sockets", "uwsgi_socket"),
    ("sockets", "http_socket"),
    ("sockets", "http11_socket"),
    *((f"{kind}_corerouter", "stats_server") for kind in COREROUTERS),
)
CHECKED_PATH = re.compile(r"/[\x21-\x7e]{0,1000}")

# Where an address is a part of the value.
ADDRESS_OF: dict[str, Callable[[str], str]] = {
    "https": lambda text: tls.parse_https(text).address,
    "https2": lambda text: tls.parse_https2(text).address,
    "sslrouter": lambda text: tls.parse_https(text).address,
    "sslrouter2": lambda text: tls.parse_https2(text).address,
    "http_to_https": lambda text: tls.parse_redirect(text).address,
}

GROUP_OF = {"sslrouter": "sslrouter", "sslrouter2": "sslrouter"}  # all others: https
NAME_OF: dict[str, Callable[[str], str]] = {
    "sni": lambda text: tls.parse_sni(text)[0],
    "sni_regexp": lambda text: tls.parse_sni_regexp(text)[0],
}
# Options of the HTTP gateway that need a package: (field, module, package, extra that brings it).
OPTIONAL = (
    ("http_auto_brotli", "brotli", "Brotli", "brotli"),
    ("http_auto_zstd", "zstandard", "zstandard", "zstd"),
)

Places = Mapping[tuple[str, str], list[Place]]


def crosscheck(settings: Settings, places: Places) -> list[str]:
    """What is wrong with options that are right each by itself."""
    if problems := _unreadable(settings, places):
        return problems
    return [
        *_shared_sockets(settings, places),
        *_twice(settings, places),
        *_not_installed(settings, places),
        *_names_twice(settings, places),
        *_without_http_backends(settings, places),
        *_subscription_servers(settings, places),
        *_checks(settings, places),
        *_stats_servers(settings, places),
        *_announcements(settings, places),
        *check_caches(settings, places),
    ]


def _without_http_backends(settings: Settings, places: Places) -> list[str]:
    http = settings.http
    if not http.http_backend_proxy_protocol or http.http_backend_http:
        return []
    return [
        f"{place}: http-backend-proxy-protocol: uwsgi backends read no PROXY header; "
        "it goes with http-backend-http"
        for place in places.get(("http", "http_backend_proxy_protocol"), [])
    ]


def _subscription_servers(settings: Settings, places: Places) -> list[str]:
    passes_on = any(settings.corerouter(kind).resubscribe for kind in COREROUTERS)
    has_rules = any(group == "subscriptions" for group, _ in places)
    if not settings.subscription_servers and not passes_on and not has_rules:
        return []
    # Here, because cryptography is large, and most have no use for it.
    from uwgate.subscriptions import servercheck

    return servercheck.check(settings, places)


def _checks(settings: Settings, places: Places) -> list[str]:
    """How nodes are looked after, for each kind of gateway."""
    problems: list[str] = []
    for kind in COREROUTERS:
        core = settings.corerouter(kind)
        for place in places.get((f"{kind}_corerouter", "check"), [])[-1:]:
            check = core.check or ""
            if check not in ("tcp", "uwsgi") and not CHECKED_PATH.fullmatch(check):
                problems.append(
                    f"{place}: {kind}-check = {check}: expected tcp, uwsgi, or a path such as "
                    "/health"
                )
            elif not core.subscription_server:
                problems.append(
                    f"{place}: {kind}-check = {check}: only nodes that announce themselves are "
                    f"checked, and there is no {kind}-subscription-server"
                )
    return problems


def _stats_servers(settings: Settings, places: Places) -> list[str]:
    return [
        f"{place}: {kind}-stats-server: no {kind} is there to be shown"
        for kind in COREROUTERS
        if not settings.has_gateway(kind)
        for place in places.get((f"{kind}_corerouter", "stats_server"), [])
    ]


def _announcements(settings: Settings, places: Places) -> list[str]:
    if not settings.subscribe.subscribe_to and not settings.subscribe.subscribe2:
        return []
    # Here, because cryptography is large, and most have no use for it.
    from uwgate.subscriptions import announcement

    return announcement.check(settings, places)


def _unreadable(settings: Settings, places: Places) -> list[str]:
    """Values of TLS options that are made of parts, and are not what they should be."""
    problems: list[str] = []
    for field, parse in (ADDRESS_OF | NAME_OF).items():
        group = GROUP_OF.get(field, "https")
        texts = getattr(getattr(settings, group), field)
        for text, place in zip(texts, places.get((group, field), []), strict=True):
            try:
                parse(text)
            except ConfigError as error:
                option = field.replace("_", "-")
                problems.append(f"{place}: {option} = {tls.without_pem(text)}: {error}")
    return problems


def _names_twice(settings: Settings, places: Places) -> list[str]:
    problems: list[str] = []
    for field, parse in NAME_OF.items():
        seen: dict[str, Place] = {}
        texts = getattr(settings.https, field)
        for text, place in zip(texts, places.get(("https", field), []), strict=True):
            name = parse(text)
            if name in seen:
                option = field.replace("_", "-")
                problems.append(f"{place}: {option} = {name}: this name is taken at {seen[name]}")
            seen[name] = place
    return problems


def _listeners(settings: Settings, places: Places) -> list[tuple[str, Place, Address]]:
    found: list[tuple[str, Place, Address]] = []
    for group, field in LISTENING:
        options = getattr(settings, group)
        where = places.get((group, field), [])
        texts = getattr(options, field)
        if not isinstance(texts, tuple):  # the last value counts
            texts, where = (() if texts is None else (texts,)), where[-1:]
        name = getattr(options, "PREFIX", "") + field.replace("_", "-")
        for text, place in zip(texts, where, strict=True):
            address = ADDRESS_OF[field](text) if field in ADDRESS_OF else text
            found.append((name, place, parse_listen(address)))
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
        other, where = seen.get(address, ("", place))
        if other and not _may_share(address, option, other):
            problems.append(
                f"{place}: {option} = {address}: this address is taken by {other} at {where}"
            )
        seen[address] = (option, place)
    return problems


def _may_share(address: Address, *options: str) -> bool:
    """A fastrouter and workers may accept on one shared socket: both take uwsgi packets."""
    other = set(options) - {"fastrouter"}
    return address.kind is AddressKind.SHARED and other in ({"socket"}, {"uwsgi-socket"})


def _not_installed(settings: Settings, places: Places) -> list[str]:
    return [
        f"{place}: {field.replace('_', '-')}: needs {package}: pip install 'uwgate[{extra}]'"
        for field, module, package, extra in OPTIONAL
        if getattr(settings.http, field) and importlib.util.find_spec(module) is None
        for place in places.get(("http", field), [])
    ]
