"""Process titles."""

from __future__ import annotations

from typing import Any

import pytest

from uwgate.conf.groups.master import MasterOptions
from uwgate.conf.procname import process_title


@pytest.mark.parametrize(
    ("options", "role", "title"),
    [
        ({}, "master", "uwgate master"),
        ({}, "worker 2", "uwgate worker 2"),
        ({"procname_prefix": "x"}, "worker 2", "xuwgate worker 2"),
        ({"procname_prefix_spaced": "x"}, "worker 2", "x uwgate worker 2"),
        ({"procname_append": " y"}, "http 1", "uwgate http 1 y"),
        ({"procname": "all"}, "worker 2", "all"),
        ({"procname_master": "boss", "procname": "all"}, "master", "boss"),
        ({"procname_master": "boss"}, "worker 2", "uwgate worker 2"),
        ({"auto_procname": False}, "worker 2", ""),
    ],
)
def test_the_title_follows_the_options(options: dict[str, Any], role: str, title: str) -> None:
    assert process_title(MasterOptions(**options), role) == title
