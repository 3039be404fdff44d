"""A TLS connection with the manners of a non-blocking socket.

OpenSSL reads and writes the socket itself, so there is no buffer of ours in between. Two
things differ from a plain socket: bytes may be waiting inside OpenSSL, so only a
BlockingIOError says that nothing is left to read; and receiving may have to send first.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import socket
import termios
from typing import NoReturn

from OpenSSL import SSL

from uwgate.gateways.streams import SendFirst

# OpenSSL's words for a request in plain HTTP where a handshake should begin.
PLAIN_HTTP = frozenset(("http request", "https proxy request"))

_unread = array.array("i", [0])  # what FIONREAD answers (tcp(7))


class TlsError(ConnectionError):
    """The peer broke the protocol, or refused ours.

    ``reasons`` are OpenSSL's, the innermost first; ``is_plain_http`` says that the first bytes
    were an HTTP request.
    """

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(errno.EPROTO, reasons[-1] if reasons else "unknown error")
        self.reasons = reasons

    @property
    def is_plain_http(self) -> bool:
        return not PLAIN_HTTP.isdisjoint(self.reasons)


class TlsSocket:
    """The server's side of a connection on ``sock``, which it owns from now on.

    ``truncated``: what was sent is not complete, and the peer must be able to see that: closing
    sends no close_notify (RFC 8446 section 6.1).
    """

    __slots__ = ("_connection", "_ended", "_sock", "truncated")

    def __init__(self, context: SSL.Context, sock: socket.socket) -> None:
        self._sock = sock
        self._ended = False  # nothing is sent or decrypted any more
        self.truncated = False
        self._connection = connection = SSL.Connection(context, sock)
        connection.set_accept_state()
        # Many clients close without close_notify. HTTP says itself where a request ends, and
        # OpenSSL would take this for an error after which not even an answer can be sent.
        connection.set_options(SSL.OP_IGNORE_UNEXPECTED_EOF)

    @property
    def connection(self) -> SSL.Connection:
        """What the peer has negotiated is asked here."""
        return self._connection

    def fileno(self) -> int:
        return self._sock.fileno()

    def handshake(self) -> None:
        """Go on with the handshake; it is done when this returns.

        Raises:
            SendFirst: the socket has to become writable first.
            BlockingIOError: the peer has to send more first.
            TlsError: it failed. The peer has been told; what it still sends can be received,
                as it comes.
            OSError: the connection broke.
        """
        try:
            self._connection.do_handshake()
        except SSL.Error as error:
            self._ended = not isinstance(error, (SSL.WantReadError, SSL.WantWriteError))
            self.truncated = self._ended
            _translate(error)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """At most ``size`` bytes; empty when the peer sends no more. MSG_PEEK leaves them there.

        After ``shutdown`` and after a failed handshake, what comes is not decrypted: it can
        only be thrown away.

        Raises:
            BlockingIOError: nothing is left. SendFirst: wait for the other direction.
            OSError: the connection broke.
        """
        if self._ended:
            return self._sock.recv(size, flags)
        try:
            return self._connection.recv(size, flags)
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:
            _translate(error)

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as goes; returns how many bytes that was.

        The next call must continue with the byte behind those, and offer no less than was left:
        OpenSSL may hold a record of it that the socket did not take.

        Raises:
            BlockingIOError: nothing could be sent.
            OSError: the connection broke.
        """
        if self._ended:
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        send = self._connection.send
        try:
            sent = send(data)
        except SSL.Error as error:
            _translate(error)
        if sent == len(data):
            return sent
        rest = memoryview(data)[sent:]
        while rest:  # a record each, 16 KiB
            try:
                sent = send(rest)
            except (SSL.WantWriteError, SSL.WantReadError):
                break
            except SSL.Error as error:
                _translate(error)
            rest = rest[sent:]
        return len(data) - len(rest)

    def send_plain(self, data: bytes) -> None:
        """Send bytes as they are, in one try; for a client that does not speak TLS."""
        with contextlib.suppress(OSError):
            self._sock.send(data)

    def has_pending(self) -> bool:
        """Whether more can be read without an event that is still to come.

        OpenSSL takes no more from the socket than the record that it reads, so that what it
        holds and what the kernel holds are all there is; it is cheaper to ask than to try.
        """
        if self._connection.pending():
            return True
        fcntl.ioctl(self._sock.fileno(), termios.FIONREAD, _unread)
        return _unread[0] > 0

    def has_unread(self) -> bool:
        """Whether closing now would reset the connection, for there are bytes of the peer."""
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """As of a socket. SO_LINGER ends a connection by force, so without close_notify."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.truncated = True
        self._sock.setsockopt(level, option, value)

    def shutdown(self, how: int) -> None:
        """Send no more, and say so. What the peer still sends can be received, and is noise."""
        self._say_goodbye()
        self._sock.shutdown(how)

    def close(self) -> None:
        """Say that it is the end, unless it is ``truncated``, and close at once."""
        if self._sock.fileno() >= 0:
            self._say_goodbye()
            self._sock.close()

    def _say_goodbye(self) -> None:
        # Only once, and in one try: nobody waits for the peer's close_notify (RFC 8446
        # section 6.1 asks for none), and a socket that takes nothing gets none of ours.
        if not self._ended and not self.truncated:
            with contextlib.suppress(SSL.Error):
                self._connection.shutdown()
        # From here on OpenSSL must not touch the descriptor, whose number may go to another.
        self._ended = True


class TlsStream(TlsSocket):
    """The same for bytes of any protocol, where each direction ends by itself.

    A client that ends its side without a close_notify has ended it all the same: so many do that
    nobody could be served who takes it for a break.
    """

    __slots__ = ()

    def recv_into(self, buffer: memoryview) -> int:
        """As ``recv``; returns how many bytes came."""
        try:
            return self._connection.recv_into(buffer)
        except SSL.ZeroReturnError:
            return 0
        except SSL.Error as error:
            _translate(error)

    def shutdown(self, how: int) -> None:
        """Send no more, and say so. What the peer still sends is decrypted.

        Raises:
            BlockingIOError: what says so could not be sent yet.
            OSError: the connection broke.
        """
        try:
            self._connection.shutdown()
        except SSL.Error as error:
            _translate(error)
        self._sock.shutdown(how)


def _translate(error: SSL.Error) -> NoReturn:
    """Raise what a socket would have raised."""
    match error:
        case SSL.WantReadError():
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        case SSL.WantWriteError():
            raise SendFirst(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        case SSL.ZeroReturnError():
            raise ConnectionResetError(errno.ECONNRESET, "closed by the peer") from None
        case SSL.SysCallError(args=(int(number), _)) if number > 0:
            raise OSError(number, os.strerror(number)) from None
        case SSL.SysCallError():
            raise ConnectionResetError(errno.ECONNRESET, "closed by the peer") from None
        case _:
            raise TlsError(reasons_of(error)) from None


def reasons_of(error: SSL.Error) -> list[str]:
    """OpenSSL's words for what went wrong, the innermost first."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return [str(entry[2]) for entry in queue if len(entry) == 3 and entry[2]]
