"""Programs beside the application: some always run, others at certain times.

See spec/workers.md sections 24 and 25.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from uwgate.conf import crontab, daemons
from uwgate.conf.crontab import Cron
from uwgate.conf.daemons import DaemonSpec
from uwgate.conf.option import Kind, option


@dataclass(frozen=True, slots=True, kw_only=True)
class AttendantOptions:
    """Programs that run as long as the instance, or at certain times."""

    cron: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=crontab.read_cron,
        help="MINUTE HOUR DAY MONTH WEEKDAY COMMAND; -1 is any, -N every N, and crontab's *, "
        "*/N, A-B and A,B are understood.",
    )
    unique_cron: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=crontab.read_unique_cron,
        help="The same, but not while the previous run lasts.",
    )
    legion_cron: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        aliases=("cron-legion",),
        check=crontab.read_legion_cron,
        help="LEGION and what cron has: only the lord runs it.",
    )
    unique_legion_cron: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        aliases=("unique-cron-legion",),
        check=crontab.read_unique_legion_cron,
        help="The same, but not while the previous run lasts.",
    )
    cron2: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=crontab.read_cron2,
        help="KEY=VALUE,... COMMAND with minute, hour, day, month, week, unique, harakiri and "
        "legion; all may be left out.",
    )
    curl_cron: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        aliases=("cron-curl",),
        check=crontab.read_curl_cron,
        help="MINUTE HOUR DAY MONTH WEEKDAY URL, which is asked; the log has the answer.",
    )
    legion_curl_cron: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        aliases=("legion-cron-curl", "curl-cron-legion", "cron-curl-legion"),
        check=crontab.read_legion_curl_cron,
        help="LEGION and what curl-cron has: only the lord asks.",
    )
    cron_harakiri: float = option(
        0.0, kind=Kind.SECONDS, help="How long a cron command may run; 0: as long as it likes."
    )
    attach_daemon: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=daemons.read_daemon,
        help="Keep this command running; a reload starts it anew.",
    )
    attach_control_daemon: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=daemons.read_control_daemon,
        help="The same, but the instance stops when the command ends.",
    )
    attach_daemon2: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=daemons.read_daemon2,
        help="KEY=VALUE,... with command, pidfile, freq, control, daemonize, touch, stopsignal, "
        "reloadsignal, uid, gid, chdir, max_throttle, notifypid and legion.",
    )
    smart_attach_daemon: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=daemons.read_smart_daemon,
        help="PIDFILE[,CHECKS] COMMAND, which goes into the background by itself and outlives "
        "the instance; started again when PIDFILE names nobody for CHECKS (10) seconds.",
    )
    smart_attach_daemon2: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=daemons.read_smart_daemon2,
        help="The same for a command that stays in the foreground.",
    )
    legion_attach_daemon: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=daemons.read_legion_daemon,
        help="LEGION and what attach-daemon has: it runs on the lord only.",
    )
    legion_smart_attach_daemon: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=daemons.read_legion_smart_daemon,
        help="LEGION and what smart-attach-daemon has: it runs on the lord only.",
    )
    legion_smart_attach_daemon2: tuple[str, ...] = option(
        (),
        kind=Kind.TEXT,
        check=daemons.read_legion_smart_daemon2,
        help="LEGION and what smart-attach-daemon2 has: it runs on the lord only.",
    )

    @property
    def has_work(self) -> bool:
        """Whether there is anything to run."""
        return any(getattr(self, field) for field in (*CRONS, *DAEMONS))

    @property
    def crons(self) -> list[Cron]:
        """What runs at certain times."""
        return [cron for _, cron in self.crons_by_option()]

    @property
    def daemons(self) -> list[DaemonSpec]:
        """What is kept running."""
        return [spec for _, spec in self.daemons_by_option()]

    def crons_by_option(self) -> Iterator[tuple[str, Cron]]:
        """The same, each with the name of its field."""
        for field, read in CRONS.items():
            for text in getattr(self, field):
                yield field, read(text)

    def daemons_by_option(self) -> Iterator[tuple[str, DaemonSpec]]:
        """The same, each with the name of its field."""
        for field, read in DAEMONS.items():
            for text in getattr(self, field):
                yield field, read(text)


CRONS = {
    "cron": crontab.read_cron,
    "unique_cron": crontab.read_unique_cron,
    "legion_cron": crontab.read_legion_cron,
    "unique_legion_cron": crontab.read_unique_legion_cron,
    "cron2": crontab.read_cron2,
    "curl_cron": crontab.read_curl_cron,
    "legion_curl_cron": crontab.read_legion_curl_cron,
}
DAEMONS = {
    "attach_daemon": daemons.read_daemon,
    "attach_control_daemon": daemons.read_control_daemon,
    "attach_daemon2": daemons.read_daemon2,
    "smart_attach_daemon": daemons.read_smart_daemon,
    "smart_attach_daemon2": daemons.read_smart_daemon2,
    "legion_attach_daemon": daemons.read_legion_daemon,
    "legion_smart_attach_daemon": daemons.read_legion_smart_daemon,
    "legion_smart_attach_daemon2": daemons.read_legion_smart_daemon2,
}
