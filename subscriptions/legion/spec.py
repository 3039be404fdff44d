"""The values of the ``legion*`` options, read and checked (spec/legion.md 3.2, 8).

Every error names the option and the value.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from uwgate.conf.errors import ConfigError
from uwgate.subscriptions.legion.cipher import LegionCipher, make_cipher
from uwgate.subscriptions.legion.election import COMPATIBLE_TIMING, SEALED_TIMING, Timing
from uwgate.subscriptions.legion.hook import MAX_HOOKS, Event, Hook, read_hook
from uwgate.subscriptions.legion.packet import MAX_NAME, MAX_VALOR
from uwgate.subscriptions.legion.sealed import MAX_SECRETS, SUITES
from uwgate.subscriptions.legion.statement import MAX_MEMBERS

MIN_SECRET = 16  # characters in a sealed legion; scrypt makes guessing slow, not impossible
MAX_SCROLL = 4096  # bytes; uWSGI's default
MAX_QUORUM = MAX_MEMBERS + 1
BROADCAST = ipaddress.IPv4Address("255.255.255.255")
INTERFACE = re.compile(r"[^\s/:]{1,15}")  # the kernel's rule and IFNAMSIZ


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where datagrams go: ``path`` of a UNIX socket, or host and port.

    An empty host is every address of the machine.
    """

    host: str = ""
    port: int = 0
    path: str | None = None

    @property
    def is_multicast(self) -> bool:
        """Whether this is an IPv4 multicast group."""
        try:
            return ipaddress.IPv4Address(self.host).is_multicast
        except ValueError:
            return False

    @property
    def is_broadcast(self) -> bool:
        """Whether this is every host of the link."""
        return self.host == str(BROADCAST)


@dataclass(frozen=True, slots=True)
class Vip:
    """``legion-vip``: an address that the lord has. ``device`` None: by the route to it."""

    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegionSpec:
    """All that the options say of one legion.

    Exactly one of ``cipher`` (compatible) and ``suite`` (sealed) is there. ``secrets`` of a
    sealed one: the first seals, all open. ``quorum`` None: not set. ``timing`` None: the mode's
    own.
    """

    name: str
    listen: Endpoint
    valor: int
    cipher: LegionCipher | None = None
    suite: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    nodes: tuple[Endpoint, ...] = ()
    quorum: int | None = None
    scroll: bytes = b""
    scroll_limit: int = MAX_SCROLL
    vips: tuple[Vip, ...] = ()
    hooks: Mapping[Event, tuple[Hook, ...]] = field(default_factory=dict)
    timing: Timing | None = None

    @property
    def times(self) -> Timing:
        """How often and how long."""
        return self.timing or (SEALED_TIMING if self.is_sealed else COMPATIBLE_TIMING)

    @property
    def is_sealed(self) -> bool:
        """Whether this legion speaks our own packets."""
        return self.suite is not None

    @property
    def votes_needed(self) -> int:
        """The quorum; where none is set, what makes one safe, or uWSGI's 0.

        Raises:
            ConfigError: a sealed legion in which no safe one is known or set.
        """
        if not self.is_sealed:
            return self.quorum or 0
        known = all(not node.is_multicast and not node.is_broadcast for node in self.nodes)
        size = len(self.nodes) + 1
        if self.quorum is None:
            if not known:
                raise ConfigError(
                    f"legion {self.name}: set legion-quorum to more than half of the nodes;"
                    " behind multicast or broadcast nobody can count them"
                )
            return size // 2 + 1
        if known and self.quorum * 2 <= size:
            raise ConfigError(
                f"legion-quorum {self.name} {self.quorum}: must be more than half of {size} nodes"
            )
        return self.quorum

    def warnings(self) -> list[str]:
        """What an operator should know at start, a line each."""
        if self.cipher is None:
            return []
        lines = [
            f"legion {self.name} speaks uWSGI's packets: they are not sealed, can be replayed"
            " for legion-skew-tolerance seconds, and cannot exclude two lords;"
            " without uWSGI nodes use aes-256-gcm or chacha20-poly1305"
        ]
        if self.cipher.is_padded_key:
            lines.append(f"legion {self.name}: the secret is shorter than the cipher's key")
        size = len(self.nodes) + 1
        if size > 1 and (self.quorum or 0) * 2 <= size:
            lines.append(
                f"legion {self.name}: legion-quorum {self.quorum or 0} is not more than half of"
                f" {size} nodes: a cut network has two lords"
            )
        return lines


class LegionTable:
    """The legions of one configuration, built up option by option in its order."""

    def __init__(self) -> None:
        self.legions: dict[str, LegionSpec] = {}

    def add_legion(self, value: str, option: str = "legion") -> None:
        """``legion`` and ``legion-mcast``: ``NAME ADDRESS VALOR CIPHER:SECRET[ IV]``.

        Raises:
            ConfigError: the value cannot be used.
        """
        parts = value.split(maxsplit=3)
        if len(parts) < 4:
            raise fault(option, value, "expected NAME ADDRESS VALOR CIPHER:SECRET")
        name, address, valor, seal = parts
        if name in self.legions:
            raise fault(option, value, f"legion {name} is declared twice")
        if not 1 <= len(name.encode()) <= MAX_NAME:
            raise fault(option, value, f"a name has at most {MAX_NAME} bytes")
        number = read_number(option, value, valor, MAX_VALOR)
        listen = read_endpoint(option, value, address, may_be_path=option == "legion")
        suite, colon, secret = seal.partition(":")
        nodes = (listen,) if option == "legion-mcast" else ()
        if suite.lower() in SUITES:
            check_secret(option, value, secret if colon else "")
            self.legions[name] = LegionSpec(
                name=name,
                listen=listen,
                valor=number,
                suite=suite.lower(),
                secrets=(secret,),
                nodes=nodes,
            )
            return
        try:
            cipher = make_cipher(seal)
        except ConfigError as error:
            raise fault(option, value, str(error)) from None
        self.legions[name] = LegionSpec(
            name=name, listen=listen, valor=number, cipher=cipher, nodes=nodes
        )

    def add_node(self, value: str) -> None:
        """``legion-node``: ``NAME HOST:PORT``.

        Raises:
            ConfigError: the value cannot be used.
        """
        spec, rest = self._find("legion-node", value)
        node = read_endpoint("legion-node", value, rest)
        if not node.host:
            raise fault("legion-node", value, "expected NAME HOST:PORT")
        if node in spec.nodes:
            raise fault("legion-node", value, "the same node twice")
        if len(spec.nodes) >= MAX_MEMBERS:
            raise fault("legion-node", value, f"more than {MAX_MEMBERS} nodes")
        self._change(spec, nodes=(*spec.nodes, node))

    def add_quorum(self, value: str) -> None:
        """``legion-quorum``: ``NAME VOTES``.

        Raises:
            ConfigError: the value cannot be used.
        """
        spec, rest = self._find("legion-quorum", value)
        self._change(spec, quorum=read_number("legion-quorum", value, rest, MAX_QUORUM))

    def add_scroll(self, value: str, limit: int = MAX_SCROLL) -> None:
        """``legion-scroll``: ``NAME`` and any text, of at most ``limit`` bytes.

        Raises:
            ConfigError: the value cannot be used.
        """
        spec, rest = self._find("legion-scroll", value)
        scroll = rest.encode("utf-8", "surrogateescape")
        if len(scroll) > limit:
            raise fault("legion-scroll", value, f"{len(scroll)} bytes, limit {limit}")
        self._change(spec, scroll=scroll)

    def add_key(self, value: str) -> None:
        """``legion-key`` (ours): ``NAME SECRET``, one more secret that a sealed legion accepts.

        Raises:
            ConfigError: the value cannot be used.
        """
        spec, rest = self._find("legion-key", value)
        if not spec.is_sealed:
            raise fault("legion-key", value, "uWSGI's packets have one secret only")
        check_secret("legion-key", value, rest)
        if rest in spec.secrets or len(spec.secrets) >= MAX_SECRETS:
            raise fault("legion-key", value, f"the same secret twice, or more than {MAX_SECRETS}")
        self._change(spec, secrets=(*spec.secrets, rest))

    def add_vip(self, value: str) -> None:
        """``legion-vip`` (ours): ``NAME ADDRESS/BITS [dev INTERFACE]``.

        Raises:
            ConfigError: the value cannot be used.
        """
        spec, rest = self._find("legion-vip", value)
        words = rest.split()
        expected = "expected NAME ADDRESS/BITS [dev INTERFACE]"
        if len(words) not in (1, 3) or "/" not in words[0]:
            raise fault("legion-vip", value, expected)
        device = None
        if len(words) == 3:
            device = words[2]
            if words[1] != "dev" or not INTERFACE.fullmatch(device) or device in (".", ".."):
                raise fault("legion-vip", value, expected)
        try:
            address = ipaddress.ip_interface(words[0])
        except ValueError as error:
            raise fault("legion-vip", value, str(error)) from None
        if address.ip.is_multicast or address.ip.is_unspecified or address.ip.is_loopback:
            raise fault("legion-vip", value, f"{address.ip} is no address of a service")
        if any(vip.address.ip == address.ip for vip in spec.vips):
            raise fault("legion-vip", value, "the same address twice")
        self._change(spec, vips=(*spec.vips, Vip(address, device)))

    def add_hook(self, event: Event, value: str) -> None:
        """``legion-lord`` and its like: ``NAME ACTION:ARGUMENT``.

        Raises:
            ConfigError: the value cannot be used.
        """
        option = f"legion-{event.value}"
        spec, rest = self._find(option, value)
        try:
            hook = read_hook(rest)
        except ConfigError as error:
            raise fault(option, value, str(error)) from None
        if sum(map(len, spec.hooks.values())) >= MAX_HOOKS:
            raise fault(option, value, f"more than {MAX_HOOKS} hooks of one legion")
        self._change(spec, hooks={**spec.hooks, event: (*spec.hooks.get(event, ()), hook)})

    def _find(self, option: str, value: str) -> tuple[LegionSpec, str]:
        name, _, rest = value.strip().partition(" ")
        if not rest.strip():
            raise fault(option, value, "expected the name of a legion, a space, and more")
        if name not in self.legions:
            known = ", ".join(self.legions) or "none"
            raise fault(option, value, f"no legion {name} is declared above (there is: {known})")
        return self.legions[name], rest.strip()

    def _change(self, spec: LegionSpec, **changes: object) -> None:
        self.legions[spec.name] = dataclasses.replace(spec, **changes)  # type: ignore[arg-type]  # fields of it


def read_endpoint(option: str, value: str, address: str, *, may_be_path: bool = False) -> Endpoint:
    """``HOST:PORT``, ``:PORT`` or, where it may be one, a path.

    Raises:
        ConfigError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        if may_be_path and address:
            return Endpoint(path=address)
        raise fault(option, value, f"{address!r}: expected HOST:PORT")
    number = read_number(option, value, port, 0xFFFF)
    if not number:
        raise fault(option, value, "port 0: the other nodes have to know the port")
    if ":" in host:
        raise fault(option, value, f"{host!r}: legions speak IPv4")
    return Endpoint(host, number)


def read_number(option: str, value: str, digits: str, limit: int) -> int:
    """A number from 0 to ``limit``.

    Raises:
        ConfigError: it is none.
    """
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or int(digits) > limit:
        raise fault(option, value, f"{digits!r}: expected a number from 0 to {limit}")
    return int(digits)


def check_secret(option: str, value: str, secret: str) -> None:
    """Whether a sealed legion can use this secret.

    Raises:
        ConfigError: it is too short.
    """
    if len(secret) < MIN_SECRET:
        raise fault(option, value, f"a secret of {len(secret)} characters, at least {MIN_SECRET}")


class LegionOptionError(ConfigError):
    """One option cannot be used. The text does not say where it stands; whoever knows adds it."""

    def __init__(self, text: str, option: str, value: str) -> None:
        super().__init__(text)
        self.option = option
        self.value = value


def fault(option: str, value: str, text: str) -> LegionOptionError:
    """The error; a secret in the value is not shown."""
    shown = re.sub(r"(\s[\w-]+:)\S.*$", r"\1...", value) if option.startswith("legion") else value
    if option == "legion-key":
        shown = value.partition(" ")[0] + " ..."
    return LegionOptionError(f"{option} = {shown}: {text}", option, value)


def read_all(
    values: Sequence[tuple[str, str]], *, scroll_limit: int = MAX_SCROLL
) -> dict[str, LegionSpec]:
    """The legions of (option, value) pairs; an option must stand behind the legion that it names.

    Raises:
        ConfigError: a value cannot be used, or a legion has no safe quorum.
    """
    table = LegionTable()
    readers: dict[str, Callable[[str], None]] = {
        "legion": table.add_legion,
        "legion-mcast": lambda value: table.add_legion(value, "legion-mcast"),
        "legion-node": table.add_node,
        "legion-quorum": table.add_quorum,
        "legion-scroll": lambda value: table.add_scroll(value, scroll_limit),
        "legion-key": table.add_key,
        "legion-vip": table.add_vip,
    }
    for event in Event:
        readers[f"legion-{event.value}"] = functools.partial(table.add_hook, event)
    for option, value in values:
        readers[option](value)
    for spec in table.legions.values():
        spec.votes_needed  # noqa: B018  # raises
    return table.legions
