"""A real uWSGI router takes what we announce: plain, signed, and with variables it does not know
(subscriptions/packet.py, subscriptions/signature.py)."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from uwgate.subscriptions.packet import Command, Packet, encode
from uwgate.subscriptions.signature import SCHEMES, Signer, load_private_key

from .peers import program, running
from .processes import PATIENCE, Process, free_port

KEYS = Path(__file__).parents[1] / "cases" / "subscriptions"
EVERYTHING = Packet(
    key="foo.com:8000",
    address="10.0.0.1:99",
    modifier1=5,
    modifier2=2,
    cores=6,
    load=4,
    weight=3,
    backup=1,
    proto="h",
    algo="lrc",
    free=2,
    via="gate-1",
)


class Router(Process):
    """A uWSGI with an HTTP router that nodes announce themselves to."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        port = free_port()
        argv = [program("uwsgi"), "--master", "--http", f"127.0.0.1:{port}"]
        argv += ["--http-subscription-server", f"{folder}/announce"]
        argv += ["--http-stats-server", f"{folder}/stats", "--subscription-tolerance=600"]
        argv += arguments
        super().__init__(argv, folder=folder, name="router")

    def hear(self, datagram: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(datagram, f"{self.folder}/announce")

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes that it knows, each with its key."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(f"{self.folder}/stats")
            slots = json.loads(sock.makefile("rb").read())["subscriptions"]
        return [{"key": slot["key"], **node} for slot in slots for node in slot["nodes"]]

    def wait_for_nodes(self, count: int) -> list[dict[str, Any]]:
        self.wait_for_socket(f"{self.folder}/stats")
        self.wait_for((self.folder / "announce").exists, "place for announcements")
        found: list[dict[str, Any]] = []

        def are_there() -> bool:
            found[:] = self.nodes()
            return len(found) == count

        self.wait_for(are_there, f"{count} nodes")
        return found


def test_every_variable_arrives_and_ours_do_no_harm(folder: Path) -> None:
    with running(router := Router(folder), stop=signal.SIGKILL):
        router.wait_for_nodes(0)
        router.hear(encode(EVERYTHING))
        (node,) = router.wait_for_nodes(1)
    names = ("key", "name", "modifier1", "modifier2", "cores", "load", "weight")
    assert [node[name] for name in names] == ["foo.com:8000", "10.0.0.1:99", 5, 2, 6, 4, 3]


def test_an_unsubscribe_is_followed(folder: Path) -> None:
    with running(router := Router(folder), stop=signal.SIGKILL):
        router.wait_for_nodes(0)
        router.hear(encode(EVERYTHING))
        router.wait_for_nodes(1)
        router.hear(
            encode(
                Packet(command=Command.UNSUBSCRIBE, key=EVERYTHING.key, address=EVERYTHING.address)
            )
        )
        router.wait_for_nodes(0)


@pytest.mark.parametrize("scheme", ["SHA1", "SHA256", "SHA512"])
@pytest.mark.parametrize("name", ["rsa", "ec"])
def test_a_signed_announcement_is_accepted_and_an_unsigned_is_not(
    folder: Path, scheme: str, name: str
) -> None:
    (folder / "foo.com_8000.pem").write_bytes((KEYS / f"{name}.pub.pem").read_bytes())
    key = load_private_key((KEYS / f"{name}.pem").read_bytes(), SCHEMES[scheme])
    signer = Signer(SCHEMES[scheme], key)
    router = Router(folder, "--subscriptions-sign-check", f"{scheme}:{folder}")
    with running(router, stop=signal.SIGKILL):
        router.wait_for_nodes(0)
        router.hear(encode(EVERYTHING))
        router.hear(signer.sign(Packet(key=EVERYTHING.key, address="10.0.0.2:99"), time.time()))
        (node,) = router.wait_for_nodes(1)
    assert node["name"] == "10.0.0.2:99"
