"""conf/masking.py: what --check and --show-config print of secrets."""

from __future__ import annotations

import pytest

from uwgate.conf.check import effective_ini
from uwgate.conf.loading import load

SECRET = "sixteen letters.."


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        (
            "legion",
            f"ring 10.0.0.1:4242 30 aes-256-gcm:{SECRET}",
            "ring 10.0.0.1:4242 30 aes-256-gcm:(hidden)",
        ),
        ("legion", "ring :4242 1 bf-cbc:a:b the iv", "ring :4242 1 bf-cbc:(hidden)"),
        ("legion", f"ring :4242 {SECRET}", "ring (hidden)"),
        ("legion", f"ring :4242 1 {SECRET}", "ring :4242 1 (hidden)"),
        (
            "legion-mcast",
            f"ring 225.1.1.1:42 1 aes-256-gcm:{SECRET}",
            "ring 225.1.1.1:42 1 aes-256-gcm:(hidden)",
        ),
        ("legion-key", f"ring {SECRET}", "ring (hidden)"),
        ("legion-key", SECRET.replace(" ", "_"), "(hidden)"),
        ("http-sticky-secret", SECRET, "(hidden)"),
    ],
)
def test_secrets_are_not_shown(option: str, value: str, shown: str) -> None:
    loaded = load([f"--{option}", value], {})
    assert f"{option} = {shown}" in effective_ini(loaded.settings).splitlines()
