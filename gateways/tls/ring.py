"""The gateway's side of certificates: which context answers which server name.

Every connection begins in the context of its address, which is made once, before the
gateways fork, and holds the keys of the session tickets. Its server name callback then
hands the connection to a context that only holds certificates. Those are never changed
but replaced, so a ticket outlives a renewal, and resumes in every process and under
every name of its address (OpenSSL takes ticket keys from the context that a connection
began in).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable

from OpenSSL import SSL

from uwgate.conf import tls
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.tls.context import build
from uwgate.gateways.tls.material import Material

log = logging.getLogger("uwgate.tls")

ABSENT_SECONDS = 5.0  # a file that is put into sni-dir is found after this long
MAX_ABSENT = 10_000  # names
MAX_SUFFIXES = 4  # of one name; as many as subscription-dotsplit looks up

Fetch = Callable[[str], Material | None]


class KeyLog:
    """Appends the keys of sessions to a file, for debugging.

    The file is opened before the fork, with the privileges of then; one line is one write.
    """

    def __init__(self, path: str) -> None:
        """Raises ConfigError where the file cannot be written."""
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"ssl-keylog-file = {path}: {error.strerror}") from error
        log.warning("%s: the keys of all connections are written here", path)

    def __call__(self, line: bytes) -> None:
        """Write one line."""
        with contextlib.suppress(OSError):  # a full disk is no reason to refuse clients
            os.write(self._fd, line + b"\n")

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            os.close(self._fd)


class Held:
    """A context that is served, and how it treats clients."""

    __slots__ = ("client_ca", "context", "verify")

    def __init__(self, context: SSL.Context, material: Material) -> None:
        self.context = context
        self.client_ca = material.client_ca
        self.verify = SSL.VERIFY_NONE
        if material.verifies:
            self.verify = SSL.VERIFY_PEER
            if material.client_required:
                self.verify |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT


class Ring:
    """All contexts of one gateway process.

    ``fetch`` brings what a name of ``identities`` or a server name of sni-dir is made of,
    None where there is nothing; it is called inside handshakes, so it must return soon. It
    may be replaced after the fork.
    """

    def __init__(
        self,
        options: HttpsOptions,
        fetch: Fetch,
        *,
        http2: bool = False,
        speaks_http: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the contexts of everything that the options name.

        Raises:
            ConfigError: one of them cannot be served.
        """
        self.fetch = fetch
        self._options = options
        self._http2 = http2
        self._speaks_http = speaks_http
        self._clock = clock
        self._keylog = KeyLog(options.ssl_keylog_file) if options.ssl_keylog_file else None
        self._session_context = hashlib.sha256(options.https_session_context.encode()).digest()
        self._fixed: dict[str, Held] = {}
        self._begin: dict[str, SSL.Context] = {}
        self._first_held: dict[str, Held] = {}  # whose certificates a ``_begin`` has anyhow
        for endpoint in tls.endpoints(options):
            material = self._hold(endpoint.address)
            self._begin[endpoint.address] = self._first(endpoint.address, material)
            self._first_held[endpoint.address] = self._fixed[endpoint.address]
        names = [tls.parse_sni(text)[0] for text in options.sni]
        self._names = frozenset(names)
        self._regexps = [
            (re.compile(expression, re.IGNORECASE), f"~{expression}")
            for expression, _ in map(tls.parse_sni_regexp, options.sni_regexp)
        ]
        for name in (*names, *(key for _, key in self._regexps)):
            self._hold(name)
        # In sni-dir, an authority may appear beside a certificate at any time.
        several = bool(options.sni or options.sni_regexp)
        verifies = any(held.verify for held in self._fixed.values())
        self._guards = options.sni_dir is not None or (several and verifies)
        self._loaded: OrderedDict[str, Held] = OrderedDict()
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._brought: dict[str, Material] = {}  # by nodes

    def context(self, address: str) -> SSL.Context:
        """The context in which connections to an address begin, as its option writes it."""
        return self._begin[address]

    def renew(self, name: str, material: Material) -> None:
        """Serve ``material`` in new handshakes under ``name``.

        A name that this process does not hold is left to be fetched when it is asked for.

        Raises:
            ConfigError: it cannot be served; what was served before stays.
        """
        self._absent.pop(name, None)
        for table in (self._fixed, self._loaded):
            if name in table:
                table[name] = self._build(material)

    def take(self, name: str, data: bytes) -> None:
        """The same with what the keeper sends (``Material.to_bytes``); a failure is logged."""
        try:
            self.renew(name, Material.from_bytes(data))
        except ConfigError as error:
            log.error("%s: %s; what was served before stays", name, error)

    def expect_names(self) -> None:
        """Names may come while we run, and some of them may verify clients."""
        self._guards = True

    def prepare(self, material: Material) -> Held:
        """What ``bring`` needs; may be called in a thread.

        Raises:
            ConfigError: it cannot be served.
        """
        return self._build(material)

    def bring(self, name: str, material: Material, held: Held) -> None:
        """Serve in new handshakes what nodes bring for a name in lower case.

        One that begins with a dot is for all names that end so. What the options have
        under the same name goes before it.
        """
        self._brought[name] = material
        self._keep(f"+{name}", held)

    def drop(self, name: str) -> None:
        """The last node that brought something for a name has gone."""
        self._brought.pop(name, None)
        self._loaded.pop(f"+{name}", None)

    def admits(self, server_name: str | None, host: str, address: str) -> bool:
        """Whether a connection made for ``server_name`` may carry requests for ``host``.

        ``host`` is without a port. False where ``host`` verifies clients and the connection's
        own name does it otherwise or not at all: the answer is 421 (RFC 9110 section 15.5.20).
        """
        if not self._guards or host == server_name:
            return True
        asked, used = self.find(host, address), self.find(server_name, address)
        if asked is used or not asked.verify:
            return True
        return asked.client_ca == used.client_ca and asked.verify & ~used.verify == 0

    def _admits_authority(self, server_name: str | None, address: str, authority: bytes) -> bool:
        host, colon, port = authority.decode("latin-1").rpartition(":")
        if not colon or (port and not port.isdigit()):  # no port, or a part of an IPv6 address
            host = authority.decode("latin-1")
        return self.admits(server_name, host, address)

    def find(self, server_name: str | None, address: str) -> Held:
        """Who answers a client that asked ``address`` for ``server_name``; None: no name."""
        name = tls.server_name(server_name) if server_name else None
        if name is None or name.startswith("*"):
            return self._fixed[address]
        _, dot, parent = name.partition(".")
        candidates = (name, f"*.{parent}") if dot else (name,)
        for known in candidates:
            if known in self._names:
                return self._fixed[known]
            if self._brought and (held := self._from_nodes(known)):
                return held
        for expression, key in self._regexps:
            if expression.search(name):
                return self._fixed[key]
        if self._options.sni_dir is not None:
            for known in candidates:
                if held := self._from_directory(known):
                    return held
        return self._fixed[address]

    def _hold(self, name: str) -> Material:
        material = self.fetch(name)
        if material is None:
            raise ConfigError(f"{name}: no certificate")
        self._fixed[name] = self._build(material)
        return material

    def _build(self, material: Material) -> Held:
        return Held(self._context(material), material)

    def _context(self, material: Material) -> SSL.Context:
        return build(
            material,
            self._options,
            session_context=self._session_context,
            http2=self._http2,
            speaks_http=self._speaks_http,
            keylog=self._keylog,
        )

    def _first(self, address: str, material: Material) -> SSL.Context:
        context = self._context(material)
        context.set_tlsext_servername_callback(lambda connection: self._choose(connection, address))
        return context

    def _choose(self, connection: SSL.Connection, address: str) -> None:
        """Called in every handshake, with a server name or without."""
        raw = connection.get_servername()
        name = raw.decode("ascii", "replace") if raw else None
        held = self.find(name, address)
        if self._guards:
            connection.set_app_data(functools.partial(self._admits_authority, name, address))
        if held is not self._first_held[address]:
            connection.set_context(held.context)
            connection.set_verify(held.verify)  # a connection keeps what it began with
        if held.verify:
            # A ticket says nothing of the name that it was given for, nor of the authority
            # that its client was checked against (CVE-2025-23419 was that in another
            # server). So where clients are verified, sessions are not resumed.
            connection.set_options(SSL.OP_NO_TICKET)
            if _is_resumed(connection):
                connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)

    def _from_nodes(self, known: str) -> Held | None:
        """``known`` is a name, or a star in place of its first label."""
        if not known.startswith("*"):
            return self._brought_as(known)
        suffix = known[1:]
        for _ in range(MAX_SUFFIXES):
            if held := self._brought_as(suffix):
                return held
            dot = suffix.find(".", 1)
            if dot < 0:
                return None
            suffix = suffix[dot:]
        return None

    def _brought_as(self, name: str) -> Held | None:
        material = self._brought.get(name)
        if material is None:
            return None
        key = f"+{name}"
        held = self._loaded.get(key)
        if held is None:
            held = self._build(material)  # no error: it was built before
            self._keep(key, held)
        self._loaded.move_to_end(key)
        return held

    def _keep(self, key: str, held: Held) -> None:
        self._loaded[key] = held
        if len(self._loaded) > self._options.sni_max_contexts:
            self._loaded.popitem(last=False)

    def _from_directory(self, name: str) -> Held | None:
        held = self._loaded.get(name)
        if held is not None:
            self._loaded.move_to_end(name)
            return held
        if self._is_absent(name):
            return None
        material = self.fetch(name)
        try:
            held = None if material is None else self._build(material)
        except ConfigError as error:
            log.error("%s: %s", name, error)
        if held is None:
            self._absent[name] = self._clock() + ABSENT_SECONDS
            if len(self._absent) > MAX_ABSENT:
                self._absent.popitem(last=False)
            return None
        self._keep(name, held)
        return held

    def _is_absent(self, name: str) -> bool:
        until = self._absent.get(name)
        if until is None:
            return False
        if until > self._clock():
            return True
        del self._absent[name]
        return False


def admission(connection: SSL.Connection) -> Callable[[bytes], bool] | None:
    """Which authorities (``Host`` or ``:authority``) requests of a connection may name.

    None: any. To be asked after the handshake; see ``Ring.admits``.
    """
    admits: Callable[[bytes], bool] | None = connection.get_app_data()
    return admits


def _is_resumed(connection: SSL.Connection) -> bool:
    """Whether a handshake that has come as far as its server name continues a session.

    A new session has no master key yet, for which pyOpenSSL raises.
    """
    try:
        return connection.master_key() is not None
    except SSL.Error:
        return False
