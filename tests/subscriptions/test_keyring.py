"""The folder of public keys (subscriptions/keyring.py)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from uwgate.subscriptions.keyring import KeyFolder
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.signature import SCHEMES

from .cases import FOLDER

NOW = 2_000_000_000.0  # no file is as new as that


def put(folder: Path, name: str = "rsa") -> None:
    shutil.copy(FOLDER / f"{name}.pub.pem", folder / "shop.example.pem")


def is_there(keys: KeyFolder) -> bool:
    try:
        keys("shop.example")
    except Refused as refused:
        return refused.reason is not Refusal.NO_PUBLIC_KEY
    return True


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(str(tmp_path), SCHEMES["SHA256"])


def test_without_a_look_every_file_is_found_at_once(keys: KeyFolder, tmp_path: Path) -> None:
    assert not is_there(keys)
    put(tmp_path)
    assert is_there(keys)


def test_a_new_file_is_found_with_the_next_look(keys: KeyFolder, tmp_path: Path) -> None:
    os.utime(tmp_path, (1, 1))
    keys.look(NOW)
    put(tmp_path)
    assert not is_there(keys)
    keys.look(NOW)
    assert is_there(keys)


def test_a_file_that_comes_within_the_tick_of_a_look_is_found(
    keys: KeyFolder, tmp_path: Path
) -> None:
    os.utime(tmp_path, (NOW, NOW))
    keys.look(NOW + 0.5)
    put(tmp_path)
    os.utime(tmp_path, (NOW, NOW))  # the clock of the file system has not moved on
    keys.look(NOW + 1.5)
    assert is_there(keys)


def test_a_removed_file_is_missed_at_once(keys: KeyFolder, tmp_path: Path) -> None:
    put(tmp_path)
    keys.look(NOW)
    assert is_there(keys)
    (tmp_path / "shop.example.pem").unlink()
    assert not is_there(keys)


def test_a_replaced_key_counts_at_once(keys: KeyFolder, tmp_path: Path) -> None:
    put(tmp_path)
    keys.look(NOW)
    before = keys("shop.example")
    put(tmp_path, "ec")
    assert keys("shop.example") is not before


def test_a_folder_that_is_gone_allows_nobody(keys: KeyFolder, tmp_path: Path) -> None:
    put(tmp_path)
    keys.look(NOW)
    shutil.rmtree(tmp_path)
    keys.look(NOW)
    assert not is_there(keys)
