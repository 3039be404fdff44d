"""The same options mean the same to the real uWSGI 2.0.31 and to us."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from tests.e2e.conftest import folder, shared_folder
from tests.e2e.peers import program
from tests.e2e.processes import Process
from uwgate.files.dates import format_date
from uwgate.files.finder import Found
from uwgate.files.request import Request

from .serving import CHANGED, Site, sent, write

__all__ = ["folder", "shared_folder"]

PATIENCE = 60.0  # seconds
DATA = b"".join(b"line %04d\n" % number for number in range(100))
COMPARED = (
    b"Content-Type",
    b"Content-Length",
    b"Content-Range",
    b"Content-Encoding",
    b"Expires",
    b"X-Sendfile",
    b"X-Accel-Redirect",
)
NO_FILE = 500  # uWSGI without an application
TYPES = "text/plain txt\ntext/css css\ntext/html html\napplication/x-two one two # no\n"

# Each is an instance; {} is the folder of the site.
OPTIONS: dict[str, dict[str, Any]] = {
    "rich": {
        "static_map": ("/m={}/www", "/f={}/www/a.txt", "/none={}/none"),
        "check_static": ("{}/checked",),
        "static_index": ("none.html", "index.html"),
        "static_gzip_all": True,
        "honour_range": True,
        "static_expires_mtime": (r"\.txt$ 3600",),
    },
    "plain": {
        "static_map2": ("/sub={}/www",),
        "static_map": ("/s={}/www",),
        "static_skip_ext": (".php", "kip"),
        "static_safe": ("{}/safe",),
        "static_gzip_ext": (".css",),
        "static_expires_uri_mtime": (r"\.css$ 60",),
        "static_expires_type_mtime": ("application/x-two=70",),
        "honour_range": False,
    },
    "named": {
        "check_static": ("{}/www",),
        "file_serve_mode": "x-sendfile",
        "static_gzip_all": True,
        "static_expires_type_mtime": ("text/css=60",),
    },
}


@dataclass(frozen=True)
class Asked:
    """A request to an instance."""

    instance: str
    target: str
    fields: tuple[tuple[str, str], ...] = ()
    method: str = "GET"

    def __str__(self) -> str:
        return " ".join([self.instance, self.method, self.target, *map(str, self.fields)])


Answer = tuple[int, dict[bytes, bytes], bytes]

SINCE = "If-Modified-Since"
ENCODING = "Accept-Encoding"
SAME = format_date(CHANGED).decode()
ALIKE = [
    *(
        Asked("rich", target)
        for target in (
            "/m/a.txt",
            "/m//a.txt",
            "/m/./a.txt",
            "/m/%61.txt",
            "/m/sp%20ace.txt?query",
            "/m",
            "/m/",
            "/m/sub",
            "/m/sub/",
            "/m/a.txt/",
            "/m/a.txt/x",
            "/m/nothing",
            "/m/noext",
            "/m/near",
            "/m/out",
            "/m/outdir/x.txt",
            "/m/pipe",
            "/m/loop",
            "/m/empty.css",
            "/m/x.two",
            "/m/.hidden.txt",
            "/f",
            "/f/whatever",
            "/none/a.txt",
            "/m/../../etc/passwd",
            "/" + "x" * 300,
            "/c.css",
            "/",
        )
    ),
    *(
        Asked("rich", "/m/a.txt", (("Range", value),))
        for value in (
            "bytes=0-9",
            "bytes=990-",
            "bytes=-5",
            "bytes=5-5000",
            "bytes=0-",
            "bytes=2000-",
        )
    ),
    Asked("rich", "/m/a.txt", ((SINCE, SAME),)),
    Asked("rich", "/m/a.txt", ((SINCE, SAME), ("Range", "bytes=0-9"))),
    Asked("rich", "/m/a.txt", ((SINCE, format_date(CHANGED - 1).decode()),)),
    Asked("rich", "/m/a.txt", ((SINCE, "yesterday"),)),
    Asked("rich", "/m/a.txt", method="HEAD"),
    Asked("rich", "/m/sub/index.html", method="POST"),
    Asked("rich", "/m/sub/index.html", method="OPTIONS"),
    *(
        Asked("rich", target, ((ENCODING, value),))
        for target in ("/m/c.css", "/m/sub/index.html")
        for value in ("gzip", "br", "gzip, deflate, br", "deflate", "")
    ),
    Asked("rich", "/m/c.css", ((ENCODING, "gzip"), ("Range", "bytes=1-2"))),
    *(
        Asked("plain", target)
        for target in (
            "/sub/index.html",
            "/sub",
            "/s/x.php",
            "/s/link",
            "/s/askip",
            "/s/safe.txt",
            "/s/out",
            "/s/c.css",
            "/s/x.one",
            "/s/near",
        )
    ),
    Asked("plain", "/s/a.txt", (("Range", "bytes=0-9"),)),
    Asked("plain", "/s/c.css", ((ENCODING, "gzip"),)),
    Asked("plain", "/s/a.txt", ((ENCODING, "gzip"),)),
    Asked("named", "/a.txt"),
    Asked("named", "/near"),
    Asked("named", "/c.css", ((ENCODING, "br"),)),
]


@pytest.fixture(scope="module")
def place(shared_folder: Path) -> Path:
    """Files, and links in all directions."""
    top = shared_folder.resolve() / "site"
    www = top / "www"
    for name in ("a.txt", "sp ace.txt", "x.php", "askip", "noext", "x.two", "x.one", ".hidden.txt"):
        write(www / name, DATA)
    for name in ("sub/index.html", "c.css"):
        write(www / name, name.encode())
    write(www / "empty.css", b"")
    write(www / "a.txt.gz", b"zipped")
    write(www / "a.txt.br", b"brotli")
    write(www / "c.css.gz", b"zipped css")
    write(www / "c.css.br", b"brotli css")
    write(top / "checked/c.css", b"checked")
    write(top / "safe/x.txt", b"safe")
    write(top / "outside/x.txt", b"outside")
    write(top / "www2/x.txt", b"sibling")
    os.mkfifo(www / "pipe")
    for name, target in (
        ("near", "a.txt"),
        ("link", "x.php"),
        ("safe.txt", "../safe/x.txt"),
        ("out", "../outside/x.txt"),
        ("outdir", str(top / "outside")),
        ("loop", "loop"),
    ):
        (www / name).symlink_to(target)
    (top / "types").write_text(TYPES)
    return top


def filled(options: dict[str, Any], place: Path) -> dict[str, Any]:
    """Options of an instance for a folder."""
    found = {
        name: tuple(one.replace("{}", str(place)) for one in value)
        if isinstance(value, tuple)
        else value
        for name, value in options.items()
    }
    return {**found, "mime_file": (str(place / "types"),)}


class Uwsgi:
    """The real uWSGI with the options of an instance, and no application."""

    def __init__(self, folder: Path, name: str, options: dict[str, Any]) -> None:
        self.address = str(folder / f"{name}.sock")
        argv = [program("uwsgi"), "--http-socket", self.address, "--master", "--die-on-term"]
        for option, value in options.items():
            for one in value if isinstance(value, tuple) else (value,):
                argv += _words(option.replace("_", "-"), one)
        self.process = Process(argv, folder=folder, name=f"uwsgi-{name}")

    def ask(self, asked: Asked) -> Answer:
        self.process.wait_for_log("spawned uWSGI worker 1")
        lines = [f"{asked.method} {asked.target} HTTP/1.1", "Host: x"]
        lines += [f"{name}: {value}" for name, value in asked.fields]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.address)
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            data = b""
            while received := connection.recv(65536):
                data += received
        head, _, body = data.partition(b"\r\n\r\n")
        status, *fields = head.split(b"\r\n")
        pairs = [(name, value) for name, _, value in (one.partition(b": ") for one in fields)]
        return int(status.split()[1]), dict(pairs), body


def _words(option: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [f"--{option}"] if value else []
    return [f"--{option}", str(value)]


@pytest.fixture(scope="module")
def theirs(shared_folder: Path, place: Path) -> Iterator[dict[str, Uwsgi]]:
    """All instances, started at once."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, options in OPTIONS.items():
            servers[name] = Uwsgi(shared_folder, name, filled(options, place))
            stack.callback(servers[name].process.stop, signal.SIGKILL)
        yield servers


@pytest.fixture(scope="module")
def ours(place: Path) -> dict[str, Site]:
    """The same options, read by us."""
    return {name: Site(**filled(options, place)) for name, options in OPTIONS.items()}


def answer_of(site: Site, asked: Asked) -> Answer:
    """What we would send."""
    request = Request(
        asked.method.encode(),
        unquote_to_bytes(asked.target.partition("?")[0]),
        asked.target.encode(),
        {name.lower().encode(): value.encode() for name, value in asked.fields},
    )
    found = site.finder.find(request, site.now)
    if not isinstance(found, Found):
        return NO_FILE, {}, b""
    plan, body = sent(site.answerer.answer(found, request, site.now))
    return plan.status, dict(plan.fields), body


def compared(answer: Answer) -> tuple[int, dict[bytes, bytes], bytes]:
    """What has to be the same: for a file of which nothing is sent, only the status."""
    status, fields, body = answer
    if status in (304, NO_FILE):
        return status, {}, b""
    length = (b"Content-Length", b"0")
    pairs = {name: value for name, value in fields.items() if name in COMPARED}
    if status == 416 or b"X-Sendfile" in fields:
        # Without a body uWSGI gives no length.
        pairs = {name: value for name, value in pairs.items() if (name, value) != length}
    return status, pairs, body


@pytest.mark.parametrize("asked", ALIKE, ids=str)
def test_a_request_gets_the_same(
    theirs: dict[str, Uwsgi], ours: dict[str, Site], asked: Asked
) -> None:
    expected = theirs[asked.instance].ask(asked)
    found = answer_of(ours[asked.instance], asked)
    assert compared(found) == compared(expected)


def test_the_date_of_the_change_is_the_same(
    theirs: dict[str, Uwsgi], ours: dict[str, Site]
) -> None:
    asked = Asked("rich", "/m/a.txt")
    for answer in (theirs["rich"].ask(asked), answer_of(ours["rich"], asked)):
        assert answer[1][b"Last-Modified"] == format_date(CHANGED)


# What is another answer on purpose: (request, uWSGI's status and the start of its body, ours).
DIFFERENT = [
    (Asked("rich", "/ma.txt"), (200, DATA), (NO_FILE, b"")),
    (Asked("rich", "/m%2e%2e/www2/x.txt"), (200, b"sibling"), (NO_FILE, b"")),
    (Asked("rich", "/m/sub/../a.txt"), (200, DATA), (NO_FILE, b"")),
    (Asked("rich", "/m/a.txt%00.jpg"), (200, DATA), (NO_FILE, b"")),
    (Asked("rich", "/m/a.txt", (("Range", "lines=1"),)), (416, b""), (200, DATA)),
    (Asked("rich", "/m/a.txt", (("Range", "bytes=9-0"),)), (416, b""), (200, DATA)),
    (
        Asked("rich", "/m/a.txt", (("Range", "bytes=0-1"), ("If-Range", '"x"'))),
        (206, DATA[:2]),
        (200, DATA),
    ),
    (Asked("rich", "/m/a.txt", (("Range", "bytes=0-1"),), "HEAD"), (206, b""), (200, b"")),
    (Asked("rich", "/m/a.txt", ((ENCODING, "gzip;q=0"),)), (200, b"zipped"), (200, DATA)),
    (Asked("rich", "/m/a.txt", (("If-None-Match", "*"),)), (200, DATA), (304, b"")),
    (Asked("rich", "/m/a.txt", (("If-Match", '"x"'),)), (200, DATA), (412, b"")),
]


@pytest.mark.parametrize(
    ("asked", "expected", "wanted"),
    DIFFERENT,
    ids=lambda value: str(value) if isinstance(value, Asked) else "",
)
def test_a_difference_is_as_meant(
    theirs: dict[str, Uwsgi],
    ours: dict[str, Site],
    asked: Asked,
    expected: tuple[int, bytes],
    wanted: tuple[int, bytes],
) -> None:
    status, _, body = theirs[asked.instance].ask(asked)
    assert (status, b"" if status == NO_FILE else body) == expected
    status, _, body = answer_of(ours[asked.instance], asked)
    assert (status, body) == wanted


def test_a_rule_of_expiry_is_for_the_twin_as_well(
    theirs: dict[str, Uwsgi], ours: dict[str, Site]
) -> None:
    asked = Asked("rich", "/m/a.txt", ((ENCODING, "gzip"),))
    assert b"Expires" not in theirs["rich"].ask(asked)[1]
    assert answer_of(ours["rich"], asked)[1][b"Expires"] == format_date(CHANGED + 3600)


def test_only_the_first_of_several_parts_is_sent_by_uwsgi(
    theirs: dict[str, Uwsgi], ours: dict[str, Site]
) -> None:
    asked = Asked("rich", "/m/a.txt", (("Range", "bytes=0-9,500-509"),))
    assert theirs["rich"].ask(asked)[2] == DATA[:10]
    status, fields, body = answer_of(ours["rich"], asked)
    assert status == 206
    assert fields[b"Content-Type"].startswith(b"multipart/byteranges")
    assert DATA[:10] in body
    assert DATA[500:510] in body
