"""HTTP/1 request heads (gateways/wire/http1.py)."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.gateways.wire.cases import load_cases
from uwgate.conf.errors import ClientError
from uwgate.gateways.wire.http1 import (
    Limits,
    RequestHead,
    fields_and_framing,
    find_end,
    parse_head,
    tokens_of,
    without_empty_lines,
)

LIMITS = Limits()
GET = b"GET /path?q HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"


def status_of(head: bytes, limits: Limits = LIMITS) -> int:
    """The status with which a head is refused, at whatever stage."""
    with pytest.raises(ClientError) as caught:
        read(head, limits)
    return caught.value.status


def read(head: bytes, limits: Limits = LIMITS) -> RequestHead:
    end = find_end(head, limits)
    assert end == len(head)
    parsed = parse_head(head[:end], limits)
    fields_and_framing(parsed.minor, parsed.headers)
    return parsed


def request(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


# Where a head ends


@pytest.mark.parametrize("cut", range(len(GET)))
def test_a_head_cut_short_anywhere_asks_for_more(cut: int) -> None:
    assert find_end(GET[:cut], LIMITS) == -1


def test_what_follows_a_head_is_left_alone() -> None:
    assert find_end(GET + b"body\n\r\n\r\n", LIMITS) == len(GET)


@pytest.mark.parametrize("part", [b"\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: a\nX:"])
def test_a_bare_lf_is_refused_as_soon_as_it_is_there(part: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        find_end(part, LIMITS)
    assert caught.value.status == 400


def test_a_bare_lf_between_whole_lines_is_refused() -> None:
    assert status_of(b"GET / HTTP/1.1\nHost: a\r\n\r\n") == 400
    assert status_of(b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n") == 400


def test_a_head_of_the_limit_is_taken_and_one_byte_more_refused() -> None:
    limits = Limits(head=len(GET))
    assert find_end(GET, limits) == len(GET)
    longer = GET.replace(b"X: 1", b"X: 12")
    with pytest.raises(ClientError) as caught:
        find_end(longer, limits)
    assert caught.value.status == 431


def test_an_endless_request_line_is_refused_at_its_limit() -> None:
    limits = Limits(head=1000, line=100)
    assert find_end(b"GET /" + b"x" * 95, limits) == -1
    with pytest.raises(ClientError) as caught:
        find_end(b"GET /" + b"x" * 96, limits)
    assert caught.value.status == 414


def test_an_endless_head_is_refused_at_its_limit() -> None:
    limits = Limits(head=100, line=100)
    begin = b"GET / HTTP/1.1\r\nX: "
    assert find_end(begin.ljust(99, b"x"), limits) == -1
    with pytest.raises(ClientError) as caught:
        find_end(begin.ljust(100, b"x"), limits)
    assert caught.value.status == 431


# Request line


def test_the_parts_of_a_head_are_read() -> None:
    assert read(GET) == RequestHead(b"GET", b"/path?q", 1, [(b"Host", b"a"), (b"X", b"1")])


def test_http_1_0_needs_no_host() -> None:
    assert read(b"GET / HTTP/1.0\r\n\r\n") == RequestHead(b"GET", b"/", 0, [])


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b" ",
        b"GET",
        b"GET /",
        b"GET / ",
        b"GET  / HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/\tHTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/1.",
        b"GET / HTTP/.1",
        b"GET / HTTP/11",
        b"GET / HTTP/1.10",
        b"GET / HTTP/01.1",
        b"GET / HTTP/1,1",
        b"GET / HTTPS/1.1",
        b"GET / HTTP /1.1",
        b"GET / x HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"G:T / HTTP/1.1",
        b"G\xc3T / HTTP/1.1",
        b"GET /\0 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"GET /\x0b HTTP/1.1",
        b"\0GET / HTTP/1.1",
        b"\xef\xbb\xbfGET / HTTP/1.1",
    ],
)
def test_a_malformed_request_line_is_refused(start: bytes) -> None:
    assert status_of(request(start=start)) == 400


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"1.9", b"2.0", b"3.0"])
def test_another_version_is_505(version: bytes) -> None:
    assert status_of(request(start=b"GET / HTTP/" + version)) == 505


def test_a_request_line_of_the_limit_is_taken_and_one_byte_more_refused() -> None:
    start = b"GET /" + b"x" * 93 + b" HTTP/1.1"
    limits = Limits(line=len(start) + 2)
    assert read(request(start=start), limits).target == b"/" + b"x" * 93
    assert status_of(request(start=start.replace(b"/", b"/x", 1)), limits) == 414


def test_a_long_malformed_request_line_is_414() -> None:
    assert status_of(request(start=b"GET " + b"x y" * 100), Limits(line=256)) == 414


# Header lines


@pytest.mark.parametrize(
    "line",
    [
        b"X : 1",
        b"X\t: 1",
        b" X: 1",
        b"\tX: 1",
        b": 1",
        b"X",
        b"X;1",
        b"X Y: 1",
        b"X: \0",
        b"X: a\0b",
        b"X: \x01",
        b"X: \x0b",
        b"X: \x7f",
        b"X: a\rb",
        b"X: a\r",
        b"X\0: 1",
        b"X\xe9: 1",
        b'X": 1',
        b"X(: 1",
        b"X: 1\r\n folded",
        b"X: 1\r\n\tfolded",
        b"X: 1\r\n ",
    ],
)
def test_a_malformed_header_line_is_refused(line: bytes) -> None:
    assert status_of(request(line)) == 400


def test_a_folded_line_right_behind_the_request_line_is_refused() -> None:
    assert status_of(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n") == 400


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"X:", b""),
        (b"X: ", b""),
        (b"X:\t\t", b""),
        (b"X:1", b"1"),
        (b"X: 1 ", b"1"),
        (b"X:\t1\t", b"1"),
        (b"X: a  b", b"a  b"),
        (b"X: :", b":"),
        (b"X: \x80\xff", b"\x80\xff"),
    ],
)
def test_blanks_around_a_value_are_not_part_of_it(line: bytes, value: bytes) -> None:
    assert read(request(line)).headers[1] == (b"X", value)


def test_every_token_character_may_stand_in_a_name() -> None:
    name = b"!#$%&'*+-.^_`|~09azAZ"
    assert read(request(name + b": 1")).headers[1] == (name, b"1")


def test_a_header_line_of_the_limit_is_taken_and_one_byte_more_refused() -> None:
    limits = Limits(line=256)
    assert len(read(request(b"X: " + b"v" * 253), limits).headers) == 2
    assert status_of(request(b"X: " + b"v" * 254), limits) == 431


def test_a_long_line_among_short_ones_is_found() -> None:
    assert status_of(request(b"A: 1", b"X: " + b"v" * 254, b"B: 1"), Limits(line=256)) == 431


def test_as_many_headers_as_the_limit_are_taken_and_one_more_refused() -> None:
    limits = Limits(headers=10)
    lines = [b"X%d: 1" % n for n in range(9)]
    assert len(read(request(*lines), limits).headers) == 10
    assert status_of(request(*lines, b"Y: 1"), limits) == 431


def test_a_large_legal_head_is_checked_in_linear_time() -> None:
    lines = [b"X%d: %b" % (n, b"v" * 240) for n in range(127)]
    assert len(read(request(*lines)).headers) == 128


# Host


@pytest.mark.parametrize(
    "host",
    [
        b"a",
        b"A.Example",
        b"a.example:8080",
        b"a.example:",
        b"127.0.0.1:80",
        b"[::1]",
        b"[2001:db8::1]:443",
        b"[::ffff:1.2.3.4]",
        b"xn--caf-dma.example",
        b"under_score",
        b"a%41",
    ],
)
def test_a_host_is_taken(host: bytes) -> None:
    assert read(request(host=b"Host: " + host)).headers == [(b"Host", host)]


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b" ",
        b"a b",
        b"a,b",
        b"a/b",
        b"a@b",
        b"a?b",
        b"a#b",
        b"a\\b",
        b'"a"',
        b"<a>",
        b"a:80:80",
        b"a:b",
        b":80",
        b"[::1",
        b"::1",
        b"[g]",
        b"[]",
        b"caf\xc3\xa9",
    ],
)
def test_a_malformed_host_is_refused(host: bytes) -> None:
    assert status_of(request(host=b"Host: " + host)) == 400


def test_http_1_1_without_a_host_is_refused() -> None:
    assert status_of(request(host=b"")) == 400


@pytest.mark.parametrize("second", [b"Host: a", b"Host: b", b"host: b", b"Host:"])
def test_a_second_host_is_refused(second: bytes) -> None:
    assert status_of(request(second)) == 400


# Framing


def framing(*headers: tuple[bytes, bytes], minor: int = 1) -> tuple[int | None, bool, bool]:
    found = fields_and_framing(minor, [(b"Host", b"a"), *headers])[1]
    return found.length, found.keep_alive, found.expects_continue


def framing_status(*headers: tuple[bytes, bytes], minor: int = 1) -> int:
    with pytest.raises(ClientError) as caught:
        framing(*headers, minor=minor)
    return caught.value.status


def test_a_request_without_body_fields_has_no_body() -> None:
    assert framing() == (0, True, False)


@pytest.mark.parametrize(
    ("text", "length"), [(b"0", 0), (b"5", 5), (b"007", 7), (b"9" * 18, 10**18 - 1)]
)
def test_a_content_length_is_digits(text: bytes, length: int) -> None:
    assert framing((b"Content-Length", text))[0] == length


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"+5",
        b"-5",
        b"5 5",
        b"5,5",
        b"5, 5",
        b"0x5",
        b"5.0",
        b"5e1",
        b"1_0",
        b"a",
        b"5;",
        b"\xb2",
        b"\xd9\xa5",
        b"9" * 19,
    ],
)
def test_a_malformed_content_length_is_refused(text: bytes) -> None:
    assert framing_status((b"Content-Length", text)) == 400


@pytest.mark.parametrize("second", [b"5", b"6"])
def test_a_second_content_length_is_refused_equal_or_not(second: bytes) -> None:
    assert framing_status((b"Content-Length", b"5"), (b"content-length", second)) == 400


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED"])
def test_a_chunked_body_has_no_length(coding: bytes) -> None:
    assert framing((b"Transfer-Encoding", coding))[0] is None


@pytest.mark.parametrize(
    "coding",
    [
        b"",
        b"identity",
        b"gzip",
        b"gzip, chunked",
        b"chunked, gzip",
        b"chunked, chunked",
        b"chunked,",
        b",chunked",
        b"chunked;q=1",
        b"xchunked",
        b"chunkedx",
        b"chunke",
        b'"chunked"',
        b"chunked\xa0",
        b"chun ked",
    ],
)
def test_any_other_transfer_encoding_is_501(coding: bytes) -> None:
    assert framing_status((b"Transfer-Encoding", coding)) == 501


def test_a_second_transfer_encoding_is_refused() -> None:
    twice = [(b"Transfer-Encoding", b"chunked"), (b"transfer-encoding", b"chunked")]
    assert framing_status(*twice) == 400


@pytest.mark.parametrize("coding", [b"chunked", b"identity", b""])
def test_content_length_beside_transfer_encoding_is_refused_in_either_order(coding: bytes) -> None:
    both = [(b"Content-Length", b"5"), (b"Transfer-Encoding", coding)]
    assert framing_status(*both) == 400
    assert framing_status(*reversed(both)) == 400


def test_http_1_0_may_not_be_chunked() -> None:
    assert framing_status((b"Transfer-Encoding", b"chunked"), minor=0) == 400


@pytest.mark.parametrize(
    ("minor", "connection", "kept"),
    [
        (1, b"", True),
        (1, b"keep-alive", True),
        (1, b"close", False),
        (1, b"CLOSE", False),
        (1, b"keep-alive, close", False),
        (1, b"x,\tclose ,y", False),
        (1, b"closed", True),
        (1, b"upgrade", True),
        (0, b"", False),
        (0, b"keep-alive", True),
        (0, b"Keep-Alive", True),
        (0, b"keep-alive, close", False),
        (0, b"close", False),
    ],
)
def test_whether_a_connection_is_kept(minor: int, connection: bytes, kept: bool) -> None:
    assert framing((b"Connection", connection), minor=minor)[1] is kept


def test_connection_lines_count_together() -> None:
    assert framing((b"Connection", b"x"), (b"Connection", b"close"))[1] is False


@pytest.mark.parametrize("expect", [b"100-continue", b"100-Continue"])
@pytest.mark.parametrize("body", [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")])
def test_a_client_may_wait_before_it_sends_its_body(
    expect: bytes, body: tuple[bytes, bytes]
) -> None:
    assert framing((b"Expect", expect), body)[2] is True


def test_a_client_without_a_body_has_nothing_to_wait_for() -> None:
    assert framing((b"Expect", b"100-continue"))[2] is False
    assert framing((b"Expect", b"100-continue"), (b"Content-Length", b"0"))[2] is False


def test_expect_in_http_1_0_is_ignored() -> None:
    headers = [(b"Expect", b"100-continue"), (b"Content-Length", b"1")]
    assert framing(*headers, minor=0) == (1, False, False)


@pytest.mark.parametrize("expect", [b"", b"x", b"100-continue, x", b"100"])
def test_another_expectation_is_417(expect: bytes) -> None:
    assert framing_status((b"Expect", expect)) == 417


def test_tokens_are_lower_case_words_without_empty_ones() -> None:
    assert tokens_of(b"A, ,b\t ,,C-d") == [b"a", b"b", b"c-d"]


# Against llhttp


class Collected:
    """What httptools makes of a head."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True


def agrees_with_llhttp(head: bytes) -> bool:
    """True if llhttp reads what we accepted as we do; False if it refuses it.

    That it refuses more (its list of methods, its idea of a target) is no harm: the gateway
    lets it read each head as well.
    """
    ours = parse_head(head, LIMITS)
    theirs = Collected()
    parser = httptools.HttpRequestParser(theirs)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        return False
    assert theirs.complete
    method = parser.get_method()
    version = parser.get_http_version()
    assert (method, theirs.target, version) == (ours.method, ours.target, f"1.{ours.minor}")
    assert theirs.headers == ours.headers
    return True


TOKEN_CHARACTERS = b"!#$%&'*+-.^_`|~0123456789abcXYZ"
VALUE_CHARACTERS = bytes([9, *range(32, 127), 0x80, 0xC3, 0xFF])
TARGET_CHARACTERS = bytes(range(0x21, 0x7F)) + b"\x80\xff"


def text_of(alphabet: bytes, least: int = 0, most: int = 20) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(alphabet), min_size=least, max_size=most).map(bytes)


known_names = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Proxy-Connection",
        b"Upgrade",
        b"Expect",
        b"content_length",
    ]
)
known_values = st.sampled_from(
    [b"0", b"5", b"chunked", b"close", b"keep-alive", b"upgrade", b"100-continue", b"", b"\t x \t"]
)
headers = st.lists(
    st.tuples(
        known_names | text_of(TOKEN_CHARACTERS, 1),
        known_values | text_of(VALUE_CHARACTERS),
    ),
    max_size=6,
)
methods = st.sampled_from([b"GET", b"POST", b"OPTIONS", b"HEAD", b"PATCH", b"M-SEARCH"])


@given(methods, text_of(TARGET_CHARACTERS, 1), st.sampled_from([b"0", b"1"]), headers)
@example(b"GET", b"/", b"1", [(b"Host", b"a "), (b"X", b" \t ")])
@example(b"OPTIONS", b"*", b"1", [])
@example(b"GET", b"http://a/b?c#d", b"1", [])
@example(b"GET", b"/#a?b", b"0", [(b"Connection", b"close, keep-alive")])
def test_llhttp_reads_what_is_accepted_in_the_same_way(
    method: bytes, target: bytes, minor: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    lines = [name + b": " + value for name, value in headers]
    head = b"\r\n".join([b"%b %b HTTP/1.%b" % (method, target, minor), *lines, b"", b""])
    assert parse_head(head, LIMITS).target == target
    agrees_with_llhttp(head)


@given(st.binary(max_size=60), st.integers(0, len(GET)), st.integers(0, len(GET)))
def test_a_damaged_head_is_refused_or_read_as_llhttp_does(
    noise: bytes, start: int, end: int
) -> None:
    head = GET[:start] + noise + GET[end:]
    try:
        found = find_end(head, LIMITS)
        if found < 0:
            return
        parse_head(head[:found], LIMITS)
    except ClientError:
        return
    agrees_with_llhttp(head[:found])


@pytest.mark.parametrize("case", load_cases("accepted"), ids=str)
def test_each_accepted_case_is_read_by_both(case: bytes) -> None:
    read(case)
    assert agrees_with_llhttp(case)


@pytest.mark.parametrize("case", load_cases("refused"), ids=str)
def test_each_refused_case_is_refused(case: bytes) -> None:
    with pytest.raises(ClientError):
        read(case)


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"", b""),
        (b"\r\n" * 5, b""),
        (b"\r\n\r\nGET", b"GET"),
        (b"\r\n\r", b"\r"),
        (b"\nGET", b"\nGET"),
        (b"\r\n\nGET", b"\nGET"),
        (b"GET\r\n", b"GET\r\n"),
    ],
)
def test_only_whole_empty_lines_may_stand_before_a_request(data: bytes, rest: bytes) -> None:
    assert without_empty_lines(data) == rest
