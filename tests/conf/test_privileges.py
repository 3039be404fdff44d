"""Giving up root, each time in a process of its own."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from uwgate.conf.errors import ConfigError
from uwgate.conf.privileges import drop

SOURCE = str(Path(__file__).parents[2] / "src")
NOBODY = pwd.getpwnam("nobody")
SCRIPT = """
import json, os, sys
from uwgate.conf.errors import ConfigError
from uwgate.conf.privileges import drop
arguments = json.loads(sys.argv[1])
try:
    for one in arguments:
        drop(*one)
except ConfigError as error:
    print(json.dumps(str(error)))
else:
    print(json.dumps([os.getresuid(), os.getresgid(), sorted(os.getgroups())]))
"""


def after(*drops: list[Any]) -> Any:
    if os.getuid():
        pytest.skip("needs root")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(drops)],
        env={"PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("uid", ["nobody", str(NOBODY.pw_uid)])
def test_user_and_group_are_taken_on(uid: str) -> None:
    groups = sorted(os.getgrouplist("nobody", NOBODY.pw_gid))
    number, group = NOBODY.pw_uid, NOBODY.pw_gid
    assert after([uid, str(group)]) == [[number] * 3, [group] * 3, groups]


def test_supplementary_groups_are_chosen() -> None:
    assert after(["nobody", "1234", ["1235"], True])[1:] == [[1234] * 3, [1235]]


def test_what_one_is_already_may_be_named_again() -> None:
    assert after(["nobody", None], ["nobody", None])[0] == [NOBODY.pw_uid] * 3


def test_only_root_can_change() -> None:
    text = after(["nobody", None], ["0", None])
    assert text == f"uid = 0: only root can change it (we run as {NOBODY.pw_uid})"


@pytest.mark.parametrize(
    ("uid", "gid", "text"),
    [
        ("no-such", None, "uid: there is no user 'no-such'"),
        (None, "x-y", "gid: there is no group 'x-y'"),
    ],
)
def test_unknown_names_are_errors(uid: str | None, gid: str | None, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        drop(uid, gid)


def test_who_gave_up_root_finds_everything_to_look_names_up_with() -> None:
    program = "import sys, uwgate.conf.privileges; print('encodings.idna' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "True\n"
