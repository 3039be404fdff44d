"""What the scanners that operators run say of our TLS, as it is without any option."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.certificates import Authority

from .conftest import Start
from .peers import program
from .processes import APPS

pytestmark = pytest.mark.long

HARMLESS = {"OK", "INFO", "LOW"}  # testssl.sh; LOW is "you could have HSTS"
FORWARD_SECRET = ("ECDHE-", "TLS_")
NAME = "localhost"


@pytest.fixture
def server(uwgate: Start, folder: Path) -> str:
    """HTTPS with an RSA and an ECDSA certificate; its address."""
    authority = Authority()
    pairs = [authority.server(NAME, kind=kind).write(folder, kind) for kind in ("rsa", "ecdsa")]
    certificates, keys = ("|".join(map(str, paths)) for paths in zip(*pairs, strict=True))
    application = ("--wsgi-file", str(APPS / "browsed.py"), "--threads", "4")
    started = uwgate("--https", f"127.0.0.1:0,{certificates},{keys}", *application)
    host, port = started.address
    started.wait_for_log("generation 1 serves")
    return f"{host}:{port}"


@pytest.mark.timeout(600)  # 45 s on a quiet machine
def test_testssl_finds_nothing(server: str, folder: Path) -> None:
    found = folder / "testssl.json"
    parts = ("--protocols", "--std", "--fs", "--server-preference", "--vulnerable", "--headers")
    argv = [program("testssl"), *parts, "--jsonfile", str(found)]
    argv += ["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none"]
    argv += ["--openssl-timeout", "60", "--connect-timeout", "60", server]
    done = subprocess.run(argv, cwd=folder, capture_output=True, timeout=560, check=False)
    assert found.exists(), done.stdout.decode()
    findings: list[dict[str, Any]] = json.loads(found.read_text())
    harmful = [one for one in findings if one["severity"] not in HARMLESS]
    assert not harmful, done.stdout.decode()
    seen = {one["id"]: one["finding"] for one in findings}
    assert seen["TLS1_2"] == "offered"
    assert seen["TLS1_3"].startswith("offered")
    assert seen["cipher_order"] == "server"
    # The last of each part: nothing was left out.
    assert {"SSLv2", "cipherlist_STRONG", "DH_groups", "RC4", "HSTS"} <= seen.keys()


def test_sslscan_finds_nothing_weak(server: str, folder: Path) -> None:
    argv = [program("sslscan"), "--xml=-", "--no-colour", f"--sni-name={NAME}", server]
    done = subprocess.run(argv, capture_output=True, timeout=120, check=True)
    scan = ElementTree.fromstring(done.stdout)
    enabled = {
        (one.get("type"), one.get("version"))
        for one in scan.iter("protocol")
        if one.get("enabled") == "1"
    }
    assert enabled == {("tls", "1.2"), ("tls", "1.3")}
    assert {one.get("vulnerable") for one in scan.iter("heartbleed")} == {"0"}
    assert {one.get("supported") for one in scan.iter("renegotiation")} == {"0"}
    ciphers = list(scan.iter("cipher"))
    assert {one.get("sslversion") for one in ciphers} == {"TLSv1.2", "TLSv1.3"}
    weak = [
        one.attrib
        for one in ciphers
        if one.get("strength") not in ("strong", "acceptable")
        or int(one.get("bits", "0")) < 128
        or not one.get("cipher", "").startswith(FORWARD_SECRET)
    ]
    assert not weak
    names = [one.get("cipher", "") for one in ciphers]
    assert any(name.startswith("ECDHE-RSA-") for name in names)
    assert any(name.startswith("ECDHE-ECDSA-") for name in names)
