"""Actions on a request without anything around them."""

from __future__ import annotations

from uwgate.routing.chain import Run
from uwgate.routing.outside import FileTest, Outside
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import Transaction


class World(Outside):
    def check_file(self, path: bytes, test: FileTest) -> bool:
        return path == b"/srv" and test is FileTest.DIRECTORY

    def metric(self, name: bytes) -> int | None:
        return 1 if name == b"hits" else None

    def mime_type(self, name: bytes) -> bytes:
        return b"text/css" if name.endswith(b".css") else b""

    def choose(self, count: int) -> int:
        return count - 1


def act(*actions: str, path: str = "/p", **more: str) -> Run:
    """The actions, each in a rule of its own that always acts."""
    values = {b"PATH_INFO": path.encode("latin-1")}
    values |= {name.encode(): value.encode("latin-1") for name, value in more.items()}
    rules = compile_rules(("route", f"^(.*) {action}", "x") for action in actions)
    return rules.request.start(Transaction(values), World())
