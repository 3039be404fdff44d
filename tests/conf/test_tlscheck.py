"""What ``--check`` says of certificates, keys and ciphers."""

from __future__ import annotations

import contextlib
import re
import ssl
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from tests.certificates import NOW, PASSWORD, Authority, Certificate
from tests.conf.conftest import Configure
from uwgate.conf.certificates import check_pair
from uwgate.conf.check import report
from uwgate.conf.ciphers import set_ciphers
from uwgate.conf.errors import ConfigError
from uwgate.conf.loading import load
from uwgate.conf.pair import Severity

GOOD = Authority().server("a.example")


@pytest.fixture(scope="module")
def root() -> Authority:
    """An authority."""
    return Authority()


@pytest.fixture
def good(root: Authority, tmp_path: Path) -> str:
    """``CERTIFICATE,KEY`` of a good pair."""
    crt, key = root.server("a.example").write(tmp_path, "good")
    return f"{crt},{key}"


def warnings(configure: Configure, text: str) -> list[str]:
    """The warnings about a configuration."""
    notes = configure(f"[uwsgi]\n{text}\n").notes
    return [note.text for note in notes if note.severity is Severity.WARNING]


def problem(configure: Configure, text: str, **environ: str) -> str:
    """What stops a configuration."""
    with pytest.raises(ConfigError) as caught:
        configure(f"[uwsgi]\n{text}\n", environ=environ)
    return str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "https = :443,{good}",
        "https = :443,{good}\nhttp-to-https = :80,443",
        "https = :443,{good}\nsni = www.example {good}\nsni = *.example {good}",
        "https = :443,{good}\nsni-regexp = ^a {good}\nsni-regexp = ^b {good}",
        "https = :443,{good},ECDHE+AESGCM",
        "https = :443,{good}\nssl-option = 16384\nssl-min-version = 1.3",
        "https = :443,{good}\nssl-tmp-dir = /tmp\nssl-sessions-use-cache = true",
        "https = :443,{good}\nssl-ciphersuites = TLS_AES_128_GCM_SHA256",
    ],
)
def test_a_good_configuration_says_nothing(configure: Configure, good: str, line: str) -> None:
    assert warnings(configure, line.format(good=good)) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("https = :443", "app.ini:2: https = :443: 0 parts, expected CERTIFICATE,KEY"),
        ("https2 = addr=:443", "app.ini:2: https2 = addr=:443: cert= is missing"),
        ("sni = a..b {good}", "sni = a..b"),
        ("http-to-https = :80,x", "http-to-https = :80,x: 'x': expected a port"),
        ("https = =0,{good}", "https = =0: there is no such shared-socket"),
        ("http = :443\nhttps = :443,{good}", "https = :443: this address is taken by http"),
        ("https = :443,{good}\nhttps = :443,{good}", "this address is taken by https"),
        ("https = :443,{good}\nhttp-to-https = :443", "taken by https"),
        ("sni = A.b {good}\nsni = a.B {good}", "app.ini:3: sni = a.b: this name is taken at"),
        ("https = :443,/nowhere/c,/nowhere/k", "/nowhere/c: cannot be read: No such file"),
        ("https = :443,{good},nonsense", "ciphers 'nonsense': none of them is spoken here"),
        ("https = :443,{good},DHE-RSA-AES128-GCM-SHA256", "none of them is spoken here"),
        ("https = :443,{good},HIGH:RC4-SHA", "remove RC4-SHA, it protects nothing"),
        ("https = :443,{good},DES-CBC3-SHA:HIGH", "remove DES-CBC3-SHA, it protects nothing"),
        ("https = :443,{good},NULL-SHA256", "remove NULL-SHA256, it protects nothing"),
        ("https = :443,{good},HIGH:ADH", "remove ADH, it protects nothing"),
        ("https = :443,{good},ALL:@SECLEVEL=0", "remove @SECLEVEL"),
        ("https = :443,{good},,/nowhere/ca", "/nowhere/ca: cannot be read"),
        ("https = :443,{good}\nssl-ciphers = aNULL", "ssl-ciphers: ciphers 'aNULL'"),
        ("https = :443,{good}\nsni-dir-ciphers = nonsense", "app.ini:3: sni-dir-ciphers"),
        ("https = :443,{good}\nssl-ciphersuites = X", "cipher suites 'X'"),
        ("https = :443,{good}\nssl-option = 262144", "allows insecure renegotiation"),
        ("https = :443,{good}\nssl-min-version = 1.1", "'1.1' is not one of: 1.2, 1.3"),
        ("ssl-enable-sslv3 = true", "SSLv3, TLS 1.0 and 1.1 are broken"),
        ("ssl-enable3 = true", "SSLv3, TLS 1.0 and 1.1 are broken"),
        ("ssl-enable-tlsv1 = true", "SSLv3, TLS 1.0 and 1.1 are broken"),
        ("ssl-sessions-use-cache = mine", "session tickets resume in all processes"),
        ("https = :443,{good}\nsni-dir = /nowhere", "sni-dir = /nowhere: there is no such folder"),
        ("https-socket = :443,{good}", "use https, which listens in a gateway"),
        ("ssl-key-password-env = NO\nhttps = :443,{good}", "ssl-key-password-env = NO: not set"),
        ("ssl-key-password-file = /nowhere/p\nhttps = :443,{good}", "/nowhere/p: cannot be"),
    ],
)
def test_what_cannot_work_is_told_with_its_option(
    configure: Configure, good: str, line: str, reason: str
) -> None:
    assert reason in problem(configure, line.format(good=good))


def test_a_key_of_another_certificate_is_told(
    configure: Configure, good: str, root: Authority, tmp_path: Path
) -> None:
    _, key = root.server("b.example", number=5).write(tmp_path, "other")
    line = f"https = :443,{good.partition(',')[0]},{key}"
    assert "the key does not match the certificate of CN=a.example" in problem(configure, line)


def test_an_encrypted_key_is_told(configure: Configure, root: Authority, tmp_path: Path) -> None:
    crt, key = root.server("a.example").write(tmp_path, "locked", encrypted=True)
    line = f"https = :443,{crt},{key}"
    assert "the key is encrypted: name its password" in problem(configure, line)
    environ = {"SECRET": PASSWORD.decode()}
    loaded = configure(f"[uwsgi]\n{line}\nssl-key-password-env = SECRET\n", environ=environ)
    assert loaded.notes == ()


def test_a_client_ca_without_certificates_is_told(
    configure: Configure, good: str, tmp_path: Path
) -> None:
    path = tmp_path / "empty.ca"
    path.write_text("# nobody yet\n")
    reason = problem(configure, f"https = :443,{good},,!{path}")
    assert f"{path}: has no PEM certificate in it" in reason


def test_an_expired_certificate_is_a_warning(
    configure: Configure, root: Authority, tmp_path: Path
) -> None:
    crt, key = root.expired("a.example").write(tmp_path, "old")
    (warning,) = warnings(configure, f"https = :443,{crt},{key}")
    assert warning.startswith("https: CN=a.example: expired on ")


def test_old_ciphers_are_a_warning(configure: Configure, good: str) -> None:
    (warning,) = warnings(configure, f"https = :443,{good},ECDHE-RSA-AES128-SHA")
    assert "old ciphers: ECDHE-RSA-AES128-SHA; prefer" in warning


def test_the_class_of_uwsgis_manual_is_taken_without_what_is_weak_in_it(
    configure: Configure, good: str
) -> None:
    old, static = warnings(configure, f"https = :443,{good},HIGH")
    assert old.startswith("https: old ciphers: ECDHE-ECDSA-AES256-SHA, ECDHE-RSA-AES256-SHA")
    assert static.startswith("https: no forward secrecy: AES256-GCM-SHA384")


@pytest.mark.parametrize("ciphers", ["HIGH", "ALL", "DEFAULT", "HIGH:!aNULL:!MD5", "AES"])
def test_what_needs_no_certificate_or_is_broken_is_in_no_list(ciphers: str) -> None:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    set_ciphers(context, ciphers)
    names = SSL.Connection(context).get_cipher_list()
    assert names
    assert not [n for n in names if re.search("ADH|AECDH|PSK|SRP|NULL|RC4|DES-|^DHE|SEED", n)]


def test_names_without_an_address_are_a_warning(configure: Configure, good: str) -> None:
    assert warnings(configure, f"sni = a.example {good}") == ["sni has no effect without https"]


def test_spdy_is_noted(configure: Configure, good: str) -> None:
    crt, _, key = good.partition(",")
    line = f"https2 = addr=:443,cert={crt},key={key},spdy=1"
    (note,) = configure(f"[uwsgi]\n{line}\n").notes
    assert note.text == "https2: spdy= has no effect, SPDY became HTTP/2"


def test_a_key_log_is_a_loud_warning(configure: Configure, good: str, tmp_path: Path) -> None:
    line = f"https = :443,{good}\nssl-keylog-file = {tmp_path}/keys"
    (warning,) = warnings(configure, line)
    assert "whoever reads that file reads every connection" in warning


def test_pem_text_in_a_broken_line_is_not_shown(root: Authority) -> None:
    key = root.server("a.example").key_pem.decode()
    with pytest.raises(ConfigError) as caught:
        load([f"--https=:443,{key}"], {})
    assert "PEM text" in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def test_pem_text_is_not_shown_among_the_effective_options(root: Authority) -> None:
    good = root.server("a.example")
    line = f":443,{good.pem.decode()},{good.key_pem.decode()}"
    shown = report(load(["--check", f"--https={line}"], {}))
    assert "https = :443,PEM text,PEM text" in shown


def check(certificate: bytes, key: bytes) -> None:
    check_pair(certificate, key, password=None, now=NOW)


def reason_of(certificate: bytes, key: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        check(certificate, key)
    return str(caught.value)


@pytest.fixture(scope="module")
def served(root: Authority) -> Certificate:
    """A certificate with a chain."""
    return Authority("Below", root).server("a.example", number=8)


def test_a_short_rsa_key_is_refused(root: Authority) -> None:
    weak = root.server("a.example", kind="rsa1024")
    assert "an RSA key of 1024 bits, expected at least 2048" in reason_of(weak.pem, weak.key_pem)


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_every_kind_of_key_is_taken(root: Authority, kind: str) -> None:
    good = root.server("a.example", kind=kind)
    check(good.pem, good.key_pem)


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [
        (b"", None, "is empty, expected -----BEGIN CERTIFICATE"),
        (b"hello", None, "has no PEM certificate in it"),
        (None, b"", "is empty, expected -----BEGIN PRIVATE KEY"),
        (None, b"hello", "has no PEM key in it"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            None,
            "holds a broken certificate",
        ),
        (
            None,
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "holds a broken key",
        ),
    ],
)
def test_what_is_no_certificate_or_key_is_told(
    served: Certificate, certificate: bytes | None, key: bytes | None, reason: str
) -> None:
    pem = served.pem if certificate is None else certificate
    assert reason in reason_of(pem, served.key_pem if key is None else key)


def test_a_chain_in_the_wrong_order_is_told(served: Certificate) -> None:
    blocks = served.pem.split(b"-----BEGIN")[1:]
    upside_down = b"".join(b"-----BEGIN" + block for block in reversed(blocks))
    reason = reason_of(upside_down, served.key_pem)
    assert "own certificate has to be the first" in reason


def test_a_chain_with_a_stranger_in_it_is_a_warning(served: Certificate) -> None:
    pem = served.pem + Authority("Stranger").pem
    checked = check_pair(pem, served.key_pem, password=None, now=NOW)
    assert checked.warnings == ("CN=Stranger did not sign CN=Below, which it follows",)


def test_a_key_and_its_certificate_may_stand_in_one_file(served: Certificate) -> None:
    both = served.key_pem + served.pem
    checked = check_pair(both, both, password=None, now=NOW)
    assert checked.chain_pem == served.pem


def test_a_signature_with_sha1_is_refused(root: Authority, tmp_path: Path) -> None:
    _, key = root.server("a.example").write(tmp_path, "a")
    root.write(tmp_path, "root.pem")
    (tmp_path / "root.key").write_bytes(Certificate((), root.key).key_pem)
    signed = subprocess.run(
        f"openssl req -new -key {key} -subj /CN=a.example | openssl x509 -req -sha1 -days 9 "
        f"-CA {tmp_path}/root.pem -CAkey {tmp_path}/root.key -CAcreateserial",
        shell=True,
        check=True,
        capture_output=True,
    )
    assert "CN=a.example: signed with SHA1" in reason_of(signed.stdout, key.read_bytes())


# A serial number below one is a warning of cryptography's today, and an error tomorrow.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.data())
def test_a_damaged_certificate_is_refused_or_taken_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(GOOD.der)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    pem = ssl.DER_cert_to_PEM_cert(bytes(damaged)).encode()
    with contextlib.suppress(ConfigError):
        check(pem, GOOD.key_pem)


def test_a_certificate_of_an_unknown_version_is_refused() -> None:
    der = GOOD.der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)
    assert "holds a broken certificate" in reason_of(
        ssl.DER_cert_to_PEM_cert(der).encode(), GOOD.key_pem
    )


@given(st.binary(max_size=400))
def test_noise_is_no_certificate(noise: bytes) -> None:
    pem = ssl.DER_cert_to_PEM_cert(noise).encode()
    assert "holds a broken certificate" in reason_of(pem, GOOD.key_pem)
