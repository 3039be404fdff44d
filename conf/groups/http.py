"""The HTTP gateway (spec/gateways.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.hashing import check_secret, check_token, parse_hash
from uwgate.conf.masking import whole
from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Where the HTTP gateway listens, where requests go, what it allows."""

    http: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, aliases=("httprouter",), help="Serve HTTP here through a gateway."
    )
    http_backend_http: bool = option(
        False,
        kind=Kind.BOOL,
        ours=True,
        help="Speak HTTP/1.1 instead of uwsgi to the http-to backends (as uWSGI 2.1).",
    )
    http_backend_proxy_protocol: int = option(
        0,
        kind=Kind.INT,
        ours=True,
        maximum=2,
        help="Begin connections to http-backend-http backends with a PROXY header of this version, "
        "1 or 2; 0: none.",
    )
    http_modifier1: int = option(
        0, kind=Kind.INT, maximum=255, help="modifier1 of packets to http-to backends."
    )
    http_modifier2: int = option(
        0, kind=Kind.INT, maximum=255, help="modifier2 of packets to http-to backends."
    )
    http_sticky: str | None = option(
        None,
        kind=Kind.TEXT,
        ours=True,
        check=check_token,
        help="Keep clients with their subscribed node, by a cookie of this name.",
    )
    http_sticky_secret: str | None = option(
        None,
        kind=Kind.TEXT,
        ours=True,
        check=check_secret,
        mask=whole,
        help="At least 16 characters; with it those cookies outlive a restart, and several "
        "instances agree on them.",
    )
    http_hash: str = option(
        "client",
        kind=Kind.TEXT,
        ours=True,
        check=parse_hash,
        help="What chash keeps together: client, path, 'cookie NAME' or 'header NAME'.",
    )
    http_timeout: float = option(
        60.0, kind=Kind.SECONDS, help="Give up a request when no byte moves for this long."
    )
    http_headers_timeout: float = option(
        15.0, kind=Kind.SECONDS, help="A request head must be complete after this long."
    )
    http_keepalive: float = option(
        60.0,
        kind=Kind.SECONDS,
        optional_value=True,
        true_means=60,
        help="Keep idle client connections open this long; 0: close after each request.",
    )
    http_var: tuple[str, ...] = option(
        (), kind=Kind.PAIR, help="Add a variable to every request: NAME=value."
    )
    http_buffer_size: int = option(
        65536,
        kind=Kind.BYTES,
        minimum=4096,
        help="Most bytes taken from one side of a request before the other has taken them.",
    )
    http_head_limit: int = option(
        32768,
        kind=Kind.BYTES,
        ours=True,
        minimum=1024,
        maximum=49152,
        help="Largest request head; beyond it 431.",
    )
    http_line_limit: int = option(
        16384,
        kind=Kind.BYTES,
        ours=True,
        minimum=256,
        help="Longest request line (beyond it 414) or header line (431).",
    )
    http_header_limit: int = option(
        128, kind=Kind.INT, ours=True, minimum=1, help="Most header lines in a request; else 431."
    )
    http_max_connections: int = option(
        0,
        kind=Kind.INT,
        ours=True,
        help="Most client connections of one gateway process; 0: what the descriptor limit allows.",
    )
    http_server_header: str | None = option(
        None, kind=Kind.TEXT, ours=True, help="Value of a Server header; without it none is sent."
    )
    http_server_name_as_http_host: bool = option(
        False, kind=Kind.BOOL, help="SERVER_NAME is the Host header instead of this machine's name."
    )
    http_auto_chunked: bool = option(
        True, kind=Kind.BOOL, help="Send answers of unknown length chunked, to keep the connection."
    )
    http_auto_gzip: bool = option(
        False, kind=Kind.BOOL, help="Encode with gzip the answers that ask for it (uWSGI-Encoding)."
    )
    http_auto_brotli: bool = option(
        False, kind=Kind.BOOL, ours=True, help="The same with br; needs the extra uwgate[brotli]."
    )
    http_auto_zstd: bool = option(
        False, kind=Kind.BOOL, ours=True, help="The same with zstd; needs the extra uwgate[zstd]."
    )
    http_gzip_level: int = option(
        6,
        kind=Kind.INT,
        ours=True,
        minimum=1,
        maximum=9,
        help="Effort of http-auto-gzip: 1 is the fastest, 9 the smallest.",
    )
    http_brotli_level: int = option(
        4,
        kind=Kind.INT,
        ours=True,
        maximum=6,
        help="Effort of http-auto-brotli; beyond 6 it is too slow for what is made on the fly.",
    )
    http_zstd_level: int = option(
        3, kind=Kind.INT, ours=True, minimum=1, maximum=12, help="Effort of http-auto-zstd."
    )
    http_encoded_streams: int = option(
        256,
        kind=Kind.INT,
        ours=True,
        minimum=1,
        help="Most answers of one gateway process encoded at a time; others go as they are.",
    )
    http_chunked_input: bool = option(
        True, kind=Kind.BOOL, help="Take chunked request bodies; without it they get 411."
    )
    http_raw_body: bool = option(
        False,
        kind=Kind.BOOL,
        help="Pass chunked request bodies to http-to backends as chunks, for uwsgi.chunked_read().",
    )
    http_manage_source: bool = option(
        False,
        kind=Kind.BOOL,
        help="The body of a SOURCE request without Content-Length is all that the client sends.",
    )
    http_manage_expect: int = option(
        1,
        kind=Kind.BYTES,
        optional_value=True,
        true_means=1,
        help="Answer 413 to Expect: 100-continue with a body larger than this; 0, 1: no limit.",
    )
    http_websockets: bool = option(
        True, kind=Kind.BOOL, help="Let clients open WebSockets to the backends."
    )
    http_tunnel_timeout: float = option(
        300.0,
        kind=Kind.SECONDS,
        ours=True,
        help="Close a WebSocket in which no byte moves for this long; 0: never.",
    )
