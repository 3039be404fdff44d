"""HTTP/2 in the HTTP gateway: all of it ours, uWSGI's own router never spoke it."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Http2Options:
    """Who may speak HTTP/2, and how much of what is not a request one connection may send.

    Frames are counted in periods of ten seconds; a connection that goes beyond a limit is
    ended with ENHANCE_YOUR_CALM.
    """

    http2: bool = option(
        True, kind=Kind.BOOL, ours=True, help="Offer HTTP/2 to TLS clients (ALPN h2)."
    )
    http2_prior_knowledge: bool = option(
        False,
        kind=Kind.BOOL,
        ours=True,
        help="Take HTTP/2 without TLS from clients that begin with its preface.",
    )
    http2_max_streams: int = option(
        128,
        kind=Kind.INT,
        ours=True,
        minimum=1,
        maximum=4096,
        help="Most requests at a time on one HTTP/2 connection.",
    )
    http2_upload_window: int = option(
        1048576,
        kind=Kind.BYTES,
        ours=True,
        minimum=65535,
        maximum=16777216,
        help="Most bytes of one upload that wait in the gateway; it starts with 65535.",
    )
    http2_max_resets: int = option(
        200,
        kind=Kind.INT,
        ours=True,
        minimum=1,
        help="Most requests that a client may cancel, or have cancelled, in 10 seconds.",
    )
    http2_max_pings: int = option(
        200, kind=Kind.INT, ours=True, minimum=1, help="Most PING frames in 10 seconds."
    )
    http2_max_settings: int = option(
        50, kind=Kind.INT, ours=True, minimum=1, help="Most SETTINGS frames in 10 seconds."
    )
    http2_max_empty_frames: int = option(
        500,
        kind=Kind.INT,
        ours=True,
        minimum=1,
        help="Most DATA frames without data, and frames of unknown type, in 10 seconds.",
    )
    http2_max_priorities: int = option(
        1000, kind=Kind.INT, ours=True, minimum=1, help="Most PRIORITY frames in 10 seconds."
    )
    http2_max_window_updates: int = option(
        2000,
        kind=Kind.INT,
        ours=True,
        minimum=1,
        help="Most WINDOW_UPDATE frames in 10 seconds, besides 8 for each DATA frame sent.",
    )
    http2_max_continuations: int = option(
        16,
        kind=Kind.INT,
        ours=True,
        minimum=1,
        help="Most CONTINUATION frames in one header block.",
    )
