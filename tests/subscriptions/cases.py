"""The datagrams that a real uWSGI sent (tests/cases/subscriptions)."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "cases" / "subscriptions"
NAMES = sorted(path.name.removesuffix(".hex") for path in FOLDER.glob("*.hex"))


def captured(name: str) -> bytes:
    """One of the captured datagrams, such as ``subscribe2.unsubscribe``."""
    return bytes.fromhex((FOLDER / f"{name}.hex").read_text())
