"""TLS in front of the HTTP gateway (spec/gateways.md sections 5.10 and 9)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsOptions:
    """Where TLS is spoken, with which certificates, and how strictly.

    How the texts of https, https2, sni and http-to-https are built says ``uwgate.conf.tls``.
    """

    https: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        help="Serve HTTPS through a gateway: ADDRESS,CERTIFICATE,KEY[,CIPHERS[,[!]CLIENT_CA]]. "
        "Certificate and key may be lists (rsa.crt|ecdsa.crt), a file or PEM text.",
    )
    https2: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        help="The same by names: addr=,cert=,key=,ciphers=,clientca=; a backslash escapes.",
    )
    http_to_https: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="Redirect HTTP to HTTPS: ADDRESS[,PORT]; without a port, to 443."
    )
    https_export_cert: bool = option(
        False, kind=Kind.BOOL, help="Give applications the client's certificate as HTTPS_CC."
    )
    https_session_context: str = option(
        "http", kind=Kind.TEXT, help="Sessions resume only where this text is the same."
    )
    https_handshake_timeout: float = option(
        10.0,
        kind=Kind.SECONDS,
        ours=True,
        minimum=0.1,
        help="A TLS handshake must be complete after this long.",
    )
    http_to_https_acme: bool = option(
        False,
        kind=Kind.BOOL,
        ours=True,
        help="Do not redirect /.well-known/acme-challenge/: the application answers there.",
    )
    sni: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        help="A certificate for a server name, *.example.com included: "
        "NAME CERTIFICATE,KEY[,CIPHERS[,[!]CLIENT_CA]].",
    )
    sni_regexp: tuple[str, ...] = option(
        (), kind=Kind.TEXT, help="A certificate for server names that a regular expression finds."
    )
    sni_dir: str | None = option(
        None,
        kind=Kind.PATH,
        help="A folder of NAME.crt, NAME.key and NAME.ca, loaded when a client asks for NAME.",
    )
    sni_dir_ciphers: str | None = option(
        None, kind=Kind.TEXT, help="Ciphers of TLS 1.2 for the names of sni-dir."
    )
    sni_max_contexts: int = option(
        1000,
        kind=Kind.INT,
        ours=True,
        minimum=1,
        help="Most names of sni-dir that a gateway process holds; the least used one leaves.",
    )
    ssl_verbose: bool = option(
        False, kind=Kind.BOOL, help="Log everything that OpenSSL says of a failed handshake."
    )
    ssl_verify_depth: int = option(
        1,
        kind=Kind.INT,
        optional_value=True,
        true_means=1,
        maximum=100,
        help="Most authorities between a client's certificate and the trusted one.",
    )
    ssl_option: tuple[int, ...] = option(
        (),
        kind=Kind.INT,
        maximum=(1 << 63) - 1,
        help="Further option bits of OpenSSL, as a decimal number; those that weaken are refused.",
    )
    ssl_sessions_timeout: int = option(
        300,
        kind=Kind.INT,
        aliases=("ssl-session-timeout",),
        minimum=1,
        maximum=604800,  # RFC 8446 section 4.6.1
        help="A session can be resumed for this many seconds.",
    )
    ssl_min_version: str = option(
        "1.2", kind=Kind.TEXT, ours=True, choices=("1.2", "1.3"), help="Oldest version of TLS."
    )
    ssl_ciphers: str | None = option(
        None, kind=Kind.TEXT, ours=True, help="Ciphers of TLS 1.2 where nothing else says them."
    )
    ssl_ciphersuites: str | None = option(
        None, kind=Kind.TEXT, ours=True, help="Cipher suites of TLS 1.3, separated by colons."
    )
    ssl_key_password_file: str | None = option(
        None, kind=Kind.PATH, ours=True, help="The password of encrypted keys is this file's line."
    )
    ssl_key_password_env: str | None = option(
        None,
        kind=Kind.TEXT,
        ours=True,
        help="The password of encrypted keys is in this environment variable.",
    )
    ssl_stapling: bool = option(
        True,
        kind=Kind.BOOL,
        ours=True,
        help="Ask the responder that a certificate names, and staple its OCSP answer.",
    )
    ssl_keylog_file: str | None = option(
        None,
        kind=Kind.PATH,
        ours=True,
        help="For debugging only: write the keys of all sessions here; who has them reads all.",
    )
