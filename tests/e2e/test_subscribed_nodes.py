"""Nodes announce themselves to our gateways in all ways that there are, and serve through them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .client import ask, request
from .peers import program, uwsgi
from .processes import APPS, PATIENCE, free_port
from .statistics import nodes_of, read_raw, wait_for_stats
from .test_fastrouter import packet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Start
    from .processes import Process

CASES = Path(__file__).parents[1] / "cases" / "subscriptions"
KINDS = ("http", "fastrouter")
# One name for each option and each kind of socket of a server.
NAMES = ("to-udp.example", "to-unix.example", "two-udp.example", "two-unix.example")


def make_keys(folder: Path, scheme: str) -> tuple[list[str], str]:
    """The option that checks signatures, and what nodes sign with; nothing for no scheme."""
    if not scheme:
        return [], ""
    keys = folder / "keys"
    keys.mkdir()
    private, public = CASES / "rsa.pem", CASES / "rsa.pub.pem"
    if scheme == "ED25519":
        openssl = program("openssl")
        private, public = folder / "private.pem", folder / "public.pem"
        make = [openssl, "genpkey", "-algorithm", "ed25519", "-out", str(private)]
        subprocess.run(make, check=True, timeout=PATIENCE)
        export = [openssl, "pkey", "-in", str(private), "-pubout", "-out", str(public)]
        subprocess.run(export, check=True, timeout=PATIENCE)
    for name in NAMES:
        shutil.copy(public, keys / f"{name}.pem")
    return ["--subscriptions-sign-check", f"{scheme}:{keys}"], f"{scheme}:{private}"


def subscriptions(udp: str, unix: str, sign: str) -> list[str]:
    """A node's options, for the servers of one gateway."""
    simple = f",0,{sign}" if sign else ""
    pair = f",sign={sign}" if sign else ""
    return [
        f"--subscribe-to={udp}:{NAMES[0]}{simple}",
        f"--subscribe-to={unix}:{NAMES[1]}{simple}",
        f"--subscribe2=server={udp},key={NAMES[2]}{pair}",
        f"--subscribe2=server={unix},key={NAMES[3]}{pair}",
    ]


@contextlib.contextmanager
def node(folder: Path, uwgate: Start, who: str, options: list[str]) -> Iterator[Process]:
    """Workers of uWSGI or ours, until they have said goodbye."""
    options = ["--socket", f"127.0.0.1:{free_port()}", *options]
    if who == "uwsgi":
        with uwsgi(folder, *options, name="node", app="witness.py") as theirs:
            yield theirs
    else:
        ours = uwgate(*options, "--wsgi-file", str(APPS / "witness.py"), name="node")
        yield ours
        assert ours.stop() == 0


@pytest.mark.parametrize(
    ("who", "scheme"), [("uwsgi", ""), ("uwsgi", "SHA256"), ("uwgate", "ED25519")]
)
def test_nodes_serve_whatever_way_they_came_and_go_with_a_goodbye(
    folder: Path, uwgate: Start, who: str, scheme: str
) -> None:
    check, sign = make_keys(folder, scheme)
    ports = {kind: free_port() for kind in KINDS}
    servers = {kind: (f"127.0.0.1:{free_port()}", f"{folder}/{kind}.nodes") for kind in KINDS}
    arguments = [*check, "--processes=0", "--subscription-tolerance=600"]
    for kind in KINDS:
        arguments += [f"--{kind}=127.0.0.1:{ports[kind]}"]
        arguments += [f"--{kind}-subscription-server={server}" for server in servers[kind]]
        arguments += [f"--{kind}-stats-server={folder}/{kind}.stats"]
    gate = uwgate(*arguments)
    gate.wait_for_log("generation 1 serves")
    told = [one for kind in KINDS for one in subscriptions(*servers[kind], sign)]
    with node(folder, uwgate, who, told):
        for kind in KINDS:
            stats = f"{folder}/{kind}.stats"
            wait_for_stats(gate, stats, lambda found: len(nodes_of(found)) == len(NAMES))
        for name in NAMES:
            assert ask(("127.0.0.1", ports["http"]), request(host=name)).body == b"ok\n"
            answer = read_raw(("127.0.0.1", ports["fastrouter"]), packet(HTTP_HOST=name))
            assert answer.endswith(b"\r\n\r\nok\n")
        # Until it has said everything again, uWSGI's master does not end for sure.
        twice = 2 * len(NAMES)
        wait_for_stats(gate, stats, lambda found: found["announcements"]["accepted"] >= twice)
    for kind in KINDS:
        found = wait_for_stats(gate, f"{folder}/{kind}.stats", lambda found: not nodes_of(found))
        # uWSGI's clock has seconds: what it says twice in one of them is a replay.
        assert found["announcements"]["refused"].keys() <= {"replayed"}
