"""The head of an SCGI request."""

from __future__ import annotations

import pytest

from uwgate.gateways.wire.scgi import ScgiError, encode_head


def test_the_length_comes_first_and_once() -> None:
    variables = [(b"A", b"b"), (b"CONTENT_LENGTH", b"9"), (b"SCGI", b"2"), (b"C", b"")]
    text = b"CONTENT_LENGTH\x0027\0SCGI\x001\0A\0b\0C\0\0"
    assert encode_head(variables, 27) == b"%d:%b," % (len(text), text)


def test_a_request_without_a_body_says_so() -> None:
    assert encode_head([], 0) == b"24:CONTENT_LENGTH\x000\0SCGI\x001\0,"


@pytest.mark.parametrize("pair", [(b"A\0", b"b"), (b"A", b"b\0HTTP_X\0y")])
def test_no_value_makes_a_variable_of_its_own(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(ScgiError, match="NUL"):
        encode_head([pair], 0)
