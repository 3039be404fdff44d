"""gateways/tls/variables.py: names as OpenSSL writes them."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from uwgate.gateways.tls.variables import SERVER_NAME, one_line


def name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (name((NameOID.COUNTRY_NAME, "IT"), (NameOID.COMMON_NAME, "cli")), b"/C=IT/CN=cli"),
        (name((NameOID.ORGANIZATION_NAME, "Ac/me+Co")), b"/O=Ac\\/me\\+Co"),
        (name((NameOID.COMMON_NAME, "caf\u00e9")), b"/CN=caf\\xC3\\xA9"),
        (name((NameOID.COMMON_NAME, "a\nb\\")), b"/CN=a\\x0Ab\\"),
        (name((NameOID.EMAIL_ADDRESS, "a@b.example")), b"/emailAddress=a@b.example"),
        (name((x509.ObjectIdentifier("1.2.3.4"), "x")), b"/1.2.3.4=x"),
        (x509.Name([]), b""),
    ],
)
def test_a_name_is_written_in_one_line(given: x509.Name, line: bytes) -> None:
    assert one_line(given) == line


@pytest.mark.parametrize(
    "text", [b"", b"a b", b"a\r\nb", b"a\0b", b"x" * 254, b"a/b", "\u00e9".encode()]
)
def test_what_is_no_server_name_is_not_passed_on(text: bytes) -> None:
    assert SERVER_NAME.fullmatch(text) is None
