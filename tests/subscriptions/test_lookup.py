"""Under which keys a request is looked up (subscriptions/lookup.py)."""

from __future__ import annotations

import pytest

from uwgate.subscriptions.lookup import Lookup

POOLS = [".ex.com", ".com", "ex.com"]


def first_of(lookup: Lookup, name: str) -> str | None:
    """The first of the pools in the examples that a name leads to."""
    return next((key for key in lookup.candidates(name) if key in POOLS), None)


def test_a_name_alone_is_looked_up_as_it_is() -> None:
    assert list(Lookup().candidates("a.ex.com:8000")) == ["a.ex.com:8000"]


@pytest.mark.parametrize(
    ("name", "pool"),  # spec/subscriptions.md section 12, measured
    [
        ("ex.com", "ex.com"),
        ("a.ex.com", ".ex.com"),
        ("b.a.ex.com", ".ex.com"),
        ("foo.com", ".com"),
        ("a.b.c.d.ex.com", ".ex.com"),
        ("e.d.c.b.a.ex.com", None),
        ("a.b.c.d.e.com", None),
        ("com", None),
    ],
)
def test_dotsplit_cuts_the_name_as_uwsgi_does(name: str, pool: str | None) -> None:
    assert first_of(Lookup(dotsplit=True), name) == pool


def test_a_dot_at_the_beginning_is_not_cut() -> None:
    assert list(Lookup(dotsplit=True).candidates(".ex.com")) == [".ex.com", ".com"]


def test_the_fallback_is_tried_last() -> None:
    lookup = Lookup(fallback="Else", dotsplit=True)
    assert list(lookup.candidates("a.com")) == ["a.com", ".com", "else"]


def test_case_does_not_matter_unless_it_is_to() -> None:
    assert list(Lookup().candidates("Foo.COM")) == ["foo.com"]
    assert list(Lookup(fold_case=False).candidates("Foo.COM")) == ["Foo.COM"]


def test_a_key_is_kept_in_the_form_in_which_it_is_looked_up() -> None:
    assert Lookup().normal("Foo.com") == "foo.com"
    assert Lookup(fold_case=False).normal("Foo.com") == "Foo.com"
    assert Lookup().normal("*.Ex.com") == ".ex.com"


def test_the_case_of_a_mountpoint_matters() -> None:
    lookup = Lookup(mountpoints=1)
    assert lookup.normal("Foo.com/Shop") == "foo.com/Shop"
    assert list(lookup.candidates("Foo.com", "/Shop")) == ["foo.com/Shop", "foo.com"]


def test_the_port_may_be_left_out() -> None:
    lookup = Lookup(strip_port=True)
    assert list(lookup.candidates("a.com:8000")) == ["a.com:8000", "a.com"]
    assert list(lookup.candidates("a.com")) == ["a.com"]
    assert list(lookup.candidates("[::1]")) == ["[::1]"]


@pytest.mark.parametrize(
    ("levels", "path", "keys"),
    [
        (1, "/foo/bar", ["a/foo", "a"]),
        (2, "/foo/bar/x", ["a/foo/bar", "a/foo", "a"]),
        (3, "/foo", ["a/foo", "a"]),
        (1, "/", ["a"]),
        (2, "/foo/", ["a/foo", "a"]),
        (2, "//foo", ["a"]),
        (1, "/?x/y", ["a/?x", "a"]),
        (1, "*", ["a"]),
        (1, "", ["a"]),
        (0, "/foo", ["a"]),
    ],
)
def test_the_longest_mountpoint_comes_first(levels: int, path: str, keys: list[str]) -> None:
    assert list(Lookup(mountpoints=levels).candidates("a", path)) == keys


def test_a_mountpoint_that_makes_the_key_too_long_is_left_out() -> None:
    assert list(Lookup(mountpoints=1).candidates("a", "/" + "x" * 254)) == ["a"]
    assert len(list(Lookup(mountpoints=1).candidates("a", "/" + "x" * 253))) == 2


def test_only_a_lookup_of_the_name_itself_is_plain() -> None:
    assert Lookup().is_plain
    assert not Lookup(fallback="x").is_plain
    assert not Lookup(mountpoints=1).is_plain
