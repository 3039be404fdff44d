"""All four chains around one request (spec/internal-routing.md section 1)."""

from __future__ import annotations

from .simulation import Response, Server

PLAIN = (b"Content-Type", b"text/plain")


def test_rules_log_when_the_response_is_over() -> None:
    server = Server(["final-route-run = log:${uwgsi}${uwsgi[status]} ${uwsgi[rsize]} ${PATH_INFO}"])
    server.get("/pieces")
    assert server.logged() == [b"200 11 /pieces"]


def test_a_request_that_ends_without_answer_is_a_500_in_the_log() -> None:
    server = Server(["route-run = break:", "final-route-run = log:${uwsgi[status]}"])
    assert server.get("/") == Response(None)
    assert server.logged() == [b"500"]


def test_the_error_chain_does_not_run_for_its_own_status() -> None:
    server = Server(["error-route-run = addvar:N=${N}x", "error-route-run = return:500"])
    assert server.get("/").status == b"500 Internal Server Error"
    assert server.transactions[0].get(b"N") == b"x"


def test_the_error_chain_starts_from_its_first_rule_each_time() -> None:
    server = Server(
        [
            "error-route-run = addvar:N=${N}x",
            "error-route-run = goto:end",
            "error-route-label = end",
            "error-route-run = addvar:N=${N}y",
            "response-route-run = return:403",
        ]
    )
    assert server.get("/").status == b"403 Forbidden"
    assert server.transactions[0].get(b"N") == b"xyxy"


def test_a_broken_error_chain_leaves_no_response() -> None:
    assert Server(["error-route-run = break:"]).get("/") == Response(None)


def test_the_response_s_rules_run_once() -> None:
    server = Server(["route-run = return:404", "response-route-run = addvar:N=${N}x"])
    server.get("/")
    assert server.transactions[0].get(b"N") == b"x"


def test_a_pulled_header_is_a_variable_and_no_header() -> None:
    server = Server(
        ["pull-header = X-App V", "response-route-if = equal:${V};1 addheader:X-Seen: yes"]
    )
    assert server.get("/a.txt").headers == (PLAIN, (b"X-Seen", b"yes"))


def test_headers_of_every_response_come_and_go() -> None:
    server = Server(["add-header = X-A: 1", "rem-header = x-app", "route = ^/b return:404"])
    assert server.get("/a").headers == (PLAIN, (b"X-A", b"1"))
    assert server.get("/b").headers == (PLAIN, (b"Content-Length", b"9"), (b"X-A", b"1"))


def test_a_length_counts_what_rules_sent_before() -> None:
    response = Server(["route-run = send:Sorry-", "route-run = return:404"]).get("/")
    assert response.body == b"Sorry-Not Found"
    assert (b"Content-Length", b"15") in response.headers


def test_a_cache_is_asked_and_filled() -> None:
    rules = ["route-run = cache:key=${PATH_INFO}", "route-run = cachestore:key=${PATH_INFO}"]
    server = Server(rules)
    assert server.get("/pieces").headers == (PLAIN, (b"X-App", b"1"))
    assert server.get("/pieces") == Response(
        b"200 OK",
        ((b"Content-Type", b"text/html"), (b"Content-Length", b"11")),
        b"alpha-beta\n",
    )


def test_the_error_chain_can_hand_nothing_over() -> None:
    server = Server(["error-route-run = http:127.0.0.1:80"])
    assert server.get("/") == Response(None)


def test_an_error_chain_breaks_what_the_response_s_rules_answer() -> None:
    rules = ["response-route-run = return:403", "error-route-status = 403 break:"]
    assert Server(rules).get("/") == Response(None)


def test_the_response_s_rules_may_hand_the_request_over() -> None:
    rules = [
        "collect-header = Content-Type CT",
        "response-route-if = equal:${CT};text/html http:/s",
    ]
    assert Server(rules).get("/a.html") == Response(None)
    assert Server(rules).get("/a.txt").status == b"200 OK"


def test_what_goes_wrong_in_the_response_s_rules_ends_it() -> None:
    assert Server(["response-route-run = +:NOPE"]).get("/") == Response(None)


def test_a_body_can_be_left_out_by_the_response_s_rules() -> None:
    response = Server(["response-route-run = send:x", "response-route-run = break:"]).get("/a.txt")
    assert response == Response(b"200 OK", (PLAIN, (b"X-App", b"1")), b"x")


def test_rules_make_a_response_of_their_own() -> None:
    rules = ["route-run = send:Hello", "route-run = break:"]
    assert Server(rules).get("/") == Response(b"200 OK", (), b"Hello")


def test_what_was_sent_before_something_went_wrong_is_no_response() -> None:
    assert Server(["route-run = send:Hello", "route-run = +:NOPE"]).get("/") == Response(None)
