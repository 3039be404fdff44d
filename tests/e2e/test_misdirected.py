"""A name that verifies clients is not reached over another name's connection."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority

from .peers import program
from .processes import APPS, running_uwgate

OPEN, SECRET = "open.example", "secret.example"


@pytest.fixture(scope="module")
def curl(shared_folder: Path) -> Iterator[tuple[int, list[str]]]:
    """The port of a server that knows both names, and curl as ann, who trusts it."""
    folder = shared_folder
    root, people = Authority(), Authority("People")
    crt, key = root.server(OPEN, SECRET).write(folder, "server")
    person, person_key = people.client("ann").write(folder, "ann")
    arguments = (
        *("--https", f"127.0.0.1:0,{crt},{key}"),
        *("--sni", f"{SECRET} {crt},{key},,!{people.write(folder, 'people')}"),
        *("--wsgi-file", str(APPS / "browsed.py")),
    )
    argv = [program("curl"), "--silent", "--http1.1", "--output", "/dev/null", "--noproxy", "*"]
    argv += ["--write-out", "%{http_code}", "--cacert", str(root.write(folder, "root"))]
    argv += ["--cert", str(person), "--key", str(person_key)]
    with running_uwgate(*arguments, folder=folder) as started:
        yield started.address[1], argv


@pytest.mark.parametrize(
    ("server_name", "host", "status"),
    [(OPEN, OPEN, "200"), (OPEN, SECRET, "421"), (SECRET, SECRET, "200"), (SECRET, OPEN, "200")],
)
def test_a_request_goes_where_its_connection_may(
    curl: tuple[int, list[str]], server_name: str, host: str, status: str
) -> None:
    port, argv = curl
    argv = [*argv, "--resolve", f"{server_name}:{port}:127.0.0.1"]
    argv += ["--header", f"Host: {host}:{port}", f"https://{server_name}:{port}/"]
    done = subprocess.run(argv, capture_output=True, timeout=120, text=True, check=False)
    assert done.stdout == status
