"""OCSP: from the responder through the keeper and a gateway to a client."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.certificates import Authority
from tests.responder import responder_of

from .conftest import Start
from .peers import program

# Without imports: where Python belongs to root, nobody else can read more of it.
APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


def test_a_client_is_shown_what_the_responder_says(uwgate: Start, folder: Path) -> None:
    root = Authority()
    root_path = root.write(folder, "root.pem")
    with responder_of(Authority("Issuer", root), folder, "localhost") as served:
        crt, key = served.write(folder, "served")
        nobody = ("--uid", "65534", "--gid", "65534") if os.geteuid() == 0 else ()
        (folder / "app.py").write_text(APPLICATION)
        application = ("--wsgi-file", str(folder / "app.py"))
        started = uwgate("--https", f"127.0.0.1:0,{crt},{key}", *nobody, *application)
        host, port = started.address
        started.wait_for_log("CN=localhost: OCSP response until")
        argv = [program("openssl"), "s_client", "-connect", f"{host}:{port}", "-status"]
        argv += ["-servername", "localhost", "-CAfile", str(root_path)]

        def shown() -> bool:
            done = subprocess.run(argv, input="", capture_output=True, timeout=120, text=True)
            return "OCSP Response Status: successful" in done.stdout

        started.wait_for(shown, "OCSP response in a handshake")
