"""An OCSP responder for tests: ``openssl ocsp``."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.certificates import Authority, Certificate
from tests.e2e.peers import program
from tests.e2e.processes import free_port


@contextlib.contextmanager
def responder_of(issuer: Authority, folder: Path, name: str) -> Iterator[Certificate]:
    """A certificate for ``name`` whose responder runs meanwhile and knows nothing bad of it."""
    port = free_port()
    served = issuer.server(name, responder=f"http://127.0.0.1:{port}/ocsp")
    leaf = served.chain[0]
    issuer.write(folder, "issuer.pem")
    issuer.responder("responder").write(folder, "responder")
    expires = leaf.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    serial = f"{leaf.serial_number:X}"
    serial = serial.rjust(len(serial) + len(serial) % 2, "0")
    (folder / "index.txt").write_text(f"V\t{expires}\t\t{serial}\tunknown\t/CN={name}\n")
    process = subprocess.Popen(
        [
            *(program("openssl"), "ocsp", "-index", "index.txt", "-CA", "issuer.pem"),
            *("-rsigner", "responder.crt", "-rkey", "responder.key"),
            *("-port", str(port), "-ndays", "1"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:  # it says when it listens
            if b"waiting" in line.lower() or b"accept" in line.lower():
                break
        yield served
    finally:
        process.kill()
        process.communicate()
