"""An sslrouter in the test's own process."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.certificates import Authority, Certificate
from tests.gateways.rawrouter.instance import Instance, living, make_start
from uwgate.conf.groups.corerouter import SslrouterCorerouterOptions
from uwgate.conf.groups.https import HttpsOptions
from uwgate.conf.groups.relay import SslrouterRelayOptions
from uwgate.conf.groups.sslrouter import SslrouterOptions
from uwgate.conf.settings import Settings
from uwgate.conf.start import Listener
from uwgate.gateways.sslrouter.process import Sslrouter
from uwgate.gateways.tls.ring import Ring
from uwgate.gateways.tls.vault import Vault

GROUPS = {
    "sslrouter": SslrouterOptions,
    "sslrouter_relay": SslrouterRelayOptions,
    "https": HttpsOptions,
    "sslrouter_corerouter": SslrouterCorerouterOptions,
}
ADDRESS = "127.0.0.1:0"  # as its option has it


def settings_of(**options: Any) -> Settings:
    """Options of all groups; those of the corerouter and the relay have no prefix."""
    values: dict[str, Any] = {}
    for name, group in GROUPS.items():
        fields = {field.name for field in dataclasses.fields(group)}
        values[name] = group(**{key: options.pop(key) for key in options.keys() & fields})
    assert not options
    return Settings(**values)


def client_context(authority: Authority | None = None, *protocols: str) -> ssl.SSLContext:
    """What a client speaks with; without an authority it takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=authority.pem.decode())
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def secured(
    instance: Instance, context: ssl.SSLContext, name: str | None = None
) -> trio.SSLStream[trio.SocketStream]:
    """A client that has shaken hands."""
    client = await instance.connect()
    stream = trio.SSLStream(trio.SocketStream(client.sock), context, server_hostname=name)
    await stream.do_handshake()
    return stream


@asynccontextmanager
async def terminating(
    folder: Path, certificate: Certificate, client_ca: str = "", **options: Any
) -> AsyncIterator[Instance]:
    """An sslrouter with one certificate."""
    crt, key = certificate.write(folder, "site")
    ciphers_and_ca = f",,{client_ca}" if client_ca else ""
    settings = settings_of(sslrouter=(f"{ADDRESS},{crt},{key}{ciphers_and_ca}",), **options)
    tls = settings.tls_of("sslrouter")

    def make(door: socket.socket) -> Sslrouter:
        ring = Ring(tls, Vault(tls).material, speaks_http=False)
        listener = Listener(fd=door.fileno(), role="sslrouter", name="door", endpoint=ADDRESS)
        return Sslrouter(make_start(settings, listener), ring)

    async with living(make) as instance:
        yield instance


@asynccontextmanager
async def passing(**options: Any) -> AsyncIterator[Instance]:
    """An sslrouter that passes TLS on."""
    settings = settings_of(**options)

    def make(door: socket.socket) -> Sslrouter:
        listener = Listener(fd=door.fileno(), role="sslrouter-passthrough", name="door")
        return Sslrouter(make_start(settings, listener))

    async with living(make) as instance:
        yield instance
