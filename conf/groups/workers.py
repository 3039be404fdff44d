"""The pool of processes that runs the application (spec/workers.md)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How many workers, how long they live, what a request may be."""

    processes: int = option(
        1,
        kind=Kind.INT,
        aliases=("workers",),
        short="p",
        help="How many worker processes; 0 means none (gateways only).",
    )
    threads: int = option(1, kind=Kind.INT, minimum=1, help="Threads in each worker process.")
    max_requests: int = option(
        0, kind=Kind.INT, short="R", help="Replace a worker after this many requests; 0: never."
    )
    max_requests_delta: int = option(
        0, kind=Kind.INT, help="Add this, times (worker number - 1), to max-requests."
    )
    min_worker_lifetime: float = option(
        10.0, kind=Kind.SECONDS, help="No worker is recycled before this age."
    )
    max_worker_lifetime: float = option(
        0.0, kind=Kind.SECONDS, help="Replace a worker that is older than this; 0: never."
    )
    max_worker_lifetime_delta: float = option(
        0.0, kind=Kind.SECONDS, help="Add this, times (worker number - 1), to max-worker-lifetime."
    )
    reload_on_rss: int = option(
        0, kind=Kind.MEGABYTES, help="Replace a worker whose resident memory reaches this."
    )
    reload_on_as: int = option(
        0, kind=Kind.MEGABYTES, help="Replace a worker whose address space reaches this."
    )
    worker_reload_mercy: float = option(
        60.0, kind=Kind.SECONDS, help="How long a worker may finish its requests before SIGKILL."
    )
    buffer_size: int = option(
        16384,
        kind=Kind.BYTES,
        short="b",
        maximum=65535,
        help="Largest request head that a worker's own sockets take.",
    )
    max_vars: int = option(
        1024, kind=Kind.INT, short="v", minimum=1, help="Most variables in one request packet."
    )
    socket_timeout: float = option(
        4.0,
        kind=Kind.SECONDS,
        short="z",
        help="How long a worker waits for the next bytes of a client on its own sockets.",
    )
    post_buffering: int = option(
        0,
        kind=Kind.BYTES,
        true_means=65536,
        help="Read bodies before the application runs: in memory up to this size, "
        "in a file beyond it; 0: stream.",
    )
    post_buffering_bufsize: int = option(
        32768, kind=Kind.BYTES, minimum=1, help="How much of a body is read at a time."
    )
    limit_post: int = option(
        0, kind=Kind.BYTES, help="Answer 413 to request bodies larger than this; 0: no limit."
    )
    chunked_input_limit: int = option(
        1048576, kind=Kind.BYTES, minimum=1, help="Most bytes that uwsgi.chunked_read() returns."
    )
    chunked_input_timeout: float = option(
        0.0,
        kind=Kind.SECONDS,
        help="How long uwsgi.chunked_read() waits for a chunk; 0: socket-timeout.",
    )
    websocket_max_size: int = option(
        1024,
        kind=Kind.INT,
        aliases=("websockets-max-size",),
        minimum=1,
        maximum=1048576,
        help="Largest message that uwsgi.websocket_recv() takes, in KiB.",
    )
    websocket_ping_freq: float = option(
        30.0,
        kind=Kind.SECONDS,
        aliases=("websockets-ping-freq",),
        help="Ping a WebSocket's client that has been silent this long; 0: never.",
    )
    websocket_pong_tolerance: float = option(
        3.0,
        kind=Kind.SECONDS,
        aliases=("websockets-pong-tolerance",),
        help="How long the client may take to answer a ping.",
    )
    disable_sendfile: bool = option(
        False, kind=Kind.BOOL, help="Copy files instead of using sendfile()."
    )
    ignore_sigpipe: bool = option(
        False, kind=Kind.BOOL, help="Do not log clients that went away while being written to."
    )
    ignore_write_errors: bool = option(
        False, kind=Kind.BOOL, help="Do not log failed writes to clients."
    )
    disable_write_exception: bool = option(
        False, kind=Kind.BOOL, help="Do not raise OSError in write() when the client is gone."
    )
