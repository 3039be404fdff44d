"""An OpenSSL context made of a ``Material``; it never changes afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto

from uwgate.conf.certificates import check_authorities
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.https import HttpsOptions
from uwgate.gateways.tls import policy
from uwgate.gateways.tls.material import Material, Pair

HTTP_1_0 = b"http/1.0"
HTTP_1_1 = b"http/1.1"
HTTP_2 = b"h2"

KeyLog = Callable[[bytes], None]


class NoProtocol(SSL.Error):
    """The client speaks nothing that we do: RFC 7301 section 3.2 wants an alert."""


def build(
    material: Material,
    options: HttpsOptions,
    *,
    session_context: bytes,
    http2: bool,
    speaks_http: bool = True,
    keylog: KeyLog | None = None,
) -> SSL.Context:
    """A context that serves ``material``.

    ``session_context`` is at most 32 bytes. ``speaks_http``: else clients may speak what they
    want, and are not told what was chosen (ALPN). ``keylog`` gets the lines of a key log.

    Raises:
        ConfigError: OpenSSL does not take the certificates, or the options.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    policy.apply(context, options, material.ciphers)
    # Tickets do it: what a process remembers no other one knows.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(session_context)
    context.set_timeout(options.ssl_sessions_timeout)
    for pair in material.pairs:
        _use(context, pair)
    context.set_verify_depth(options.ssl_verify_depth)
    if material.client_ca is not None:
        _ask_for_certificates(context, material.client_ca, required=material.client_required)
    if speaks_http:
        ours = (HTTP_2, HTTP_1_1, HTTP_1_0) if http2 else (HTTP_1_1, HTTP_1_0)
        context.set_alpn_select_callback(lambda _, offered: select_protocol(ours, offered))
    if staples := _staples(material):
        context.set_ocsp_server_callback(_staple, staples)
    if keylog is not None:
        context.set_keylog_callback(lambda _, line: keylog(line))
    return context


def select_protocol(ours: tuple[bytes, ...], offered: list[bytes]) -> bytes:
    """The protocol of a connection, by our preference.

    Raises:
        NoProtocol: none of ours was offered.
    """
    for protocol in ours:
        if protocol in offered:
            return protocol
    names = ", ".join(repr(one)[1:] for one in offered[:8])
    raise NoProtocol([("SSL routines", "ALPN", f"no common protocol, offered: {names[:200]}")])


def _use(context: SSL.Context, pair: Pair) -> None:
    # A memory file, because only this call gives each kind of key a chain of its own:
    # extra certificates of a context go to the clients of all kinds.
    fd = os.memfd_create("uwgate-chain")
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(pair.chain)
        context.use_certificate_chain_file(f"/proc/self/fd/{fd}")
        key = serialization.load_pem_private_key(pair.key, None)
        context.use_privatekey(key)  # type: ignore[arg-type]  # any kind that OpenSSL takes
        context.check_privatekey()
    except (SSL.Error, ValueError, TypeError) as error:
        raise ConfigError(f"OpenSSL refuses the certificate or its key: {error}") from error
    finally:
        os.close(fd)


def _ask_for_certificates(context: SSL.Context, client_ca: bytes, *, required: bool) -> None:
    store = context.get_cert_store()
    assert store is not None  # a context always has one
    for authority in check_authorities(client_ca):
        store.add_cert(crypto.X509.from_cryptography(authority))
        context.add_client_ca(authority)
    mode = SSL.VERIFY_PEER
    if required:
        mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    context.set_verify(mode)


def _staples(material: Material) -> dict[bytes, bytes]:
    """OCSP responses by the certificates (DER) that they are about."""
    return {
        x509.load_pem_x509_certificate(pair.chain).public_bytes(
            serialization.Encoding.DER
        ): pair.staple
        for pair in material.pairs
        if pair.staple is not None
    }


def _staple(connection: SSL.Connection, staples: dict[bytes, bytes] | None) -> bytes:
    """The response for the certificate that this handshake has chosen; empty: none."""
    certificate = connection.get_certificate(as_cryptography=True)
    if certificate is None or staples is None:
        return b""
    return staples.get(certificate.public_bytes(serialization.Encoding.DER), b"")
