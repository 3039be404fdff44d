"""A client's address may be anything: whoever sends uwsgi packets writes it."""

from __future__ import annotations

import pytest

from uwgate.gateways.corerouter.pool import packed

NOBODY = (b"", b"x", b"192.0.2", b"192.0.2.7\0", b"::\0", b"\xff", b":::")


@pytest.mark.parametrize("client", NOBODY)
def test_what_is_no_address_is_no_client(client: bytes) -> None:
    assert packed(client) == b""
