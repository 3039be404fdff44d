"""The fastrouter: uwsgi in, uwsgi out (spec/gateways.md section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class FastrouterOptions:
    """Where the fastrouter listens, and what it allows."""

    fastrouter: tuple[str, ...] = option(
        (), kind=Kind.ADDRESS, help="Take uwsgi packets here, to be forwarded to nodes."
    )
    fastrouter_timeout: float = option(
        60.0, kind=Kind.SECONDS, help="Give up a request when no byte moves for this long."
    )
    fastrouter_buffer_size: int = option(
        65536,
        kind=Kind.BYTES,
        minimum=4096,
        help="Most bytes taken from one side of a request before the other has taken them.",
    )
    fastrouter_fallback_on_no_key: bool = option(
        False, kind=Kind.BOOL, help="Requests without a key go to fastrouter-fallback."
    )
    fastrouter_force_key: str | None = option(
        None, kind=Kind.TEXT, ours=True, help="The key of every request (as uWSGI 2.1)."
    )
    fastrouter_post_buffering: int = option(
        0,
        kind=Kind.BYTES,
        help="Take in the whole body before connecting: up to this size in memory, beyond it in "
        "a file; 0: no.",
    )
    fastrouter_post_buffering_dir: str | None = option(
        None, kind=Kind.PATH, help="The folder of those files; without it that of TMPDIR."
    )
    fastrouter_post_buffers: int = option(
        1 << 30,
        kind=Kind.BYTES,
        ours=True,
        help="Most bytes of all those bodies in one process; what does not fit is sent on as it "
        "comes.",
    )
    fastrouter_max_connections: int = option(
        0,
        kind=Kind.INT,
        ours=True,
        help="Most client connections of one process; 0: what the descriptor limit allows.",
    )
