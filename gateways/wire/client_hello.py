"""The first message of a TLS client: whom it asks for, and what it wants to speak there.

Nothing of it is changed or answered, and nothing is believed but where it says a name. After
RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3 (server_name) and RFC 7301 section 3.1 (ALPN).
Of a hello that is encrypted (ECH) the outer one is read, which names whoever can decrypt it.
"""

from __future__ import annotations

from dataclasses import dataclass

HANDSHAKE = 22  # content type of a record
ALERT = 21
CLIENT_HELLO = 1  # type of a handshake message
MAX_FRAGMENT = 1 << 14  # bytes in a record, RFC 8446 section 5.1
MAX_HELLO = 1 << 14  # bytes of the message; today's largest, with hybrid key shares, have 2,000
MAX_BYTES = 1 << 15  # with the records' heads, of which there may be one for each byte
RECORD_HEAD = 5
MESSAGE_HEAD = 4

SERVER_NAME = 0
ALPN = 16
ENCRYPTED_CLIENT_HELLO = 0xFE0D

# Alerts, RFC 8446 section 6.
UNEXPECTED_MESSAGE = 10
DECODE_ERROR = 50
INTERNAL_ERROR = 80
UNRECOGNIZED_NAME = 112


class HelloError(ValueError):
    """What a client sends is no TLS, or its hello is malformed or too large.

    ``alert`` is the code that says so to the client.
    """

    def __init__(self, text: str, alert: int = DECODE_ERROR) -> None:
        super().__init__(text)
        self.alert = alert


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHello:
    """``server_name`` is as it was sent, empty if there was none; ``protocols`` are those of ALPN.

    ``is_encrypted``: there is another hello inside.
    """

    server_name: bytes = b""
    protocols: tuple[bytes, ...] = ()
    is_encrypted: bool = False


def fatal_alert(code: int) -> bytes:
    """A record that tells a client why its handshake ends."""
    return bytes((ALERT, 3, 3, 0, 2, 2, code))


class HelloReader:
    """Finds the hello at the head of what a client sends, however it is cut.

    ``received`` is everything that was fed, as it has to go on to somebody else.
    """

    __slots__ = ("_at", "_message", "received")

    def __init__(self) -> None:
        self.received = bytearray()
        self._at = 0  # bytes of it that belong to whole records
        self._message = bytearray()

    def feed(self, data: bytes) -> ClientHello | None:
        """Take what has come; None while bytes are missing.

        Raises:
            HelloError: it will never be a hello.
        """
        received, message = self.received, self._message
        received += data
        while (size := self._fragment()) is not None:
            message += received[self._at + RECORD_HEAD : self._at + RECORD_HEAD + size]
            self._at += RECORD_HEAD + size
            length = _message_length(message)
            if length is not None and len(message) >= length:
                return parse(bytes(message[MESSAGE_HEAD:length]))
        if len(received) >= MAX_BYTES:
            raise HelloError(f"hello of more than {MAX_BYTES} bytes with its records")
        return None

    def _fragment(self) -> int | None:
        """The size of the next record's fragment; None: it is not all here."""
        head = self.received[self._at : self._at + RECORD_HEAD]
        # What can be told is told at once: who speaks no TLS may wait for an answer.
        if head and head[0] != HANDSHAKE:
            raise HelloError("no TLS handshake", UNEXPECTED_MESSAGE)
        if len(head) > 1 and head[1] != 3:
            raise HelloError(f"record of version {head[1]}", UNEXPECTED_MESSAGE)
        if len(head) < RECORD_HEAD:
            return None
        size = head[3] << 8 | head[4]
        if not 0 < size <= MAX_FRAGMENT:
            raise HelloError(f"record of {size} bytes")
        return size if len(self.received) >= self._at + RECORD_HEAD + size else None


def _message_length(message: bytearray) -> int | None:
    """The length of the message with its head; None while that is missing."""
    if message and message[0] != CLIENT_HELLO:
        raise HelloError(f"handshake message of type {message[0]}", UNEXPECTED_MESSAGE)
    if len(message) < MESSAGE_HEAD:
        return None
    length = int.from_bytes(message[1:MESSAGE_HEAD], "big")
    if length > MAX_HELLO:
        raise HelloError(f"hello of {length} bytes, limit {MAX_HELLO}")
    return MESSAGE_HEAD + length


class _Reader:
    """Vectors one behind the other (RFC 8446 section 3.4)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self._at + size
        if end > len(self._data):
            raise HelloError("hello cut short")
        data = self._data[self._at : end]
        self._at = end
        return data

    def number(self, size: int) -> int:
        """A number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Bytes behind their length, which has ``size`` bytes."""
        return self.take(self.number(size))


def parse(body: bytes) -> ClientHello:
    """A hello without the head of its message.

    Raises:
        HelloError: it is malformed.
    """
    reader = _Reader(body)
    reader.take(2 + 32)  # version and random
    if len(reader.vector(1)) > 32:
        raise HelloError("session identifier of more than 32 bytes")
    suites = reader.vector(2)
    if not suites or len(suites) % 2:
        raise HelloError(f"cipher suites of {len(suites)} bytes")
    if not reader.vector(1):
        raise HelloError("no compression method, not even none")
    extensions = _Reader(reader.vector(2)) if reader else _Reader(b"")
    if reader:
        raise HelloError("bytes behind the extensions")
    found: dict[int, bytes] = {}
    while extensions:
        kind = extensions.number(2)
        data = extensions.vector(2)
        if kind in found:
            raise HelloError(f"extension {kind} stands there twice")
        found[kind] = data
    return ClientHello(
        server_name=_server_name(found[SERVER_NAME]) if SERVER_NAME in found else b"",
        protocols=_protocols(found[ALPN]) if ALPN in found else (),
        is_encrypted=ENCRYPTED_CLIENT_HELLO in found,
    )


def _server_name(data: bytes) -> bytes:
    outer = _Reader(data)
    names = _Reader(outer.vector(2))
    if outer or not names:
        raise HelloError("list of server names that is none")
    found = b""
    while names:
        kind = names.number(1)
        name = names.vector(2)
        if not name:
            raise HelloError("server name without a letter")
        if kind == 0:
            if found:
                raise HelloError("two server names")
            found = name
    return found


def _protocols(data: bytes) -> tuple[bytes, ...]:
    outer = _Reader(data)
    names = _Reader(outer.vector(2))
    if outer or not names:
        raise HelloError("list of protocols that is none")
    found: list[bytes] = []
    while names:
        name = names.vector(1)
        if not name:
            raise HelloError("protocol without a name")
        found.append(name)
    return tuple(found)
