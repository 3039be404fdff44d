"""One address becomes one listening socket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from uwgate.conf.address import Address, AddressKind
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.sockets import SocketOptions
from uwgate.identity import KEEP_OWNER, Owner
from uwgate.port_holder import find_holder

SIOCGIFADDR = 0x8915  # netdevice(7): the first IPv4 address of an interface
IP_FREEBIND = getattr(socket, "IP_FREEBIND", 15)
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")
PROBE_TIMEOUT = 1.0  # seconds; a living UNIX listener accepts or refuses at once


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket and how it came to be.

    ``name`` is the address as the kernel knows it. ``inode`` is (device, inode) of the
    file of a UNIX socket that we made, else None.
    """

    socket: socket.socket
    name: str
    inode: tuple[int, int] | None = None

    @property
    def is_in_place(self) -> bool:
        """Whether clients that use the name still reach this socket."""
        return self.inode is None or file_inode(self.name) == self.inode

    def remove_file(self) -> None:
        """Unlink the file of a UNIX socket, unless another one has taken its name."""
        if self.inode is not None and self.is_in_place:
            with contextlib.suppress(OSError):
                os.unlink(self.name)


def bind(
    address: Address,
    options: SocketOptions,
    *,
    owner: Owner = KEEP_OWNER,
    only_ipv6: bool = False,
) -> Bound:
    """Bind a TCP or UNIX address and listen on it, without blocking.

    ``owner`` gets the file of a UNIX socket.

    Raises:
        ConfigError: the address cannot be had; the text says why, and who has it.
    """
    match address.kind:
        case AddressKind.TCP:
            return _bind_tcp(address, options, only_ipv6=only_ipv6)
        case AddressKind.UNIX if options.abstract_socket:
            return _bind_abstract(address, options)
        case AddressKind.UNIX:
            return _bind_path(address, options, owner)
        case AddressKind.ABSTRACT:
            return _bind_abstract(address, options)
        case AddressKind.FD | AddressKind.SHARED:
            raise ConfigError(f"{address}: nothing that could be bound")


def bind_unnamed() -> Bound:
    """A socket for our own processes, bound to an abstract name that the kernel chose (unix(7))."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.bind("")
    sock.listen(4096)
    return Bound(sock, "@" + sock.getsockname()[1:].decode())


def adopt(fd: int, origin: str, options: SocketOptions) -> Bound:
    """A listening socket that was open when we started. ``origin`` names it in errors.

    Raises:
        ConfigError: the descriptor is not open, or not a listening stream socket.
    """
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        raise ConfigError(f"{origin}: descriptor {fd} is not open") from None
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{origin}: descriptor {fd} is not a socket")
    # A duplicate, so that closing it (a removed option) leaves the number to its giver.
    sock = socket.socket(fileno=fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3))
    if sock.type != socket.SOCK_STREAM or not sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    ):
        sock.close()
        raise ConfigError(f"{origin}: descriptor {fd} is not a listening stream socket")
    os.set_inheritable(fd, False)
    sock.setblocking(False)
    _tune(sock, options)
    return Bound(sock, socket_name(sock))


def with_possible_backlog(options: SocketOptions, note: Callable[[str], None]) -> SocketOptions:
    """The options with a backlog that the kernel allows; ``note`` gets a remark if it differs."""
    try:
        largest = int(SOMAXCONN.read_text())
    except (OSError, ValueError):
        return options
    if options.listen <= largest:
        return options
    note(f"listen = {options.listen}: the kernel allows {largest} (net.core.somaxconn)")
    return replace(options, listen=largest)


def relisten(bound: Bound, options: SocketOptions) -> None:
    """Give a socket that is kept through a reload the backlog that is configured now."""
    bound.socket.listen(options.listen)
    _tune(bound.socket, options)


def socket_name(sock: socket.socket) -> str:
    """The local address of a socket as text."""
    name = sock.getsockname()
    if isinstance(name, bytes):
        return "@" + os.fsdecode(name[1:].removesuffix(b"\0"))
    if isinstance(name, str):
        return name or "(unnamed)"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def file_inode(path: str) -> tuple[int, int] | None:
    """Device and inode of the file at ``path``, None if there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _bind_tcp(address: Address, options: SocketOptions, *, only_ipv6: bool) -> Bound:
    family, where = _resolve(address)
    with _closed_on_error(socket.socket(family, socket.SOCK_STREAM)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if options.reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if options.freebind:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        if only_ipv6 and family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(where)
            sock.listen(options.listen)
        except OSError as error:
            raise ConfigError(_explain_tcp(address, error)) from error
        sock.setblocking(False)
        _tune(sock, options)
        return Bound(sock, socket_name(sock))


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[str, int]]:
    host = address.host
    if host.endswith("*"):
        return socket.AF_INET, (_first_local(host, str(address)), address.port)
    try:
        found = socket.getaddrinfo(
            host or "0.0.0.0", address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise ConfigError(f"{address}: the host name {host!r} is unknown ({error})") from error
    # A name with both kinds of addresses means IPv4, as for uWSGI.
    found.sort(key=lambda one: one[0] != socket.AF_INET)
    family, _, _, _, where = found[0]
    return family, (str(where[0]), int(where[1]))


def _first_local(pattern: str, address: str) -> str:
    prefix = pattern[:-1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            with contextlib.suppress(OSError):  # an interface without an IPv4 address
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
                found = socket.inet_ntoa(answer[20:24])
                if found.startswith(prefix):
                    return found
    raise ConfigError(f"{address}: no local IPv4 address matches {pattern}")


def _explain_tcp(address: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = find_holder(address.port)
        return f"{address} is in use" + (f" by {holder}" if holder else " by another process")
    if error.errno == errno.EACCES:
        return f"{address}: ports below 1024 need root or CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address}: this machine has no such address (freebind binds it all the same)"
    return f"{address}: {error.strerror or error}"


def _bind_abstract(address: Address, options: SocketOptions) -> Bound:
    with _closed_on_error(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        try:
            # What abstract-socket makes abstract has no NUL behind it in uWSGI either.
            is_named = address.kind is AddressKind.ABSTRACT
            sock.bind(address.sun_path if is_named else f"\0{address.path}")
            sock.listen(options.listen)
        except OSError as error:
            reason = "in use" if error.errno == errno.EADDRINUSE else str(error.strerror)
            raise ConfigError(f"@{address.path}: {reason}") from error
        sock.setblocking(False)
        return Bound(sock, socket_name(sock))


def _bind_path(address: Address, options: SocketOptions, owner: Owner) -> Bound:
    path = address.path
    clear_way(path)
    with _closed_on_error(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        try:
            sock.bind(path)
        except OSError as error:  # Python's own error for a path that is too long has no number
            reason = error.strerror or str(error)
            raise ConfigError(f"{path}: cannot make the socket: {reason}") from error
        bound = Bound(sock, os.path.abspath(path), file_inode(path))
        try:
            # Before listen(): nobody gets in while the permissions are not yet right.
            set_permissions(bound, options, owner)
            sock.listen(options.listen)
        except (OSError, ConfigError) as error:
            bound.remove_file()
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path}: {error.strerror}") from error
        sock.setblocking(False)
        return bound


def set_permissions(bound: Bound, options: SocketOptions, owner: Owner) -> None:
    """Apply chmod-socket and the owner to the file of a UNIX socket.

    Raises:
        ConfigError: only root may give it to this owner.
    """
    if bound.inode is None:
        return
    if options.chmod_socket is not None:
        os.chmod(bound.name, options.chmod_socket)
    if owner != KEEP_OWNER:
        try:
            os.chown(bound.name, *owner)
        except OSError as error:
            raise ConfigError(
                f"{bound.name}: cannot be given to user and group {owner}: {error.strerror}"
            ) from error


def clear_way(path: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """Remove a UNIX socket that nobody serves; whatever else stands at ``path`` stays.

    Raises:
        ConfigError: something else stands there, or it is in use.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise ConfigError(f"{path} is a directory; a UNIX socket needs a file name of its own")
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} exists and is not a socket; it is left alone")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.settimeout(PROBE_TIMEOUT)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            pass
        except OSError as error:  # a full backlog, another type of socket, no permission
            raise ConfigError(f"{path} is in use ({error.strerror or error})") from error
        else:
            does = "listens" if kind == socket.SOCK_STREAM else "receives"
            raise ConfigError(f"{path} is in use: somebody {does} there")
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot replace the old socket: {error.strerror}") from error


def _tune(sock: socket.socket, options: SocketOptions) -> None:
    # Linux: accepted connections take these over from the listener, so nobody
    # spends a system call per connection on them.
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(options.tcp_nodelay))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(options.so_keepalive))


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[socket.socket]:
    try:
        yield sock
    except BaseException:
        sock.close()
        raise
