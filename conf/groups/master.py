"""The master: privileges, daemon life, reload and stop (spec/workers.md sections 2 to 9)."""

from __future__ import annotations

from dataclasses import dataclass

from uwgate.conf.option import Kind, option
from uwgate.conf.writefifo import parse_write_fifo


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterOptions:
    """What the master does for everybody."""

    uid: str | None = option(
        None, kind=Kind.TEXT, help="Run everything but the master as this user."
    )
    gid: str | None = option(
        None, kind=Kind.TEXT, help="Run everything but the master as this group."
    )
    add_gid: tuple[str, ...] = option((), kind=Kind.TEXT, help="Add a supplementary group.")
    no_initgroups: bool = option(
        False, kind=Kind.BOOL, help="Do not take over the user's supplementary groups."
    )
    pidfile: str | None = option(
        None, kind=Kind.PATH, aliases=("safe-pidfile",), help="Write the master's pid here."
    )
    pidfile2: str | None = option(
        None, kind=Kind.PATH, aliases=("safe-pidfile2",), help="A second pid file."
    )
    daemonize: str | None = option(
        None, kind=Kind.PATH, short="d", help="Go to the background and log to this file."
    )
    exit_on_reload: bool = option(False, kind=Kind.BOOL, help="Stop instead of reloading.")
    die_on_term: bool = option(
        True, kind=Kind.BOOL, help="SIGTERM stops; false makes it reload, as uWSGI does."
    )
    master_fifo: tuple[str, ...] = option(
        (), kind=Kind.PATH, help="Take commands of one letter here; digits choose one of several."
    )
    hook_accepting1_once: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=parse_write_fifo,
        help="When the first workers accept: writefifo:PATH TEXT.",
    )
    reload_mercy: float = option(
        60.0, kind=Kind.SECONDS, help="How long gateways may finish requests when they stop."
    )
    auto_procname: bool = option(
        True, kind=Kind.BOOL, help="Give processes names that say what they are."
    )
    procname: str | None = option(None, kind=Kind.TEXT, help="Name of every process.")
    procname_master: str | None = option(None, kind=Kind.TEXT, help="Name of the master.")
    procname_prefix: str | None = option(
        None, kind=Kind.TEXT, help="Put this in front of process names."
    )
    procname_prefix_spaced: str | None = option(
        None, kind=Kind.TEXT, help="Put this and a blank in front of process names."
    )
    procname_append: str | None = option(
        None, kind=Kind.TEXT, help="Put this behind process names."
    )
    max_fd: int = option(
        0, kind=Kind.INT, help="Descriptor limit of every process; 0: the hard limit."
    )
