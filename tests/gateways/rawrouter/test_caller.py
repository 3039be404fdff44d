"""Who a client is, in the words of those who have to be told."""

from __future__ import annotations

import pytest

from uwgate.gateways.rawrouter import xclient
from uwgate.gateways.rawrouter.caller import Caller


@pytest.mark.parametrize(
    ("address", "caller", "text"),
    [
        (("192.0.2.7", 5), Caller("192.0.2.7", 5), "192.0.2.7:5"),
        (("::1", 5, 0, 0), Caller("::1", 5), "[::1]:5"),
        (("fe80::1%eth0", 5, 0, 2), Caller("fe80::1", 5), "[fe80::1]:5"),
        (("::ffff:192.0.2.7", 5, 0, 0), Caller("192.0.2.7", 5), "192.0.2.7:5"),
        ("", Caller(), "a local client"),
        (b"\0name", Caller(), "a local client"),
    ],
)
def test_a_caller_is_made_of_what_the_kernel_says(
    address: object, caller: Caller, text: str
) -> None:
    found = Caller.of(address)
    assert found == caller
    assert str(found) == text


@pytest.mark.parametrize(
    ("caller", "line"),
    [
        (Caller("192.0.2.7", 5), b"XCLIENT ADDR=192.0.2.7\r\n"),
        (Caller("2001:db8::1", 5), b"XCLIENT ADDR=IPV6:2001:db8::1\r\n"),
        (Caller(), b""),
    ],
)
def test_a_mail_server_is_told_the_address(caller: Caller, line: bytes) -> None:
    assert xclient.command(caller) == line


@pytest.mark.parametrize("cut", range(14))
def test_a_greeting_cut_short_anywhere_asks_for_more(cut: int) -> None:
    assert xclient.after_greeting(b"220 greeting\r\n"[:cut]) is None


def test_what_stands_behind_a_greeting_is_found() -> None:
    assert xclient.after_greeting(b"220 greeting\r\nmore\r\n") == b"more\r\n"


def test_a_greeting_has_a_limit() -> None:
    with pytest.raises(xclient.GreetingError):
        xclient.after_greeting(b"x" * (xclient.MAX_LINE + 1))
