"""A node of ours in a legion of real nodes: a UDP socket around the codec and the election.

    python driver.py JSON

The argument: ``port`` to listen on at loopback, ``nodes`` (ports), ``legion``, ``valor``,
``quorum``, ``cipher`` (as in ``legion``), ``period``, ``tolerance`` and ``mode``. Prints a JSON
object for each action but sending. SIGTERM: it says goodbye and ends.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
import uuid

from uwgate.subscriptions.legion import packet, statement
from uwgate.subscriptions.legion.cipher import make_cipher
from uwgate.subscriptions.legion.election import (
    Action,
    Election,
    Identity,
    Rise,
    Send,
    StepDown,
    Timing,
)
from uwgate.subscriptions.legion.inbox import CompatibleInbox, SealedInbox
from uwgate.subscriptions.legion.packet import Announcement
from uwgate.subscriptions.legion.promises import PromiseElection
from uwgate.subscriptions.legion.sealed import Opener, Sealer, derive
from uwgate.subscriptions.legion.statement import Statement
from uwgate.subscriptions.legion.unanimity import UnanimousElection


def clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class CompatibleNode:
    """Speaks uWSGI's packets."""

    def __init__(self, given: dict[str, str], valor: int, quorum: int, timing: Timing) -> None:
        identity = Identity(str(uuid.uuid4()).encode(), socket.gethostname().encode(), valor)
        legion = given["legion"].encode()
        self.cipher = make_cipher(given["cipher"])
        self.inbox = CompatibleInbox(legion, identity.uuid, self.cipher, timing.skew)
        self.election = UnanimousElection(
            identity, legion=legion, pid=os.getpid(), quorum=quorum, timing=timing, now=clock()
        )

    def encode(self, message: Announcement) -> bytes:
        return packet.encode(message, self.cipher)

    def open(self, datagram: bytes) -> Announcement | None:
        return self.inbox.open(datagram, time.time())


class SealedNode:
    """Speaks sealed packets."""

    def __init__(self, given: dict[str, str], valor: int, quorum: int, timing: Timing) -> None:
        identity = Identity(uuid.uuid4().bytes, socket.gethostname().encode(), valor)
        legion = given["legion"].encode()
        suite, _, secret = given["cipher"].partition(":")
        master = derive(legion, secret.encode())
        self.sealer = Sealer(master, identity.uuid, suite)
        self.inbox = SealedInbox(legion, identity.uuid, Opener([master]))
        self.election = PromiseElection(identity, quorum=quorum, timing=timing, now=clock())

    def encode(self, message: Statement) -> bytes:
        return self.sealer.seal(message.sequence, statement.encode(message))

    def open(self, datagram: bytes) -> Statement | None:
        return self.inbox.open(datagram)


class Driver:
    """Moves datagrams and time; its hooks take no time."""

    def __init__(self, node: CompatibleNode | SealedNode, port: int, nodes: list[int]) -> None:
        self.node = node
        self.election: Election[Announcement | Statement] = node.election  # type: ignore[assignment]  # the node's kind of message only
        self.nodes = nodes
        self.ports: dict[bytes, int] = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.setblocking(False)

    def run(self) -> None:
        try:
            self.serve()
        except KeyboardInterrupt:
            self.do(self.election.leave(clock(), time.time()))

    def serve(self) -> None:
        while True:
            wait = max(self.election.next_time() - clock(), 0)
            select.select([self.socket], [], [], wait)
            self.do(self.election.tick(clock(), time.time()))
            while True:
                try:
                    datagram, (_, port) = self.socket.recvfrom(65536)
                except BlockingIOError:
                    break
                message = self.node.open(datagram)
                if message is None:
                    continue
                sender = message.uuid if isinstance(message, Announcement) else message.sender
                self.ports[sender] = port
                self.do(self.election.receive(message, clock(), time.time()))

    def do(self, actions: list[Action[Announcement | Statement]]) -> None:
        for action in actions:
            if isinstance(action, Send):
                datagram = self.node.encode(action.message)  # type: ignore[arg-type]  # its own kind
                for port in self.nodes if action.to is None else [self.ports[action.to]]:
                    self.socket.sendto(datagram, ("127.0.0.1", port))
                continue
            print(json.dumps({"action": type(action).__name__, "text": str(action)}), flush=True)  # noqa: T201  # what the test reads
            if isinstance(action, Rise):
                self.do(self.election.rose(clock(), time.time(), succeeded=True))
            elif isinstance(action, StepDown):
                self.do(self.election.fell(clock(), time.time()))


def main() -> None:
    given = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    timing = Timing(period=given["period"], tolerance=given["tolerance"])
    make = SealedNode if given["mode"] == "sealed" else CompatibleNode
    node = make(given, given["valor"], given["quorum"], timing)
    Driver(node, given["port"], given["nodes"]).run()


if __name__ == "__main__":
    main()
