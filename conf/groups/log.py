"""What is logged, and where to (spec/workers.md section 22)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Log target, rotation and the request line."""

    logto: str | None = option(None, kind=Kind.PATH, help="Append the log to this file.")
    logto2: str | None = option(
        None, kind=Kind.PATH, help="Like logto; the file is made as the user that uid names."
    )
    log_maxsize: int = option(
        0, kind=Kind.BYTES, help="Rotate the log file when it is larger than this; 0: never."
    )
    log_backupname: str | None = option(
        None, kind=Kind.PATH, help="Name of the rotated file; without it FILE.UNIXTIME."
    )
    log_master: bool = option(False, kind=Kind.BOOL, help="Send all log lines through the master.")
    log_truncate: bool = option(False, kind=Kind.BOOL, help="Empty the log file at start.")
    logfile_chown: bool = option(
        False, kind=Kind.BOOL, help="Give the log file to the user that uid names."
    )
    log_requests: bool = option(
        True,
        kind=Kind.BOOL,
        name="disable-logging",
        short="L",
        inverted=True,
        help="Do not log requests.",
    )
    log_format: str | None = option(
        None,
        kind=Kind.TEXT,
        aliases=("logformat",),
        help="Request line of your own: text with %(uri), %(status), %(var.HTTP_HOST), ...; "
        "'uwsgi' is uWSGI's line, 'readable' a short one.",
    )
    log_4xx: bool = option(False, kind=Kind.BOOL, help="Log 4xx even with disable-logging.")
    log_5xx: bool = option(False, kind=Kind.BOOL, help="Log 5xx even with disable-logging.")
    log_slow: int = option(
        0, kind=Kind.INT, help="Log requests slower than this many ms even with disable-logging."
    )
    log_zero: bool = option(
        False, kind=Kind.BOOL, help="Log empty answers even with disable-logging."
    )
    log_big: int = option(
        0, kind=Kind.BYTES, help="Log answers larger than this even with disable-logging."
    )
    log_micros: bool = option(False, kind=Kind.BOOL, help="Log durations in microseconds.")
    log_x_forwarded_for: bool = option(
        False, kind=Kind.BOOL, help="Log the address that X-Forwarded-For names."
    )
    log_date: str | None = option(
        None,
        kind=Kind.TEXT,
        aliases=("logdate", "log-prefix"),
        optional_value=True,
        help="Put the date in front of log lines, in this strftime format.",
    )
    memory_report: bool = option(
        False, kind=Kind.BOOL, short="m", help="Put memory figures in front of request lines."
    )
