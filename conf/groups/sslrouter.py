"""The sslrouter: TLS in, TCP out (spec/gateways.md section 8)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class SslrouterOptions:
    """Where the sslrouter listens, and what it looks at.

    The texts of sslrouter and sslrouter2 are those of https and https2 (``uwgate.conf.tls``).
    """

    sslrouter: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        help="Take TLS connections of any protocol here, for a plain backend: "
        "ADDRESS,CERTIFICATE,KEY[,CIPHERS[,[!]CLIENT_CA]].",
    )
    sslrouter2: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="The same by names: addr=,cert=,key=,ciphers=,clientca=."
    )
    sslrouter_passthrough: tuple[str, ...] = option(
        (),
        kind=Kind.ADDRESS,
        ours=True,
        help="Take TLS connections here and pass them on as they are, to a backend of the name "
        "that the client asks for.",
    )
    sslrouter_alpn_key: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        ours=True,
        help="sslrouter-passthrough: clients that offer this protocol (ALPN) have the key "
        "NAME@PROTOCOL.",
    )
    sslrouter_sni: bool = option(
        False,
        kind=Kind.BOOL,
        help="The key is the name that the client asks for, and the address for who asks for none.",
    )
    sslrouter_session_context: str = option(
        "sslrouter", kind=Kind.TEXT, help="Sessions resume only where this text is the same."
    )
    sslrouter_handshake_timeout: float = option(
        10.0,
        kind=Kind.SECONDS,
        ours=True,
        minimum=0.1,
        help="A TLS handshake, or a client's first message of it, must be complete after this "
        "long.",
    )
