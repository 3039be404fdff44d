"""The spawner's start under another interpreter than ours."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import uwgate
from tests.workers.conftest import Instance, settings_of
from tests.workers.gateway import Gateway
from uwgate.conf import control
from uwgate.conf.errors import ConfigError
from uwgate.conf.start import Start
from uwgate.workers.command import python_of, spawner_command

PLACE = """
import importlib.util, sys
def application(environ, start_response):
    start_response("200 OK", [])
    found = [name for name in ("workers", "conf", "trio") if importlib.util.find_spec(name)]
    return [repr((sys.prefix, sys.path[0], found)).encode()]
"""


def test_a_virtual_environment_without_uwgate_runs_the_workers(tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, symlinks=True)
    (tmp_path / "app.py").write_text(PLACE)
    instance = Instance(tmp_path, settings_of(wsgi_file="app.py", virtualenv=str(home)))
    try:
        instance.wait_message("ready")
        with Gateway(instance.connect("lease")) as gateway:
            assert gateway.get().body == repr((str(home), ".", [])).encode()
    finally:
        instance.close()


def test_too_old_a_python_is_refused_with_a_message(tmp_path: Path) -> None:
    assert uwgate.__file__ is not None
    source = Path(uwgate.__file__).parent / "workers" / "bootstrap.py"
    script = tmp_path / "bootstrap.py"
    script.write_text(source.read_text().replace("OLDEST = (3, 11)", "OLDEST = (9, 9)"))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    start = Start(
        settings=settings_of(),
        listeners=(),
        control_fd=theirs.fileno(),
        life_fd=-1,
        lease_address=None,
        instance=1,
        generation=1,
    )
    with ours, theirs:
        fd = start.to_memory_file()
        done = subprocess.run(
            [sys.executable, str(script), str(fd)],
            pass_fds=(fd, theirs.fileno()),
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(fd)
        failed = control.decode(ours.recv(control.MAX_MESSAGE))
    assert done.returncode == 1
    assert "the workers need 9.9 or newer" in failed["reason"]
    assert failed["reason"].encode() in done.stderr


def test_without_a_virtual_environment_it_is_our_own_python() -> None:
    python, script, fd = spawner_command(settings_of(), 7)
    assert (python, fd) == (sys.executable, "7")
    assert Path(script).is_file()


@pytest.mark.parametrize("made", [False, True])
def test_a_virtual_environment_that_is_none_is_an_error(tmp_path: Path, made: bool) -> None:
    home = tmp_path / "venv"
    if made:
        home.mkdir()
    with pytest.raises(ConfigError, match=r"virtualenv = .*venv: no "):
        python_of(str(home))
