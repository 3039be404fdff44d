"""``uwgate legion simulate CONFIG``."""

from __future__ import annotations

from pathlib import Path

import pytest

from uwgate.cli import main

SEALED = "legion = ring 10.0.0.1:4242 30 aes-256-gcm:sixteen letters..\n"
NODES = "legion-node = ring 10.0.0.2:4242\nlegion-node = ring 10.0.0.3:4242\n"


def simulate(tmp_path: Path, text: str, *arguments: str) -> int:
    config = tmp_path / "node.ini"
    config.write_text(f"[uwgate]\n{text}")
    return main(["legion", "simulate", str(config), "--schedules", "20", *arguments])


def test_the_legions_of_a_configuration_are_lived_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(tmp_path, SEALED + NODES + "legion-freq = 0.5\n") == 0
    out = capsys.readouterr().out
    assert "legion ring: sealed, 3 nodes, quorum 2, announcements every 0.5 s" in out
    assert "schedules                 20," in out
    assert "overlaps of lords         0" in out
    assert "take-over" in out


def test_a_group_of_unknown_size_needs_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "legion-mcast = ring 225.1.1.1:4242 1 aes-128-cbc:secret\nlegion-quorum = ring 2\n"
    assert simulate(tmp_path, text) == 1
    assert "give --nodes" in capsys.readouterr().err
    assert simulate(tmp_path, text, "--nodes", "3") == 0
    assert "compatible, 3 nodes, quorum 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http = :8080\n", "there is no legion in it"),
        ("legion-node = ring x\n", "node.ini:2: legion-node = ring x: no legion ring"),
    ],
)
def test_what_cannot_be_simulated_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert simulate(tmp_path, text) == 1
    assert said in capsys.readouterr().err
