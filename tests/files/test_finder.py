"""Which file a path is for (spec part B2)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uwgate.files.disk import RealDisk
from uwgate.files.finder import MAX_REMEMBERED, Found, Refused

from .serving import Site


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/m/a.txt", "a.txt"),
        (b"/m//a.txt", "a.txt"),
        (b"/m/./a.txt", "a.txt"),
        (b"/m/sub", "index.html"),
        (b"/m/sub/", "index.html"),
        (b"/m", None),
        (b"/m/", None),
        (b"/ma.txt", None),
        (b"/a.txt", None),
        (b"/m/a.txt/", None),
        (b"/m/none", None),
        (b"", None),
        (b"m/a.txt", None),
    ],
)
def test_a_prefix_is_taken_off_and_the_rest_looked_for(
    disk: RealDisk, site: Path, path: bytes, name: object
) -> None:
    served = Site(disk, static_map=(f"/m={site}/www",), static_index=("none", "index.html"))
    assert served.name(path) == name


def test_a_path_is_looked_for_whole(disk: RealDisk, site: Path) -> None:
    assert Site(disk, check_static=(f"{site}/www",)).name(b"/a.txt") == "a.txt"
    mapped = Site(disk, static_map2=(f"/sub={site}/www",))
    assert mapped.name(b"/sub/index.html") == "index.html"
    assert mapped.name(b"/a.txt") is None


def test_a_file_is_the_answer_to_all_below_its_prefix(disk: RealDisk, site: Path) -> None:
    served = Site(disk, static_map=(f"/f={site}/www/a.txt",))
    assert [served.name(path) for path in (b"/f", b"/f/x/y", b"/fx")] == ["a.txt", "a.txt", None]


def test_the_first_place_that_has_it_counts(site: Path) -> None:
    (site / "www2/a.txt").write_text("other")
    served = Site(static_map=(f"/={site}/www2",), check_static=(f"{site}/none", f"{site}/www"))
    found = served.find(b"/a.txt")
    assert isinstance(found, Found)
    assert found.file.size == 10
    assert served.name(b"/secret") == "secret"


def test_a_longer_prefix_does_not_go_before_an_earlier_one(site: Path) -> None:
    (site / "www2/index.html").write_text("other")
    served = Site(static_map=(f"/={site}/www", f"/sub={site}/www2"))
    found = served.find(b"/sub/index.html")
    assert isinstance(found, Found)
    assert found.file.size == len("index")


def test_the_document_root_comes_last_and_only_if_wanted(site: Path) -> None:
    root = os.fsencode(site / "www")
    wanted = Site(check_static_docroot=True)
    assert wanted.name(b"/a.txt", document_root=root) == "a.txt"
    assert wanted.name(b"/a.txt") is None
    assert Site().name(b"/a.txt", document_root=root) is None


@pytest.mark.parametrize("path", [b"/m/../www2/secret", b"/m/sub/..", b"/m/a.txt\0.jpg"])
def test_a_path_that_no_file_has_is_refused(disk: RealDisk, site: Path, path: bytes) -> None:
    assert isinstance(Site(disk, static_map=(f"/m={site}/www",)).find(path), Refused)


@pytest.mark.parametrize("path", [b"/m../www2/secret", b"/m..", b"/m\0"])
def test_a_sibling_of_the_directory_is_not_reached(disk: RealDisk, site: Path, path: bytes) -> None:
    assert Site(disk, static_map=(f"/m={site}/www",)).find(path) is None


def test_a_link_out_is_refused_and_the_next_place_asked(disk: RealDisk, site: Path) -> None:
    (site / "www/out").symlink_to(site / "www2/secret")
    first = f"/={site}/www"
    refused = Site(disk, static_map=(first,)).find(b"/out")
    assert isinstance(refused, Refused)
    assert refused.reason == f"{site}/www2/secret is outside"
    (site / "www2/out").write_text("x")
    assert Site(disk, static_map=(first, f"/={site}/www2")).name(b"/out") == "out"
    assert Site(disk, static_map=(first,), static_safe=(f"{site}/www2",)).name(b"/out") == "secret"


def test_an_index_that_leads_out_is_refused_and_the_next_one_asked(
    disk: RealDisk, site: Path
) -> None:
    (site / "www/sub/index.php").symlink_to(site / "www2/secret")
    root = (f"/={site}/www",)
    assert isinstance(
        Site(disk, static_map=root, static_index=("index.php",)).find(b"/sub"), Refused
    )
    both = Site(disk, static_map=root, static_index=("index.php", "index.html"))
    assert both.name(b"/sub") == "index.html"


def test_links_are_not_followed_if_none_are_to_be(disk: RealDisk, site: Path) -> None:
    (site / "www/b").symlink_to("a.txt")
    options = {"static_map": (f"/={site}/www",)}
    assert Site(disk, **options).name(b"/b") == "a.txt"
    assert isinstance(Site(disk, **options, static_symlinks="none").find(b"/b"), Refused)


@pytest.mark.parametrize("path", [b"/a.php", b"/link", b"/dir", b"/dir/"])
def test_what_is_skipped_is_not_served_by_any_name(disk: RealDisk, site: Path, path: bytes) -> None:
    (site / "www/a.php").write_text("<?php")
    (site / "www/link").symlink_to("a.php")
    (site / "www/dir").mkdir()
    (site / "www/dir/index.php").write_text("<?php")
    options = {"static_map": (f"/={site}/www",), "static_index": ("index.php",)}
    assert Site(disk, **options).name(path)
    assert Site(disk, **options, static_skip_ext=(".lua", ".php")).find(path) is None


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"OPTIONS", b"get", b""])
def test_other_methods_are_the_application_s(site: Path, method: bytes) -> None:
    served = Site(static_map=(f"/={site}/www",))
    assert served.find(b"/a.txt", method=method) is None
    assert served.name(b"/a.txt", method=b"HEAD") == "a.txt"


def test_what_is_no_regular_file_is_not_served(disk: RealDisk, site: Path) -> None:
    os.mkfifo(site / "www/pipe")
    (site / "www/null").symlink_to("/dev/null")
    served = Site(disk, static_map=(f"/={site}/www",), static_safe=("/dev",))
    assert [served.find(b"/pipe"), served.find(b"/null")] == [None, None]


def test_the_index_is_added_to_the_path(site: Path) -> None:
    served = Site(static_map=(f"/m={site}/www",), static_index=("index.html",))
    for path in (b"/m/sub", b"/m/sub/"):
        found = served.find(path)
        assert isinstance(found, Found)
        assert found.path_info == b"/m/sub/index.html"


def test_a_place_is_remembered_for_its_time(site: Path) -> None:
    served = Site(check_static=(f"{site}/www2", f"{site}/www"), static_cache_paths=10)
    assert served.name(b"/a.txt") == "a.txt"
    (site / "www2/a.txt").write_text("new")
    sizes = []
    for later in (9.0, 19.5):
        served.now += later
        found = served.find(b"/a.txt")
        assert isinstance(found, Found)
        sizes.append(found.file.size)
    assert sizes == [10, 3]


def test_a_remembered_place_that_is_empty_now_is_only_the_first_to_be_asked(site: Path) -> None:
    served = Site(check_static=(f"{site}/www2", f"{site}/www"), static_cache_paths=10)
    assert served.name(b"/a.txt") == "a.txt"
    (site / "www/a.txt").rename(site / "www2/a.txt")
    assert served.name(b"/a.txt") == "a.txt"


def test_what_is_remembered_has_a_limit(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uwgate.files.finder.MAX_REMEMBERED", 3)
    served = Site(check_static=(f"{site}/www2", f"{site}/www"), static_cache_paths=10)
    for number in range(10):
        assert served.name(b"/" + b"./" * number + b"a.txt") == "a.txt"
    assert len(served.finder._remembered) == 3
    assert MAX_REMEMBERED == 10_000


def test_an_application_may_name_what_is_served_or_safe(disk: RealDisk, site: Path) -> None:
    served = Site(
        disk,
        static_map=(f"/={site}/www/sub",),
        static_internal=(f"/x={site}/www2",),
        static_safe=(f"{site}/www/a.txt",),
    )
    for path in ("www/sub/index.html", "www2/secret", "www/a.txt"):
        found = served.finder.find_named(os.fsencode(site / path))
        assert isinstance(found, Found)
        found.file.close()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"/etc/passwd", "is outside"),
        (b"www/a.txt", "no absolute path"),
        (b"", "no absolute path"),
        (b"/a\0", "NUL"),
        (b"%s/www/../../etc/passwd", "leads up"),
    ],
)
def test_an_application_may_not_name_anything_else(
    disk: RealDisk, site: Path, path: bytes, reason: str
) -> None:
    served = Site(disk, static_map=(f"/={site}/www",))
    refused = served.finder.find_named(path.replace(b"%s", os.fsencode(site)))
    assert isinstance(refused, Refused)
    assert reason in refused.reason


def test_internal_places_are_not_for_clients(site: Path) -> None:
    served = Site(static_internal=(f"/p={site}/www",))
    assert served.find(b"/p/a.txt") is None
    found = served.finder.find_internal(b"/p/a.txt")
    assert isinstance(found, Found)
    found.file.close()
    assert served.finder.find_internal(b"/q/a.txt") is None
    assert isinstance(served.finder.find_internal(b"/p/../x"), Refused)


def test_a_rule_may_name_any_file_or_one_of_a_directory(disk: RealDisk, site: Path) -> None:
    served = Site(disk)
    secret, www = os.fsencode(site / "www2/secret"), os.fsencode(site / "www")
    found = served.finder.find_by_rule(secret)
    assert isinstance(found, Found)
    found.file.close()
    assert isinstance(served.finder.find_by_rule(secret, www), Refused)
    assert isinstance(served.finder.find_by_rule(b""), Refused)
    assert served.finder.find_by_rule(www + b"/none", www) is None


SEGMENT = st.one_of(
    st.sampled_from([b"..", b".", b"", b"m", b"a.txt", b"out", b"www2", b"secret", b"\0", b"%2e"]),
    st.binary(max_size=5),
)


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, bytes]:
    """A site with a link that leads out, and its only file."""
    top = tmp_path_factory.mktemp("site").resolve()
    for name in ("www", "www2"):
        (top / name).mkdir()
    (top / "www/a.txt").write_text("x")
    (top / "www2/secret").write_text("SECRET")
    (top / "www/out").symlink_to("../www2")
    roots = (f"/m={top}/www", f"/={top}/www")
    return Site(static_map=roots, check_static=(f"{top}/www",)), os.fsencode(top / "www/a.txt")


@settings(deadline=None)
@given(parts=st.lists(st.tuples(SEGMENT, SEGMENT), max_size=8))
def test_no_path_at_all_leads_out(
    open_door: tuple[Site, bytes], parts: list[tuple[bytes, bytes]]
) -> None:
    site, file = open_door
    found = site.find(b"".join(b"/" + left + right for left, right in parts))
    assert not isinstance(found, Found) or found.file.path == file
