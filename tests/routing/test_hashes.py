"""Hashes are those of uWSGI (spec/internal-routing.md section 6.9)."""

from __future__ import annotations

import pytest

from uwgate.routing.hashes import djb33x, murmur2

KNOWN = [
    (b"abcd", 2087551809, 646393889),
    (b"abcdefg", 155502661, 3611800456),
    (b"hello", 178056679, 2484800906),
    (b"hello world", 4173747013, 3742290278),
    (b"\xc3\xa9", 5859471, 547727751),
    (b"", 5381, 0),
]


@pytest.mark.parametrize(("key", "bernstein", "murmur"), KNOWN)
def test_a_key_has_the_hash_that_uwsgi_gives_it(key: bytes, bernstein: int, murmur: int) -> None:
    assert djb33x(key) == bernstein
    assert murmur2(key) == murmur
