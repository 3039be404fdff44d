"""What the settings want to listen on, option by option. Nothing is bound here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from uwgate.conf.caches import DEFAULT_NAME
from uwgate.conf.settings import COREROUTERS, Settings
from uwgate.conf.tls import parse_https, parse_https2, parse_redirect
from uwgate.conf.zergs import parse_pool

ROLE_OF_PROTOCOL = {"uwsgi": "uwsgi", "http": "http-socket", "http11": "http11-socket"}
FASTROUTER = "fastrouter"
ZERG_SERVER = "zerg-server"
ZERGPOOL = "zergpool"
ZERG_SOCKET = "zerg-socket"
CACHE_UDP = "cache-udp"


class Wanted(NamedTuple):
    """A listener that the settings name. ``endpoint`` is that of ``Listener``.

    ``takes_datagrams``: it is a UDP socket, or a UNIX socket for datagrams.
    """

    option: str
    address: str
    role: str
    endpoint: str = ""
    takes_datagrams: bool = False


def wanted(settings: Settings) -> Iterator[Wanted]:
    """Each listener that the settings name, explicit ones first.

    Raises:
        ConfigError: an address of TLS is malformed.
    """
    options = settings.sockets
    for text in settings.http.http:
        yield Wanted("http", text, "http")
    for option, texts, parse in (
        ("https", settings.https.https, parse_https),
        ("https2", settings.https.https2, parse_https2),
    ):
        for address in (parse(text).address for text in texts):
            yield Wanted(option, address, "https", address)
    for redirect in map(parse_redirect, settings.https.http_to_https):
        port = "" if redirect.port is None else str(redirect.port)
        yield Wanted("http-to-https", redirect.address, "http-to-https", port)
    for text in settings.fastrouter.fastrouter:
        yield Wanted("fastrouter", text, FASTROUTER)
    for text in settings.rawrouter.rawrouter:
        yield Wanted("rawrouter", text, "rawrouter")
    for option, texts, parse in (
        ("sslrouter", settings.sslrouter.sslrouter, parse_https),
        ("sslrouter2", settings.sslrouter.sslrouter2, parse_https2),
    ):
        for address in (parse(text).address for text in texts):
            yield Wanted(option, address, "sslrouter", address)
    for text in settings.sslrouter.sslrouter_passthrough:
        yield Wanted("sslrouter-passthrough", text, "sslrouter-passthrough")
    for text in options.uwsgi_socket:
        yield Wanted("uwsgi-socket", text, "uwsgi")
    for text in options.http_socket:
        yield Wanted("http-socket", text, "http-socket")
    for text in options.http11_socket:
        yield Wanted("http11-socket", text, "http11-socket")
    for text in options.socket:
        yield Wanted("socket", text, ROLE_OF_PROTOCOL[options.protocol])
    if settings.zerg.zerg_server is not None:
        yield Wanted("zerg-server", settings.zerg.zerg_server, ZERG_SERVER)
    for pool in map(parse_pool, settings.zerg.zergpool):
        yield Wanted("zergpool", pool.path, ZERGPOOL)
        for text in pool.addresses:
            yield Wanted("zergpool", text, ZERG_SOCKET, pool.path)
    for kind, text in settings.subscription_servers:
        option = f"{kind}-subscription-server"
        yield Wanted(option, text, f"{kind}-subscription", takes_datagrams=True)
    for spec in settings.caches:
        option = "cache-udp-server" if spec.name == DEFAULT_NAME else f"cache2 {spec.name}: udp"
        for text in spec.udp:
            yield Wanted(option, text, CACHE_UDP, spec.name, takes_datagrams=True)
    for kind in COREROUTERS:
        stats = settings.corerouter(kind).stats_server
        if stats is not None:
            yield Wanted(f"{kind}-stats-server", stats, f"{kind}-stats")
