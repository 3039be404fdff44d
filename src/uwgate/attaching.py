"""The listening sockets that zerg servers give to this instance.

A process of its own asks for them (``uwgate.gateways.zerg.attach``); here they arrive.
"""

from __future__ import annotations

import array
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from uwgate.binding import Bound, adopt
from uwgate.conf.address import Address, AddressKind
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.conf.settings import Settings
from uwgate.gateways.wire.zerg import MAX_SOCKETS

log = logging.getLogger("uwgate.master")

ROOM = socket.CMSG_SPACE(MAX_SOCKETS * array.array("i").itemsize)  # bytes
MAX_ANSWER = 65536  # bytes
SPARE = 10.0  # seconds on top of zerg-timeout, for a process to start


@dataclass(frozen=True, slots=True)
class Gift:
    """What one zerg server gave: descriptors, or the reason why there are none."""

    descriptors: tuple[int, ...] = ()
    error: str = ""


Gifts = Mapping[str, Gift]  # by the path of the server
NONE: Gifts = {}
STEM = "zerg "  # how the keys of such sockets begin


def attach(settings: Settings) -> Gifts:
    """Ask all zerg servers that the settings name; blocks for ``zerg-timeout`` at most.

    Relative paths are those below ``chdir``, as for sockets of our own.
    """
    paths = list(dict.fromkeys(path for _, path in settings.zergs))
    if not paths:
        return NONE
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        limit = settings.zerg.zerg_timeout
        command = [sys.executable, "-P", "-m", "uwgate.gateways.zerg.attach"]
        process = subprocess.Popen(
            [*command, str(theirs.fileno()), str(limit), *(_full(settings, one) for one in paths)],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            process_group=0,
        )
        theirs.close()
        ours.settimeout(limit + SPARE)
        try:
            return dict(zip(paths, _answers(ours, len(paths)), strict=True))
        finally:
            process.kill()
            process.wait()


def dispose(gifts: Gifts) -> None:
    """Close what was given. What has been taken up is a duplicate."""
    for gift in gifts.values():
        for fd in gift.descriptors:
            os.close(fd)


def _full(settings: Settings, path: str) -> str:
    chdir = settings.application.chdir
    return path if chdir is None or path.startswith(("@", "\\0")) else os.path.join(chdir, path)


def _answers(link: socket.socket, count: int) -> Iterator[Gift]:
    for _ in range(count):
        try:
            packet, ancillary, _, _ = link.recvmsg(MAX_ANSWER, ROOM, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            packet, ancillary = b"", []
            log.error("zerg servers are not asked any more: %s", error)
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        if not packet:
            yield Gift(error="the process that asks it has died")
        else:
            yield Gift(tuple(descriptors), json.loads(packet).get("error", ""))


def _take_up(
    option: str,
    path: str,
    gifts: Gifts,
    options: SocketOptions,
    previous: Mapping[str, Bound],
    *,
    may_fail: bool,
) -> dict[str, Bound]:
    """The sockets of one zerg server, by key.

    One that ``previous`` has already is kept. If the server gives none, all that it gave before
    are; ``may_fail``: else there are none.

    Raises:
        ConfigError: it has given nothing that could be used, and never did.
    """
    stem = f"{STEM}{path} "
    gift = gifts.get(path) or Gift(error="it was not asked")
    known = {key: bound for key, bound in previous.items() if key.startswith(stem)}
    if gift.error:
        reason = f"{option} = {path}: {gift.error}"
        if known:
            log.warning("%s; what it gave before is kept", reason)
        elif may_fail:
            log.warning("%s; going on without it (zerg-fallback)", reason)
        else:
            raise ConfigError(reason)
        return known
    by_inode = {_inode(bound): bound for bound in known.values()}
    taken: dict[str, Bound] = {}
    for fd in gift.descriptors:
        number = os.fstat(fd).st_ino
        key = f"{stem}{number}"
        if key not in taken:
            taken[key] = by_inode.get(number) or adopt(fd, f"{option} = {path}", options)
    return taken


def _inode(bound: Bound) -> int:
    """What tells a socket from all others, whichever descriptors it has."""
    return os.fstat(bound.socket.fileno()).st_ino


def _is_at(bound: Bound, address: Address) -> bool:
    """Whether a socket is bound to an address that an option names."""
    match address.kind:
        case AddressKind.TCP:
            host = address.host or "0.0.0.0"
            name = f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
            return bound.name == name
        case AddressKind.UNIX:
            is_path = bound.socket.family == socket.AF_UNIX and not bound.name.startswith("@")
            return is_path and os.path.abspath(bound.name) == os.path.abspath(address.path)
        case AddressKind.ABSTRACT:
            return bound.name == f"@{address.path}"
        case AddressKind.FD | AddressKind.SHARED:
            return False


class Given:
    """What one reading of the configuration has from zerg servers. ``roles`` are by key.

    ``worker_role`` is the role of those that workers serve.
    """

    def __init__(
        self,
        settings: Settings,
        options: SocketOptions,
        gifts: Gifts,
        previous: Mapping[str, Bound],
        worker_role: str,
    ) -> None:
        self.roles: dict[str, str] = {}
        self._settings = settings
        self._options = options
        self._gifts = gifts
        self._previous = previous
        self._worker_role = worker_role
        self._bound: dict[str, Bound] = {}

    def take(self, bound: dict[str, Bound]) -> None:
        """Put the sockets into ``bound``; one that two servers gave is one socket.

        Raises:
            ConfigError: a server gave nothing.
        """
        inodes: set[int] = set()
        for option, path in self._settings.zergs:
            taken = _take_up(
                option,
                path,
                self._gifts,
                self._options,
                self._previous,
                may_fail=self._settings.zerg.zerg_fallback,
            )
            role = self._role(option)
            for key, one in taken.items():
                inode = _inode(one)
                if inode not in inodes:
                    inodes.add(inode)
                    bound[key] = self._bound[key] = one
                    self.roles[key] = role
                elif one is not self._previous.get(key) and key not in bound:
                    one.socket.close()

    def _role(self, option: str) -> str:
        if option == "zerg":
            return self._worker_role
        kind = option.removesuffix("-zerg")
        # No option names certificates for these.
        return "sslrouter-passthrough" if kind == "sslrouter" else kind

    def key_of(self, address: Address) -> str | None:
        """The key of a socket with this address, None if there is none."""
        return next((key for key, one in self._bound.items() if _is_at(one, address)), None)
