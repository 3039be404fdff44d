"""Names of users and groups, looked up before anything starts."""

from __future__ import annotations

import os

from uwgate.conf.errors import ConfigError
from uwgate.conf.privileges import find_group, find_user
from uwgate.conf.settings import COREROUTERS, Settings

Owner = tuple[int, int]  # user and group as chown(2) takes them: -1 leaves one as it is
KEEP_OWNER: Owner = (-1, -1)


def find_owner(text: str, option: str) -> Owner:
    """User and group of ``user``, ``user:group`` or ``:group``; -1 where none is named.

    Raises:
        ConfigError: one of them does not exist.
    """
    user, _, group = text.partition(":")
    return (
        find_user(user, option) if user else -1,
        find_group(group, option) if group else -1,
    )


def socket_owner(settings: Settings) -> Owner:
    """Who owns the files of UNIX sockets: chown-socket, else whom uid and gid name.

    uWSGI makes them after it has become that user.

    Raises:
        ConfigError: an unknown name.
    """
    if settings.sockets.chown_socket is not None:
        return find_owner(settings.sockets.chown_socket, "chown-socket")
    return child_owner(settings)


def child_owner(settings: Settings) -> Owner:
    """Whom the options uid and gid name; -1 where they name nobody.

    Raises:
        ConfigError: an unknown name.
    """
    master = settings.master
    return (
        find_user(master.uid, "uid") if master.uid is not None else -1,
        find_group(master.gid, "gid") if master.gid is not None else -1,
    )


def check(settings: Settings) -> None:
    """See that the children can become who the options say.

    Raises:
        ConfigError: an unknown name, or a change that only root may make.
    """
    master = settings.master
    users, groups = [("uid", master.uid)], [("gid", master.gid)]
    for kind in COREROUTERS:
        core = settings.corerouter(kind)
        users.append((f"{kind}-uid", core.uid))
        groups.append((f"{kind}-gid", core.gid))
    groups += [("add-gid", name) for name in master.add_gid]
    root = os.geteuid() == 0
    for option, name in users:
        if name is not None and find_user(name, option) != os.geteuid() and not root:
            raise ConfigError(f"{option} = {name}: only root can become another user")
    own_groups = {os.getegid(), *os.getgroups()}
    for option, name in groups:
        if name is not None and find_group(name, option) not in own_groups and not root:
            raise ConfigError(f"{option} = {name}: only root can join another group")


def runs_as_root(settings: Settings) -> bool:
    """Whether requests would be handled with root's power."""
    return os.geteuid() == 0 and (
        settings.master.uid is None or find_user(settings.master.uid, "uid") == 0
    )
