"""Files of Apache's htpasswd."""

from __future__ import annotations

import base64
import hashlib

import pytest

from uwgate.routing.htpasswd import apr1, is_right, verify

# Made with openssl passwd, htpasswd and crypt(3), all for the password "pw".
HASHES = {
    "sha": b"{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM=",
    "apr1": b"$apr1$abcdefgh$5VEbMkemELfbhC5ck.U.z1",
    "des": b"abzlUXK5ed5rs",
    "md5": b"$1$abc$Kb85XxsXB.VXinPhbS4431",
    "sha256": b"$5$abc$/LKlXd6vuvdFX3oWbf2vGk3DgflzzsvOtMZsiOxqqY5",
    "bcrypt": b"$2y$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q",
}


@pytest.mark.parametrize("kind", HASHES)
def test_only_the_right_password_passes(kind: str) -> None:
    assert is_right(HASHES[kind], b"pw")
    assert not is_right(HASHES[kind], b"pW")
    assert not is_right(HASHES[kind], b"")


def test_a_user_has_the_first_line_of_that_name() -> None:
    content = b"# comment\nbob:" + HASHES["sha"] + b"\nbob:" + HASHES["md5"] + b"x\neve\n"
    assert verify(content, b"bob", b"pw")
    assert not verify(content, b"eve", b"pw")
    assert not verify(content, b"", b"pw")
    assert not verify(b"bob:x\n" + content, b"bob", b"pw")


@pytest.mark.parametrize("hashed", [b"", b"pw", b"$9$nothing$abc", b"*", b"!" * 20, b"{SSHA}%%"])
def test_what_is_no_hash_is_never_right(hashed: bytes) -> None:
    assert not is_right(hashed, b"pw")
    assert not is_right(hashed, hashed)


def test_a_salted_sha_is_checked() -> None:
    made = b"{SSHA}" + base64.b64encode(hashlib.sha1(b"pw" + b"salt").digest() + b"salt")
    assert is_right(made, b"pw")
    assert not is_right(made, b"pW")


def test_a_password_that_is_long_or_has_a_nul_is_wrong() -> None:
    content = b"bob:" + HASHES["sha"] + b"\n"
    assert not verify(content, b"bob", b"pw\0")
    assert not verify(content, b"bob", b"x" * 5000)


@pytest.mark.parametrize(
    ("password", "salt", "hashed"),
    [
        (b"", b"abc", b"$apr1$abc$BfqKdn9xFDWJPa3kcp/PH0"),
        (b"a" * 40, b"salt1234", b"$apr1$salt1234$XkPFr0dPoqStlcToF7ehi/"),
    ],
)
def test_apr1_is_apache_s(password: bytes, salt: bytes, hashed: bytes) -> None:
    assert apr1(password, salt) == hashed
