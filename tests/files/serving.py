"""Asking for files without a server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uwgate.conf.groups.static import StaticOptions
from uwgate.files.answer import Answerer
from uwgate.files.disk import Disk, RealDisk
from uwgate.files.finder import Finder, Found, Refused
from uwgate.files.plan import Extent, Plan
from uwgate.files.request import Request
from uwgate.files.rules import read_rules

NOW = 1_800_000_000.25
CHANGED = 1_700_000_000
DISK = RealDisk()


class Site:
    """Options, and what they make of requests. ``now`` may be set."""

    now = NOW

    def __init__(self, disk: Disk | None = None, **options: Any) -> None:
        disk = disk or DISK
        rules = read_rules(StaticOptions(**options), disk)
        self.finder = Finder(rules, disk)
        self.answerer = Answerer(rules, disk)

    def find(self, path: bytes, **more: Any) -> Found | Refused | None:
        """The outcome, with its file closed."""
        found = self.finder.find(Request(path=path, **more), self.now)
        if isinstance(found, Found):
            found.file.close()
        return found

    def name(self, path: bytes, **more: Any) -> str | None:
        """The name of the file that is found."""
        found = self.find(path, **more)
        return os.path.basename(os.fsdecode(found.file.path)) if isinstance(found, Found) else None

    def get(
        self, path: bytes, fields: Mapping[bytes, bytes] | None = None, method: bytes = b"GET"
    ) -> tuple[Plan, bytes]:
        """The plan and the bytes of the body, as ``os.sendfile`` would send them."""
        request = Request(path=path, uri=path, fields=fields or {})
        found = self.finder.find(request, self.now)
        assert isinstance(found, Found), found
        asked = Request(method, path, path, fields or {})
        return sent(self.answerer.answer(found, asked, self.now))


def sent(plan: Plan) -> tuple[Plan, bytes]:
    """A plan that is done, and its body."""
    body = b"".join(
        os.pread(piece.descriptor, piece.length, piece.offset)
        if isinstance(piece, Extent)
        else piece
        for piece in plan.pieces
    )
    plan.close()
    return plan, body


def write(path: Path, data: bytes, changed: float = CHANGED) -> Path:
    """A file that was changed long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (changed, changed))
    return path
