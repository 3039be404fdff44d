"""Arguments of key=value pairs."""

from __future__ import annotations

import pytest

from uwgate.routing.keyval import read_pairs
from uwgate.routing.workshop import Mistake


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (b"", {}),
        (b"a=1", {"a": b"1"}),
        (b"a=1,b=2=3", {"a": b"1", "b": b"2=3"}),
        (b"a=1,,a=2,", {"a": b"2"}),
        (rb"a=1\,2,b=3", {"a": b"1,2", "b": b"3"}),
        (b"a=1\\", {"a": b"1"}),
        (b"a=", {"a": b""}),
    ],
)
def test_pairs_are_read(text: bytes, pairs: dict[str, bytes]) -> None:
    assert read_pairs(text, ("a", "b")) == pairs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"name=1", "did you mean 'names'"),
        (b"zz=1", "expected names, key"),
        (b"key", "is no key=value"),
        (b"names=1", "the key 'key' is missing"),
    ],
)
def test_a_mistake_is_named(text: bytes, reason: str) -> None:
    with pytest.raises(Mistake, match=reason):
        read_pairs(text, ("names", "key"), required=("key",))
