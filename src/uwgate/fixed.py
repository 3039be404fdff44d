"""Options that a reload cannot change, because what they want is done once."""

from __future__ import annotations

import logging

from uwgate.conf.settings import Settings

log = logging.getLogger("uwgate.master")

FIXED_OPTIONS = (
    *(("master", name) for name in ("pidfile", "pidfile2", "daemonize", "max_fd")),
    ("master", "master_fifo"),
    *(("log", name) for name in ("logto", "logto2", "log_maxsize", "log_backupname")),
    ("log", "log_master"),
    ("sockets", "umask"),
    ("cache", "cache_folder"),
)


def warn(old: Settings, new: Settings) -> None:
    """Say which of them a reload would have changed."""
    changed = [
        name.replace("_", "-")
        for group, name in FIXED_OPTIONS
        if getattr(getattr(new, group), name) != getattr(getattr(old, group), name)
    ]
    if changed:
        log.warning("only a restart changes %s; the old value stays", ", ".join(changed))
