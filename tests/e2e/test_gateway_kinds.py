"""What every kind of gateway has in common: whoever names the backend, it is found alike."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from uwgate.subscriptions.packet import Packet, encode

from .backends import Backend
from .client import ask, request
from .processes import PATIENCE, free_port
from .statistics import nodes_of, wait_for_stats
from .test_fastrouter import packet
from .tls import Secure, client_context, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Start
    from .processes import Uwgate
    from .tls import Site

KINDS = ("http", "fastrouter", "rawrouter", "sslrouter")
KEY = "localhost"  # what is asked for; a rawrouter's key is its own address


@dataclass
class Gateways:
    """One instance with a gateway of each kind, and what each of them shows."""

    program: Uwgate
    ports: dict[str, int]
    folder: Path
    site: Site

    def key(self, kind: str) -> str:
        """The name that ``ask`` asks for."""
        return f"127.0.0.1:{self.ports[kind]}" if kind == "rawrouter" else KEY

    def ask(self, kind: str) -> str:
        """Whose name comes back."""
        address = ("127.0.0.1", self.ports[kind])
        if kind == "http":
            answer = ask(address, request(host=KEY))
            return answer.body.decode() if answer.status == 200 else str(answer.status)
        if kind == "sslrouter":
            with Secure(address, client_context(self.site), name=KEY) as secure:
                secure.send(request(host=KEY))
                return secure.answer().body.decode()
        with socket.create_connection(address, PATIENCE) as plain:
            plain.sendall(b"hello" if kind == "rawrouter" else packet(HTTP_HOST=KEY))
            return plain.makefile("rb").read().partition(b"\r\n\r\n")[2].decode()

    def stats(self, kind: str) -> str:
        return str(self.folder / f"{kind}.stats")


@pytest.fixture
def site(folder: Path) -> Site:
    return make_site(folder)


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend("alice")
    yield backend
    backend.close()


def gateways(
    uwgate: Start, folder: Path, site: Site, option: str, value: str = "", *more: str
) -> Gateways:
    """All kinds, each with ``--KIND-OPTION=VALUE``; ``{key}`` in the value is the kind's key."""
    ports = {kind: free_port() for kind in KINDS}
    arguments = [f"--{kind}=127.0.0.1:{ports[kind]}" for kind in KINDS[:-1]]
    arguments += [f"--sslrouter=127.0.0.1:{ports['sslrouter']},{site.pair}", "--sslrouter-sni"]
    arguments += [f"--{kind}-stats-server={folder}/{kind}.stats" for kind in KINDS]
    for kind in KINDS:
        key = f"127.0.0.1:{ports[kind]}" if kind == "rawrouter" else KEY
        text = value.format(kind=kind, key=key)
        arguments.append(f"--{kind}-{option}" + (f"={text}" if text else ""))
    program = uwgate(*arguments, "--processes=0", *more)
    program.wait_for_log("generation 1 serves")
    return Gateways(program, ports, folder, site)


def test_the_value_of_a_cache(uwgate: Start, folder: Path, site: Site, backend: Backend) -> None:
    port = free_port()  # of the rawrouter: its key is known only then
    gates = gateways(
        uwgate, folder, site, "use-cache", "nodes",
        "--cache2=name=first,items=5", "--cache2=name=nodes,items=5",
        f"--add-cache-item=nodes {KEY}=127.0.0.1:1|{backend.address},7",
        f"--rawrouter=127.0.0.1:{port}",
        f"--add-cache-item=nodes 127.0.0.1:{port}=127.0.0.1:1|{backend.address}",
        f"--cache-folder={folder}",
    )  # fmt: skip
    gates.ports["rawrouter"] = port
    assert [gates.ask(kind) for kind in KINDS] == ["alice"] * 4
    assert [head[0] for head in backend.heads[:2]] == [7, 7]  # modifier1


def test_what_a_function_says(uwgate: Start, folder: Path, site: Site, backend: Backend) -> None:
    (folder / "pick.py").write_text(
        f"def pick(key):\n    return b'{backend.address}' if key[:2] in (b'12', b'lo') else b''\n"
    )
    gates = gateways(uwgate, folder, site, "use-code-string", "0:pick.py:pick")
    assert [gates.ask(kind) for kind in KINDS] == ["alice"] * 4


def test_who_announced_itself_and_then_a_fallback(
    uwgate: Start, folder: Path, site: Site, backend: Backend
) -> None:
    other = Backend("bob")
    gates = gateways(
        uwgate, folder, site, "subscription-server", f"{folder}/{{kind}}.nodes",
        "--subscription-tolerance=600",
        *(f"--{kind}-fallback={other.address}" for kind in KINDS),
    )  # fmt: skip
    with contextlib.closing(other):
        assert [gates.ask(kind) for kind in KINDS] == ["bob"] * 4
        for kind in KINDS:
            announced = Packet(key=gates.key(kind), address=backend.address, modifier1=9)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(encode(announced), f"{folder}/{kind}.nodes")
                sender.sendto(b"nonsense", f"{folder}/{kind}.nodes")
        for kind in KINDS:
            wait_for_stats(gates.program, gates.stats(kind), nodes_of)
            assert gates.ask(kind) == "alice"
            document = wait_for_stats(
                gates.program, gates.stats(kind), lambda found: found["announcements"]["refused"]
            )
            announcements = document["announcements"]
            assert announcements == {"accepted": 1, "lost": 0, "refused": {"malformed": 1}}
            (node,) = nodes_of(document)
            assert (node["requests"], node["modifier1"]) == (1, 9)
        assert [head[0] for head in backend.heads[:2]] == [9, 9]
        # Whoever cannot be reached is followed by the fallback.
        backend.close()
        assert [gates.ask(kind) for kind in KINDS] == ["bob"] * 4
