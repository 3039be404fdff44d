"""Names of processes, as ps and top show them (uWSGI's procname options)."""

from __future__ import annotations

from uwgate.conf.groups.master import MasterOptions


def process_title(options: MasterOptions, role: str) -> str:
    """The title of a process; ``role`` is ``master``, ``spawner``, ``worker 1``, ``http 1``, ...

    Empty when the process keeps the name that it has.
    """
    if role == "master" and options.procname_master is not None:
        name = options.procname_master
    elif options.procname is not None:
        name = options.procname
    elif options.auto_procname:
        name = f"uwgate {role}"
    else:
        return ""
    if options.procname_prefix_spaced is not None:
        name = f"{options.procname_prefix_spaced} {name}"
    elif options.procname_prefix is not None:
        name = options.procname_prefix + name
    return name + (options.procname_append or "")


def set_title(text: str) -> None:
    """Show ``text`` as this process's title; without setproctitle only its first 15 bytes."""
    if not text:
        return
    try:
        from setproctitle import setproctitle
    except ImportError:
        try:
            with open("/proc/self/comm", "w") as comm:
                comm.write(text)
        except OSError:
            pass
    else:
        setproctitle(text)
