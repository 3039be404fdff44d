"""Ciphers and option bits that the options may ask OpenSSL for, and those that they may not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from OpenSSL import SSL

from uwgate.conf.errors import ConfigError

# Forward secrecy and authenticated encryption only (RFC 9325 section 4.2).
CIPHERS = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    )
)

# Behind every list: what nobody should speak, what needs secrets or parameters that nobody
# configures, and level 2 (no key and no hash below 112 bits). The rest of a class such as
# HIGH, which uWSGI's manual uses, remains.
ALWAYS = (
    "!aNULL:!eNULL:!RC4:!DES:!3DES:!MD5:!IDEA:!SEED:!ARIA:!CAMELLIA:!MEDIUM:!LOW:!EXP:"
    "!PSK:!SRP:!aDSS:!kDHE:@SECLEVEL=2"
)

# Bits that pyOpenSSL has no names for, from OpenSSL's ssl.h.
OP_NO_EXTENDED_MASTER_SECRET = 1 << 0
OP_LEGACY_SERVER_CONNECT = 1 << 2
OP_IGNORE_UNEXPECTED_EOF = 1 << 7
OP_ALLOW_CLIENT_RENEGOTIATION = 1 << 8
OP_ALLOW_NO_DHE_KEX = 1 << 10
OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION = 1 << 18
OP_NO_ENCRYPT_THEN_MAC = 1 << 19
OP_NO_ANTI_REPLAY = 1 << 24

WEAKENING = {
    OP_NO_EXTENDED_MASTER_SECRET: "lets sessions be bound to another handshake (RFC 7627)",
    OP_LEGACY_SERVER_CONNECT: "concerns insecure renegotiation",
    OP_IGNORE_UNEXPECTED_EOF: "hides that a message was cut off",
    OP_ALLOW_CLIENT_RENEGOTIATION: "lets clients renegotiate for ever",
    OP_ALLOW_NO_DHE_KEX: "gives up forward secrecy of resumed sessions",
    OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION: "allows insecure renegotiation (CVE-2009-3555)",
    OP_NO_ENCRYPT_THEN_MAC: "weakens CBC ciphers (RFC 7366)",
    OP_NO_ANTI_REPLAY: "allows early data to be replayed",
}

# What a list may not name itself.
WEAK_WORD = re.compile(r"(?i)RC4|(?<!A)DES|NULL|EXP|MD5|\bA(EC)?DH\b|IDEA|SEED|LOW")
BETWEEN_WORDS = re.compile(r"[:, ;]+")
KEY_TRANSPORT = re.compile(r"(?!ECDHE|TLS_)")  # the key is sent under RSA: no forward secrecy
CBC_SHA1 = re.compile(r".*-SHA\Z")
MAX_SHOWN = 3  # names in a warning


def option_bits(bits: Sequence[int]) -> int:
    """The values of ``ssl-option`` in one number.

    Raises:
        ConfigError: a bit would weaken the connections.
    """
    together = 0
    for value in bits:
        for bit, reason in WEAKENING.items():
            if value & bit:
                raise ConfigError(f"ssl-option = {value}: {bit} {reason}; it is never set here")
        together |= value
    return together


def check_ciphers(ciphers: str) -> list[str]:
    """Warnings about a list of ciphers of TLS 1.2, in OpenSSL's language.

    Raises:
        ConfigError: it names one that protects nothing, or none that is spoken here.
    """
    words = [word for word in BETWEEN_WORDS.split(ciphers) if not word.startswith(("!", "-"))]
    if weak := [word for word in words if WEAK_WORD.search(word)]:
        raise ConfigError(f"ciphers {ciphers!r}: remove {', '.join(weak)}, it protects nothing")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    set_ciphers(context, ciphers)
    names = [name for name in SSL.Connection(context).get_cipher_list() if "TLS_" not in name]
    warnings: list[str] = []
    if old := [name for name in names if CBC_SHA1.match(name)]:
        warnings.append(f"old ciphers: {_some(old)}; prefer those with GCM or CHACHA20")
    if static := [name for name in names if KEY_TRANSPORT.match(name) and name not in old]:
        warnings.append(f"no forward secrecy: {_some(static)}; prefer those with ECDHE")
    return warnings


def set_ciphers(context: SSL.Context, ciphers: str | None) -> None:
    """The ciphers of TLS 1.2; None: ours.

    Raises:
        ConfigError: nothing that is spoken here remains of the list.
    """
    text = ciphers or CIPHERS
    if "@SECLEVEL" in text.upper():
        raise ConfigError(f"ciphers {text!r}: the security level is fixed, remove @SECLEVEL")
    try:
        context.set_cipher_list(f"{text}:{ALWAYS}".encode())
    except SSL.Error as error:
        raise ConfigError(
            f"ciphers {text!r}: none of them is spoken here, expected such as ECDHE+AESGCM or HIGH"
        ) from error


def check_ciphersuites(suites: str) -> None:
    """Whether OpenSSL takes a list of cipher suites of TLS 1.3.

    Raises:
        ConfigError: it does not know one of them.
    """
    set_ciphersuites(SSL.Context(SSL.TLS_SERVER_METHOD), suites)


def set_ciphersuites(context: SSL.Context, suites: str) -> None:
    """The cipher suites of TLS 1.3.

    Raises:
        ConfigError: OpenSSL does not know one of them.
    """
    try:
        context.set_tls13_ciphersuites(suites.encode())
    except SSL.Error as error:
        raise ConfigError(f"cipher suites {suites!r}: OpenSSL does not know them all") from error


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_SHOWN
    return ", ".join(names[:MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
