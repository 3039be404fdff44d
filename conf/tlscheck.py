"""Whether the certificates, ciphers and passwords that the options name can be used."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from uwgate.conf import ciphers, tls
from uwgate.conf.crosscheck import Places
from uwgate.conf.errors import ConfigError
from uwgate.conf.identities import open_identity, password_of
from uwgate.conf.pair import Note, Place, Severity
from uwgate.conf.tls import Identity

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings

GROUP = "https"
GROUP_OF = {"sslrouter": "sslrouter", "sslrouter2": "sslrouter"}  # all others: GROUP

KEYLOG = (
    "ssl-keylog-file is set: whoever reads that file reads every connection; "
    "for debugging only, never with real clients"
)

SPDY = "https2: spdy= has no effect, SPDY became HTTP/2"

# The part of an option's value that is an identity.
PARSERS: dict[str, Callable[[str], Identity]] = {
    "https": lambda text: tls.parse_https(text).identity,
    "https2": lambda text: tls.parse_https2(text).identity,
    "sslrouter": lambda text: tls.parse_https(text).identity,
    "sslrouter2": lambda text: tls.parse_https2(text).identity,
    "sni": lambda text: tls.parse_sni(text)[1],
    "sni_regexp": lambda text: tls.parse_sni_regexp(text)[1],
}


def check_tls(
    settings: Settings, places: Places, environ: Mapping[str, str], now: datetime.datetime
) -> tuple[list[str], list[Note]]:
    """What is wrong with the TLS options, and what is to be said of them.

    ``environ`` is where ssl-key-password-env looks. Certificate and key files are read.
    """
    check = _Check(settings, places, now)
    check.run(environ)
    return check.problems, check.notes


class _Check:
    def __init__(self, settings: Settings, places: Places, now: datetime.datetime) -> None:
        self._options = settings.https
        self._settings = settings
        self._places = places
        self._now = now
        self.problems: list[str] = []
        self.notes: list[Note] = []

    def run(self, environ: Mapping[str, str]) -> None:
        """Look at everything once."""
        options = self._options
        try:
            password = password_of(options, environ)
        except ConfigError as error:
            self.problems.append(str(error))
            return
        for field, parse in PARSERS.items():
            for text, place in self._values(field):
                self._check_identity(field, parse(text), place, password)
        self._check_names()
        for text, place in self._values("https2"):
            if tls.asks_for_spdy(text):
                self.notes.append(Note(Severity.NOTE, SPDY, place))
        for field in ("ssl_ciphers", "sni_dir_ciphers"):
            if text := getattr(options, field):
                self._check_ciphers(field, text, self._place(field))
        try:
            ciphers.option_bits(options.ssl_option)
            if options.ssl_ciphersuites:
                ciphers.check_ciphersuites(options.ssl_ciphersuites)
        except ConfigError as error:
            self.problems.append(str(error))
        if options.ssl_keylog_file is not None:
            place = self._place("ssl_keylog_file")
            self.notes.append(Note(Severity.WARNING, KEYLOG, place))

    def _check_names(self) -> None:
        options = self._options
        for field in ("sni", "sni_regexp", "sni_dir"):
            is_used = self._settings.speaks_tls or self._settings.terminates_tls
            if getattr(options, field) and not is_used:
                text = f"{field.replace('_', '-')} has no effect without https"
                self.notes.append(Note(Severity.WARNING, text, self._place(field)))
        if options.sni_dir is not None and not os.path.isdir(options.sni_dir):
            place = self._place("sni_dir")
            self.problems.append(f"{place}: sni-dir = {options.sni_dir}: there is no such folder")

    def _values(self, field: str) -> Iterator[tuple[str, Place | None]]:
        group = GROUP_OF.get(field, GROUP)
        texts = getattr(getattr(self._settings, group), field)
        places = self._places.get((group, field), [])
        return zip(texts, places, strict=True)

    def _place(self, field: str) -> Place | None:
        return next(iter(self._places.get((GROUP, field), [])), None)

    def _check_identity(
        self, field: str, identity: Identity, place: Place | None, password: bytes | None
    ) -> None:
        option = field.replace("_", "-")
        if identity.ciphers is not None:
            self._check_ciphers(field, identity.ciphers, place)
        try:
            opened = open_identity(identity, password, self._now)
        except ConfigError as error:
            self.problems.append(f"{place}: {option}: {error}")
            return
        for pair in opened.pairs:
            for text in pair.warnings:
                self.notes.append(Note(Severity.WARNING, f"{option}: {text}", place))

    def _check_ciphers(self, field: str, text: str, place: Place | None) -> None:
        option = field.replace("_", "-")
        try:
            warnings = ciphers.check_ciphers(text)
        except ConfigError as error:
            self.problems.append(f"{place}: {option}: {error}")
            return
        for warning in warnings:
            self.notes.append(Note(Severity.WARNING, f"{option}: {warning}", place))
