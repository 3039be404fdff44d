"""Files as answers of a worker: static maps, rules, and names that applications give."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.routing.simulation import Response
from tests.workers.visits import Ruled, Sink
from uwgate.conf.groups.static import StaticOptions
from uwgate.workers.environ import Environ
from uwgate.workers.rules.sending import SMALL
from uwgate.workers.wsgi import FileWrapper


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory of files, beside a secret."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"hello world\n")
    (root / "large").write_bytes(b"x" * (SMALL + 1))
    (root / "empty.txt").write_bytes(b"")
    (root / "sub" / "index.html").write_bytes(b"<p>")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "out").symlink_to(tmp_path / "secret")
    return root


def mapped(root: Path, *lines: str, **options: Any) -> Ruled:
    return Ruled(lines, static=StaticOptions(static_map=(f"/s={root}",), **options))


def fields(response: Response) -> dict[bytes, bytes]:
    return dict(response.headers)


def test_a_mapped_file_is_sent_without_the_application(root: Path) -> None:
    ruled = mapped(root)
    response = ruled.get("/s/a.txt")
    assert (response.status, response.body) == (b"200 OK", b"hello world\n")
    assert fields(response)[b"Content-Length"] == b"12"
    assert fields(response)[b"Content-Type"] == b"text/plain"
    assert not ruled.called


@pytest.mark.parametrize("path", ["/s/none", "/other", "/s/sub", "/s/%2e%2e/secret", "/s/out"])
def test_what_is_no_file_goes_to_the_application(root: Path, path: str) -> None:
    ruled = mapped(root)
    assert b"PATH_INFO=" in ruled.get(path).body
    assert ruled.called


def test_a_post_goes_to_the_application(root: Path) -> None:
    ruled = mapped(root)
    ruled.get("/s/a.txt", method="POST")
    assert ruled.called


def test_an_index_stands_for_its_directory(root: Path) -> None:
    assert mapped(root, static_index=("index.html",)).get("/s/sub/").body == b"<p>"


def test_a_large_file_leaves_by_the_kernel(root: Path) -> None:
    ruled = mapped(root)
    sink = ruled.ask("/s/large")
    assert sink.files == 1
    assert sink.response.body == b"x" * (SMALL + 1)
    assert sink.last
    assert ruled.visit is not None
    assert ruled.visit.sendfile
    assert ruled.visit.sent == SMALL + 1


def test_an_empty_file_has_a_length(root: Path) -> None:
    sink = mapped(root).ask("/s/empty.txt")
    assert fields(sink.response)[b"Content-Length"] == b"0"
    assert sink.last


def test_a_file_that_became_shorter_breaks_off(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sink, "send_file", lambda self, file, offset, count: count - 1)
    sink = mapped(root).ask("/s/large")
    assert sink.aborted
    assert not sink.last


def test_conditions_and_ranges_count(root: Path) -> None:
    ruled = mapped(root)
    tag = fields(ruled.get("/s/a.txt"))[b"ETag"].decode()
    old = 1_000_000_000
    os.utime(root / "a.txt", (old, old))
    tag = fields(ruled.get("/s/a.txt"))[b"ETag"].decode()
    assert ruled.get("/s/a.txt", {"If-None-Match": tag}).status == b"304 Not Modified"
    part = ruled.get("/s/a.txt", {"Range": "bytes=6-10"})
    assert (part.status, part.body) == (b"206 Partial Content", b"world")
    parts = ruled.get("/s/large", {"Range": "bytes=0-0,9000-9001"})
    assert b"\r\n\r\nx\r\n" in parts.body
    assert fields(parts)[b"Content-Length"] == b"%d" % len(parts.body)


def test_head_gets_the_length_alone(root: Path) -> None:
    sink = mapped(root).ask("/s/a.txt", method="HEAD")
    assert fields(sink.response)[b"Content-Length"] == b"12"
    assert sink.response.body == b""
    assert sink.last


def test_rules_come_first_and_see_the_response(root: Path) -> None:
    ruled = mapped(
        root,
        "route = ^/s/hidden rewrite:/s/a.txt",
        "route = ^/s/large break:403",
        "response-route-run = addheader:X-Status: ${uwsgi[status]}",
        "route-run = gzip:",
    )
    response = ruled.get("/s/hidden")
    assert response.body == b"hello world\n"  # files pass by transformations
    assert fields(response)[b"X-Status"] == b"200"
    assert ruled.get("/s/large").status == b"403 Forbidden"


@pytest.mark.parametrize("action", ["static:{}", "file:filename={}", "sendfile:filename={}"])
def test_a_rule_sends_a_file(root: Path, action: str) -> None:
    ruled = Ruled([f"route-run = {action.format(root / 'a.txt')}"])
    assert ruled.get("/").body == b"hello world\n"
    assert not ruled.called


def test_a_file_of_a_rule_has_the_fields_that_it_says(root: Path) -> None:
    line = f"route-run = file:filename={root}/a.txt,status=201 Made,content_type=a/b"
    response = Ruled([line]).get("/")
    assert response == Response(
        b"201 Made", ((b"Content-Length", b"12"), (b"Content-Type", b"a/b")), b"hello world\n"
    )
    bare = Ruled([f"route-run = file:filename={root}/a.txt,no_headers=1"]).get("/")
    assert bare == Response(None, (), b"hello world\n")


def test_a_file_goes_through_transformations_unless_the_kernel_sends_it(root: Path) -> None:
    name = root / "large"
    ruled = Ruled([f"route = ^/f file:filename={name}", f"route-run = sendfile:filename={name}"])
    for path, capitals in (("/f", True), ("/s", False)):
        ruled = Ruled(
            [
                "route-run = toupper:",
                f"route = ^/f file:filename={name}",
                f"route-run = sendfile:filename={name}",
            ]
        )
        assert (b"X" in ruled.get(path).body) is capitals


def test_a_file_that_is_not_there_is_404_and_may_be_passed_by(root: Path) -> None:
    ruled = Ruled(
        [
            f"route = ^/go static-next:{root}/none",
            f"route = ^/go file-next:filename={root}/sub",
            f"route = ^/go file-next:filename={root}/a.txt",
            f"route-run = static:{root}/none",
        ]
    )
    assert ruled.get("/go").body == b"hello world\n"
    assert ruled.get("/").status == b"404 Not Found"


def test_error_rules_see_a_missing_file(root: Path) -> None:
    lines = [f"route-run = static:{root}/none", "error-route-status = 404 redirect:/sorry"]
    assert Ruled(lines).get("/").status == b"302 Found"


@pytest.mark.parametrize("path", ["/../secret", "/sub/../../secret", "/out"])
def test_no_path_of_a_request_leaves_the_directory_of_a_rule(root: Path, path: str) -> None:
    for action in ("static:{}$1", "file:filename={}$1"):
        ruled = Ruled([f"route = ^(.*)$ {action.format(root)}"])
        response = ruled.ask("/", PATH_INFO=path).response
        assert response.status in (b"403 Forbidden", b"404 Not Found")


def named(root: Path, *headers: tuple[str, str], status: str = "200 OK", **options: Any) -> Ruled:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response(status, list(headers))
        return [b"the application's own"]

    return Ruled(("response-route-run = addheader:X: y",), application, StaticOptions(**options))


def test_an_application_names_a_file(root: Path) -> None:
    ruled = named(root, ("X-Sendfile", f"{root}/a.txt"), ("A", "b"), static_safe=(str(root),))
    response = ruled.get("/")
    assert response.body == b"hello world\n"
    assert fields(response)[b"A"] == b"b"
    assert fields(response)[b"X"] == b"y"
    assert b"X-Sendfile" not in fields(response)


def test_an_application_names_an_internal_path(root: Path) -> None:
    ruled = named(root, ("X-Accel-Redirect", "/in/a.txt"), static_internal=(f"/in={root}",))
    assert ruled.get("/").body == b"hello world\n"


def test_an_application_names_a_file_where_there_are_no_rules(root: Path) -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        environ["PATH_INFO"] = "what the application has made of it"
        start_response("200 OK", [("X-Sendfile", f"{root}/a.txt")])
        return []

    ruled = Ruled((), application, StaticOptions(static_map=(f"/s={root}",)))
    assert ruled.get("/x").body == b"hello world\n"
    assert ruled.visit is not None
    assert ruled.visit.sent == 12


def test_other_responses_pass_by_where_there_are_no_rules(root: Path) -> None:
    def application(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [])
        return FileWrapper((root / "a.txt").open("rb"))

    ruled = Ruled((), application, StaticOptions(static_map=(f"/s={root}",)))
    sink = ruled.ask("/x")
    assert sink.files == 1
    assert sink.response.body == b"hello world\n"
    assert ruled.visit is ruled.response


def test_an_application_cannot_name_what_is_elsewhere(root: Path) -> None:
    ruled = named(root, ("X-Sendfile", str(root / "../secret")), static_safe=(str(root),))
    assert ruled.get("/").status == b"500 Internal Server Error"


def test_without_directories_the_name_is_for_the_server_in_front(root: Path) -> None:
    ruled = named(root, ("X-Accel-Redirect", "/in/a.txt"), static_safe=(str(root),))
    response = ruled.get("/")
    assert fields(response)[b"X-Accel-Redirect"] == b"/in/a.txt"
    assert response.body == b"the application's own"


def test_no_descriptor_is_left_open(root: Path) -> None:
    ruled = mapped(
        root,
        f"route = ^/next static-next:{root}/a.txt",
        f"route = ^/broken file:filename={root}/large",
        "response-route = ^/s/sub/refused break:403",
    )
    for path in ("/s/a.txt", "/s/large", "/next", "/s/none", "/s/out"):
        ruled.ask(path)
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/s/a.txt", "/s/large", "/next", "/s/none", "/s/out", "/broken"):
        ruled.ask(path)
        ruled.ask(path, sink=Sink(breaks=True))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_text_in_the_middle_of_a_name_leads_nowhere_else(root: Path) -> None:
    ruled = Ruled([f"route = ^/(.*)$ file:filename={root}/a$1"])
    assert ruled.ask("/", PATH_INFO="/.txt").response.body == b"hello world\n"
    assert ruled.ask("/", PATH_INFO="/b/../../../secret").response.status == b"403 Forbidden"
