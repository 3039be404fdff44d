"""A cache of another instance, uWSGI or uwgate, by modifier1 111 on its uwsgi socket."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterator

from uwgate.caching import commands
from uwgate.caching.arithmetic import Operation, number_of
from uwgate.caching.commands import MODIFIER, Order, Success, Verb
from uwgate.caching.records import Item
from uwgate.conf.address import Address, AddressKind
from uwgate.gateways.wire.uwsgi import HEADER, PacketError

log = logging.getLogger("uwgate.cache")

MAX_VALUE = 64 << 20  # bytes that are taken from another instance
RECEIVE_SIZE = 65536


class Connection:
    """A blocking connection, all of which has to be over in ``limit`` seconds.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, address: Address, limit: float) -> None:
        self._ends = time.monotonic() + limit
        if address.kind is AddressKind.TCP:
            host = address.host or "127.0.0.1"
            self._sock = socket.create_connection((host, address.port), timeout=limit)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self._sock = socket.socket(socket.AF_UNIX)
            try:
                self._sock.settimeout(limit)
                self._sock.connect(address.sun_path)
            except BaseException:
                self._sock.close()
                raise

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: it does not take it, or not in time.
        """
        self._set_time()
        self._sock.sendall(data)

    def receive(self, most: int = RECEIVE_SIZE) -> bytes:
        """Some bytes; empty at the end.

        Raises:
            OSError: the connection broke, or time is over.
        """
        self._set_time()
        return self._sock.recv(most)

    def receive_exactly(self, size: int) -> bytes | None:
        """So many bytes; None: it was closed before.

        Raises:
            OSError: the connection broke, or time is over.
        """
        parts: list[bytes] = []
        while size:
            data = self.receive(min(size, 1 << 20))
            if not data:
                return None
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def _set_time(self) -> None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._sock.settimeout(left)


class RemoteCache:
    """See ``cache.Cache``. ``name`` empty: the other instance's default one.

    Every command has a connection of its own, and ``limit`` seconds.
    """

    def __init__(self, name: str, address: Address, limit: float) -> None:
        self._name = name
        self._address = address
        self._limit = limit

    def get(self, key: bytes) -> Item | None:
        """See ``Cache``."""
        with self._failing_quietly():
            answer = self._order(Order(Verb.GET, key, cache=self._name), b"")
            if answer is not None:
                return Item(answer[1], answer[0].expires)
        return None

    def exists(self, key: bytes) -> bool:
        """See ``Cache``."""
        return self._tell(Order(Verb.EXISTS, key, cache=self._name))

    def add(self, key: bytes, value: bytes, ttl: int = 0) -> bool:
        """See ``Cache``."""
        order = Order(Verb.SET, key, len(value), ttl, self._name)
        return bool(value) and self._tell(order, value)

    def update(self, key: bytes, value: bytes, ttl: int = 0) -> bool:
        """See ``Cache``."""
        order = Order(Verb.UPDATE, key, len(value), ttl, self._name)
        return bool(value) and self._tell(order, value)

    def calculate(self, key: bytes, operation: Operation, operand: int, ttl: int = 0) -> bool:
        """Always False: there is no such command. uWSGI would store the operand."""
        log.error("cache %s@%s: no calculating in another instance", self._name, self._address)
        return False

    def number(self, key: bytes) -> int:
        """The number of an item; 0 if there is none."""
        item = self.get(key)
        return 0 if item is None else number_of(item.value) or 0

    def delete(self, key: bytes) -> bool:
        """See ``Cache``."""
        return self._tell(Order(Verb.DELETE, key, cache=self._name))

    def clear(self) -> bool:
        """See ``Cache``."""
        return self._tell(Order(Verb.CLEAR, cache=self._name))

    def _tell(self, order: Order, value: bytes = b"") -> bool:
        with self._failing_quietly():
            return self._order(order, value) is not None
        return False

    def _order(self, order: Order, value: bytes) -> tuple[Success, bytes] | None:
        """The answer; None: there is none, which is how a miss looks."""
        if not order.key and order.verb is not Verb.CLEAR:
            return None
        packet = commands.encode_order(order)
        with contextlib.closing(Connection(self._address, self._limit)) as connection:
            connection.send(packet + value)
            head = connection.receive_exactly(HEADER.size)
            if head is None:
                return None
            modifier1, size, _ = HEADER.unpack(head)
            if modifier1 != MODIFIER:
                raise PacketError(f"answer with modifier1 {modifier1}")
            block = connection.receive_exactly(size)
            if block is None:
                raise PacketError("answer cut short")
            success = commands.decode_success(block)
            if success.status != commands.OK:
                return None
            if success.size > MAX_VALUE:
                raise PacketError(f"value of {success.size} bytes, limit {MAX_VALUE}")
            found = connection.receive_exactly(success.size) if success.size else b""
            if found is None:
                raise PacketError("value cut short")
            return success, found

    @contextlib.contextmanager
    def _failing_quietly(self) -> Iterator[None]:
        try:
            yield
        except ConnectionResetError:
            pass  # closed before it had read everything: how uWSGI refuses
        except (OSError, PacketError) as error:
            log.warning("cache %s@%s: %s", self._name, self._address, error)
