"""The folder of an instance's caches."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from uwgate.cache_folder import CacheFolder
from uwgate.conf.errors import ConfigError
from uwgate.conf.groups.cache import CacheOptions
from uwgate.conf.groups.corerouter import HttpCorerouterOptions
from uwgate.conf.settings import Settings


def settings(folder: Path, *, uid: str | None = None) -> Settings:
    return Settings(
        cache=CacheOptions(cache2=("name=c,items=1",), cache_folder=str(folder)),
        http_corerouter=HttpCorerouterOptions(uid=uid),
    )


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def test_without_caches_there_is_none(tmp_path: Path) -> None:
    folder = CacheFolder()
    folder.provide(Settings())
    assert folder.path is None
    assert list(tmp_path.iterdir()) == []


def test_it_is_the_instances_alone_and_gone_in_the_end(tmp_path: Path) -> None:
    folder = CacheFolder()
    folder.provide(settings(tmp_path))
    assert folder.path is not None
    assert mode(folder.path) == 0o700
    (Path(folder.path) / "file").touch()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_other_users_of_the_instance_may_pass_and_nobody_may_look(tmp_path: Path) -> None:
    folder = CacheFolder()
    folder.provide(settings(tmp_path, uid="nobody"))
    assert folder.path is not None
    assert mode(folder.path) == mode(os.path.dirname(folder.path)) == 0o711
    folder.remove()


def test_a_reload_keeps_it(tmp_path: Path) -> None:
    folder = CacheFolder()
    folder.provide(settings(tmp_path))
    path = folder.path
    folder.provide(settings(tmp_path))
    assert folder.path == path
    assert folder.of(Settings()) is None
    folder.remove()


def test_what_a_killed_master_left_is_removed_and_what_lives_is_not(tmp_path: Path) -> None:
    alive = CacheFolder()
    alive.provide(settings(tmp_path))
    pid = os.fork()
    if not pid:
        CacheFolder().provide(settings(tmp_path))
        os._exit(0)  # without removing it
    os.waitpid(pid, 0)
    assert len(list(tmp_path.iterdir())) == 2
    other = tmp_path / "uwgate-caches-other"
    other.mkdir()  # without a lock: not ours, or not yet
    new = CacheFolder()
    new.provide(settings(tmp_path))
    assert alive.path is not None
    assert Path(alive.path).exists()
    assert other.exists()
    assert len(list(tmp_path.iterdir())) == 3
    new.remove()
    alive.remove()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cache-folder = .*No such file"):
        CacheFolder().provide(settings(tmp_path / "nothing"))
