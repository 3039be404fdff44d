"""A name that verifies clients is not reached over another name's connection."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.certificates import Authority

from .conftest import Start
from .peers import program
from .processes import APPS

OPEN, SECRET = "open.example", "secret.example"


@pytest.mark.parametrize(
    ("server_name", "host", "status"),
    [(OPEN, OPEN, "200"), (OPEN, SECRET, "421"), (SECRET, SECRET, "200"), (SECRET, OPEN, "200")],
)
def test_a_request_goes_where_its_connection_may(
    uwgate: Start, folder: Path, server_name: str, host: str, status: str
) -> None:
    root, people = Authority(), Authority("People")
    crt, key = root.server(OPEN, SECRET).write(folder, "server")
    person, person_key = people.client("ann").write(folder, "ann")
    started = uwgate(
        *("--https", f"127.0.0.1:0,{crt},{key}"),
        *("--sni", f"{SECRET} {crt},{key},,!{people.write(folder, 'people')}"),
        *("--wsgi-file", str(APPS / "browsed.py")),
    )
    _, port = started.address
    started.wait_for_log("generation 1 serves")
    argv = [program("curl"), "--silent", "--http1.1", "--output", "/dev/null", "--noproxy", "*"]
    argv += ["--write-out", "%{http_code}", "--cacert", str(root.write(folder, "root"))]
    argv += ["--resolve", f"{server_name}:{port}:127.0.0.1", "--header", f"Host: {host}:{port}"]
    argv += ["--cert", str(person), "--key", str(person_key), f"https://{server_name}:{port}/"]
    done = subprocess.run(argv, capture_output=True, timeout=120, text=True, check=False)
    assert done.stdout == status
