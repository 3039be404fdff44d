"""Giving up root (spec/workers.md section 4)."""

from __future__ import annotations

# getaddrinfo imports it when it is first called. Another user may not be able to read this Python.
import encodings.idna  # noqa: F401
import grp
import os
import pwd
from collections.abc import Sequence

from uwgate.conf.errors import ConfigError


def drop(
    uid: str | None,
    gid: str | None,
    add_gid: Sequence[str] = (),
    no_initgroups: bool = False,
) -> None:
    """Become ``uid`` and ``gid``, each a name or a number; None leaves it as it is.

    A user by name brings its supplementary groups along, unless ``no_initgroups``. Naming
    what the process is already is no error, whoever it is.

    Raises:
        ConfigError: an unknown name, or the process may not do it.
    """
    user = None if uid is None else find_user(uid)
    group = None if gid is None else find_group(gid)
    extra = [find_group(one, "add-gid") for one in add_gid]
    if os.geteuid() != 0:
        _refuse_other("uid", uid, user, os.geteuid())
        _refuse_other("gid", gid, group, os.getegid())
        return
    try:
        if group is not None:
            os.setgid(group)
        if user is not None or group is not None or extra:
            os.setgroups([*_groups_of(user, group, no_initgroups), *extra])
        if user is not None:
            os.setuid(user)
    except OSError as error:
        raise ConfigError(f"cannot become uid {uid}, gid {gid}: {error.strerror}") from error
    _verify(user, group)


def find_user(name: str, option: str = "uid") -> int:
    """The number of a user, given by name or number; ``option`` is named in the error.

    Raises:
        ConfigError: there is no such user.
    """
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ConfigError(f"{option}: there is no user {name!r} on this machine") from None


def find_group(name: str, option: str = "gid") -> int:
    """The number of a group, given by name or number; ``option`` is named in the error.

    Raises:
        ConfigError: there is no such group.
    """
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(f"{option}: there is no group {name!r} on this machine") from None


def _groups_of(user: int | None, group: int | None, no_initgroups: bool) -> list[int]:
    if no_initgroups or user is None:
        return []
    try:
        entry = pwd.getpwuid(user)
    except KeyError:  # a number without a name has no groups
        return []
    return os.getgrouplist(entry.pw_name, entry.pw_gid if group is None else group)


def _refuse_other(option: str, name: str | None, wanted: int | None, current: int) -> None:
    if wanted is not None and wanted != current:
        raise ConfigError(f"{option} = {name}: only root can change it (we run as {current})")


def _verify(user: int | None, group: int | None) -> None:
    if user is not None and set(os.getresuid()) != {user}:
        raise ConfigError(f"still uid {os.getresuid()} after becoming {user}")
    if group is not None and set(os.getresgid()) != {group}:
        raise ConfigError(f"still gid {os.getresgid()} after becoming {group}")
    if user:
        try:
            os.setuid(0)
        except OSError:
            return
        raise ConfigError(f"could become root again after becoming uid {user}")
