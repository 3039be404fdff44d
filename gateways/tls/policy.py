"""What is spoken: versions, ciphers, and the options of every context."""

from __future__ import annotations

from OpenSSL import SSL

from uwgate.conf.ciphers import option_bits, set_ciphers, set_ciphersuites
from uwgate.conf.groups.https import HttpsOptions

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

OP_PRIORITIZE_CHACHA = 1 << 21  # pyOpenSSL has no name for it

# OpenSSL's own three, the cheapest first: the hash of a suite is also that of the handshake's key
# schedule, and few CPUs have instructions for SHA-384.
CIPHERSUITES = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

# PRIORITIZE_CHACHA: a client that puts ChaCha20 first has no AES in hardware; it gets it.
OPTIONS = (
    SSL.OP_NO_COMPRESSION
    | SSL.OP_NO_RENEGOTIATION
    | SSL.OP_CIPHER_SERVER_PREFERENCE
    | OP_PRIORITIZE_CHACHA
)


def apply(context: SSL.Context, options: HttpsOptions, ciphers: str | None) -> None:
    """Give a context everything that does not depend on its certificate.

    ``ciphers`` None: those of the options, or ours. The groups are OpenSSL's own, which are
    today's best: X25519MLKEM768 (from OpenSSL 3.5), X25519, P-256, P-384.

    Raises:
        ConfigError: OpenSSL does not take what the options say.
    """
    context.set_options(OPTIONS | option_bits(options.ssl_option))
    context.set_min_proto_version(VERSIONS[options.ssl_min_version])
    # Idle connections are many, and their buffers are 34 KB each.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    set_ciphers(context, ciphers or options.ssl_ciphers)
    set_ciphersuites(context, options.ssl_ciphersuites or CIPHERSUITES)
