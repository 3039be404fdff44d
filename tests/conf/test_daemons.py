"""conf/daemons.py: what attach-daemon and its like say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from uwgate.conf.daemons import (
    CHECKS,
    DaemonSpec,
    read_control_daemon,
    read_daemon,
    read_daemon2,
    read_legion_daemon,
    read_legion_smart_daemon2,
    read_smart_daemon,
    read_smart_daemon2,
)
from uwgate.conf.errors import ConfigError

Read = Callable[[str], DaemonSpec]


@pytest.mark.parametrize(
    ("read", "text", "spec"),
    [
        (read_daemon, "redis-server --port 1", DaemonSpec(command="redis-server --port 1")),
        (read_control_daemon, "beat", DaemonSpec(command="beat", is_control=True)),
        (read_smart_daemon, "/run/x.pid x -d", DaemonSpec(command="x -d", pidfile="/run/x.pid")),
        (read_smart_daemon, "x.pid,3 x", DaemonSpec(command="x", pidfile="x.pid", checks=3)),
        (
            read_smart_daemon2,
            "x.pid x",
            DaemonSpec(command="x", pidfile="x.pid", daemonize=True, checks=CHECKS),
        ),
        (read_legion_daemon, "ring x y", DaemonSpec(command="x y", legion="ring")),
        (
            read_legion_smart_daemon2,
            "ring x.pid,2 y",
            DaemonSpec(command="y", legion="ring", pidfile="x.pid", checks=2, daemonize=True),
        ),
        (
            read_daemon2,
            "cmd=a\\,b,freq=2,pidfile=p,daemonize=0,touch=x;y,stopsignal=2,reloadsignal=1,uid=3,"
            "gid=4,chdir=/,max_throttle=9,notifypid=1,legion=ring",
            DaemonSpec(
                command="a,b",
                checks=2,
                pidfile="p",
                daemonize=True,
                touch=("x", "y"),
                stop_signal=2,
                reload_signal=1,
                user=3,
                group=4,
                directory="/",
                longest_pause=9,
                notify=True,
                legion="ring",
            ),
        ),
    ],
)
def test_a_value_says_what_runs_and_how(read: Read, text: str, spec: DaemonSpec) -> None:
    assert read(text) == spec


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_daemon, " "),
        (read_smart_daemon, "x.pid"),
        (read_smart_daemon, "x.pid,0 x"),
        (read_smart_daemon, "x.pid,x x"),
        (read_smart_daemon, ",3 x"),
        (read_legion_daemon, "ring"),
        (read_legion_daemon, "ring "),
        (read_daemon2, "freq=1"),
        (read_daemon2, "cmd=x,exec=y"),
        (read_daemon2, "cmd=x,what=y"),
        (read_daemon2, "cmd=x,daemonize=1"),
        (read_daemon2, "cmd=x,pidfile=p,control=1"),
        (read_daemon2, "cmd=x,stopsignal=65"),
        (read_daemon2, "cmd=x,uid=root"),
        (read_daemon2, "cmd=x,stdin=1"),
        (read_daemon2, "cmd=x,ns_pid=1"),
        (read_daemon2, "x"),
    ],
)
def test_what_cannot_be_meant_is_an_error(read: Read, text: str) -> None:
    with pytest.raises(ConfigError):
        read(text)
