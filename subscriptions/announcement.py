"""What a node says of itself: from the values of its options to datagrams.

uWSGI's part of a datagram is what uWSGI would send for the same options (spec/subscriptions.md
sections 2 and 3). Deliberately different: a ``weight`` is that of its subscription and of no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from uwgate.conf.address import Address
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.subscribe import SubscribeOptions
from uwgate.conf.pair import Place
from uwgate.conf.settings import Settings
from uwgate.subscriptions.packet import MAX_NAME, Command, Packet, encode
from uwgate.subscriptions.refusal import Refused
from uwgate.subscriptions.signature import Signer, load_private_key
from uwgate.subscriptions.spec import SchemePath, Subscription, parse_subscribe2, parse_subscribe_to

MAX_KEY_FILE = 64 * 1024  # bytes of a private key in PEM
FIELDS = {"subscribe_to": parse_subscribe_to, "subscribe2": parse_subscribe2}
LARGE = 1_000_000  # a load that takes as many digits as any

Ident = tuple[Address, str, str]  # server, key, address: what a server tells nodes apart by


@dataclass(frozen=True, slots=True)
class Value:
    """One value of subscribe-to or subscribe2, read."""

    option: str
    text: str
    subscription: Subscription

    def __str__(self) -> str:
        return f"{self.option} = {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """One name, told to one server again and again.

    ``origin`` is the value it comes from. ``packet`` has neither load nor free slots nor a time.
    """

    origin: str
    server: Address
    packet: Packet
    signer: Signer | None = None

    @property
    def ident(self) -> Ident:
        """Two announcements with the same one are about the same node."""
        return self.server, self.packet.key, self.packet.address

    def datagram(self, command: Command, *, load: int, free: int | None, now: float) -> bytes:
        """What is sent. ``free`` None: nobody knows. ``now`` is seconds since 1970.

        Raises:
            Refused: it is too large for a packet.
            ConfigError: it cannot be signed.
        """
        packet = replace(self.packet, command=command, load=load, free=free)
        return encode(packet) if self.signer is None else self.signer.sign(packet, now)


def values(options: SubscribeOptions) -> Iterator[Value]:
    """The values of both options.

    Raises:
        ConfigError: one cannot be read.
    """
    for field, parse in FIELDS.items():
        option = field.replace("_", "-")
        for text in getattr(options, field):
            yield Value(option, text, parse(option, text))


def legion_of(value: Value, settings: Settings) -> str:
    """Only the lord of this legion announces the value; empty: every node does.

    Raises:
        ConfigError: there is no such legion.
    """
    legion = value.subscription.legion or settings.subscribe.subscribe_legion or ""
    if legion and legion not in settings.legion.names:
        option = "legion=" if value.subscription.legion else "subscribe-legion:"
        raise ConfigError(f"{value}: {option} {legion}: no such legion is declared")
    return legion


def check(settings: Settings, places: Mapping[tuple[str, str], list[Place]]) -> list[str]:
    """What is wrong with the values, their keys' files included; a line for each problem."""
    problems: list[str] = []
    for field, parse in FIELDS.items():
        option = field.replace("_", "-")
        texts = getattr(settings.subscribe, field)
        for text, place in zip(texts, places.get(("subscribe", field), []), strict=True):
            try:
                value = Value(option, text, parse(option, text))
                legion_of(value, settings)
                read_signer(value, settings.application.chdir)
            except ConfigError as error:
                problems.append(f"{place}: {error}")
    return problems


def read_signer(value: Value, chdir: str | None) -> Signer | None:
    """The private key of a value; None if it does not sign.

    Raises:
        ConfigError: the file cannot be read, or has no key that fits.
    """
    sign = value.subscription.sign
    return None if sign is None else load_signer(sign, chdir, str(value))


def load_signer(sign: SchemePath, chdir: str | None, origin: str) -> Signer:
    """The private key that ``origin``, an option with its value, names.

    Raises:
        ConfigError: the file cannot be read, or has no key that fits.
    """
    path = os.path.join(chdir or "", sign.path)
    try:
        with open(path, "rb") as file:
            pem = file.read(MAX_KEY_FILE)
        return Signer(sign.scheme, load_private_key(pem, sign.scheme))
    except OSError as error:
        raise ConfigError(f"{origin}: {path}: cannot be read: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{origin}: {path}: {error}") from error


def compose(
    value: Value, settings: Settings, address: str, notify: str, signer: Signer | None
) -> Announcement:
    """The announcement of a value; that of an ``@FILE`` is the pattern for its keys.

    ``address`` is what to announce, ``notify`` where to acknowledge, empty for nowhere.

    Raises:
        ConfigError: it has no room in a packet, or cannot be signed.
    """
    told = value.subscription
    options = settings.subscribe
    workers = settings.workers
    cores = workers.processes * workers.threads
    weight = cores if options.auto_weight else options.weight
    packet = Packet(
        key=told.key or "k" * MAX_NAME,
        address=address,
        modifier1=_first(options.subscribe_with_modifier1, told.modifier1, 0),
        modifier2=_first(told.modifier2, 0),
        cores=cores,
        weight=_first(told.weight, weight),
        backup=told.backup,
        vassal=told.vassal,
        sni_key=told.sni_key,
        sni_crt=told.sni_crt,
        sni_ca=told.sni_ca,
        proto=told.proto,
        algo=told.algo,
        inactive=told.inactive,
        notify=notify,
    )
    found = Announcement(origin=str(value), server=told.server, packet=packet, signer=signer)
    try:
        found.datagram(Command.UNSUBSCRIBE, load=LARGE, free=LARGE, now=0.0)
    except (Refused, ConfigError) as error:
        raise ConfigError(f"{value}: {error}") from error
    return found


def _first(*found: int | None) -> int:
    return next(one for one in found if one is not None)
