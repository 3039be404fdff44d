"""How a chain goes on from rule to rule (spec/internal-routing.md section 3)."""

from __future__ import annotations

import pytest

from uwgate.routing.chain import Run
from uwgate.routing.effects import Log
from uwgate.routing.outside import Outside
from uwgate.routing.results import Answer, Break, CacheGet, Continue
from uwgate.routing.rules import compile_rules
from uwgate.routing.transaction import MAX_VALUE, Transaction


def start(*lines: str, path: str = "/", **more: str) -> Run:
    """The request chain with these rules, on its way."""
    triples = [(key.strip(), value.strip(), "x") for key, _, value in map(cut, lines)]
    values = {b"PATH_INFO": path.encode()}
    values |= {name.encode(): value.encode() for name, value in more.items()}
    return compile_rules(triples).request.start(Transaction(values), Outside())


def cut(line: str) -> tuple[str, str, str]:
    return line.partition("=")


def tags(run: Run) -> bytes:
    return run.scope.transaction.get(b"TAG")


def add(letter: str) -> str:
    return f"route-run = addvar:TAG=${{TAG}}{letter}"


def test_rules_run_in_order_to_the_end() -> None:
    run = start(add("a"), add("b"), add("c"))
    assert run.verdict == Continue()
    assert tags(run) == b"abc"


@pytest.mark.parametrize("action", ["last:", "continue:", "goon:"])
def test_last_leaves_the_chain(action: str) -> None:
    run = start(add("a"), f"route-run = {action}", add("b"))
    assert run.verdict == Continue()
    assert tags(run) == b"a"


def test_break_ends_the_request_and_is_counted() -> None:
    run = start(add("a"), "route-run = break:", add("b"))
    assert run.verdict == Break()
    assert tags(run) == b"a"
    assert run.scope.transaction.routed == 1


def test_goto_passes_rules_by() -> None:
    run = start("route-run = goto:end", add("a"), "route-label = end", add("b"))
    assert tags(run) == b"b"


def test_of_two_labels_with_one_name_the_first_counts() -> None:
    lines = ("route-label = end", add("b"), "route-label = end", add("c"))
    run = start("route-run = goto:end", add("a"), *lines)
    assert tags(run) == b"bc"


def test_a_label_may_be_made_of_a_group() -> None:
    lines = (add("a"), "route-label = x", add("b"), "route-label = y", add("c"))
    assert tags(start("route = ^/(.) goto:$1", *lines, path="/y")) == b"c"
    assert tags(start("route = ^/(.) goto:$1", *lines, path="/x")) == b"bc"


def test_a_made_label_that_does_not_exist_breaks_and_says_so() -> None:
    run = start("route = ^/(.) goto:$1", add("a"), path="/z")
    assert run.verdict == Break("goto 'z': there is no such label", 500)
    assert run.scope.transaction.routed == 0
    assert run.scope.transaction.effects == [
        Log(b"x: route = ^/(.) goto:$1: goto 'z': there is no such label", problem=True)
    ]


def test_a_made_label_further_up_breaks() -> None:
    run = start("route-label = z", "route = ^/(.) goto:$1", path="/z")
    assert run.verdict == Break("goto 'z': can only jump forward", 500)


def test_a_number_is_a_position_if_no_label_has_that_name() -> None:
    assert tags(start("route-run = goto:2", add("a"), add("b"))) == b"b"
    lines = (add("a"), add("b"), "route-label = 2", add("c"))
    assert tags(start("route-run = goto:2", *lines)) == b"c"


def test_a_group_is_never_a_position() -> None:
    run = start("route = ^/(.) goto:$1", add("a"), add("b"), path="/2")
    assert isinstance(run.verdict, Break)


def test_later_rules_see_what_earlier_ones_changed() -> None:
    run = start(
        "route-run = setpathinfo:/b",
        "route = ^/b addvar:TAG=rule",
        "route-if = equal:${TAG};rule addvar:TAG2=condition",
        path="/a",
    )
    assert tags(run) == b"rule"
    assert run.scope.transaction.get(b"TAG2") == b"condition"


def test_a_change_makes_earlier_candidates_no_more() -> None:
    run = start("route-run = setpathinfo:/b", "route = ^/a addvar:TAG=old", path="/a")
    assert tags(run) == b""


def test_a_rule_behind_a_jump_still_sees_a_change() -> None:
    run = start(
        "route-run = setpathinfo:/b",
        "route-run = goto:end",
        "route = ^/b addvar:TAG=passed",
        "route-label = end",
        "route = ^/b addvar:TAG=${TAG}seen",
        path="/a",
    )
    assert tags(run) == b"seen"


def test_groups_do_not_live_on_to_the_next_rule() -> None:
    run = start("route = ^/(.) log:$1", "route-run = addvar:TAG=[$1]", path="/a")
    assert tags(run) == b"[]"


def test_a_negated_condition_has_no_groups() -> None:
    lines = ("route-if-not = regexp:${PATH_INFO};^/(b) addvar:TAG=[$0$1]",)
    assert tags(start(*lines, path="/a")) == b"[]"
    assert tags(start(*lines, path="/b")) == b""


def test_a_question_waits_for_its_answer() -> None:
    run = start("route-run = cache:key=${PATH_INFO},name=c", add("a"), path="/k")
    assert run.verdict is None
    assert run.question == CacheGet(b"c", b"/k")
    run.resume(None)
    assert run.verdict == Continue()
    assert tags(run) == b"a"


def test_nothing_can_be_answered_without_a_question() -> None:
    run = start(add("a"))
    with pytest.raises(ValueError, match="nothing was asked"):
        run.resume(None)


def test_a_value_that_is_too_long_breaks() -> None:
    run = start("route-run = addvar:TAG=${X}${X}", X="x" * (MAX_VALUE // 2 + 1))
    assert run.verdict == Break(f"TAG would have {MAX_VALUE + 1} bytes, limit {MAX_VALUE}", 500)


def test_a_subject_that_a_pattern_cannot_take_is_an_answer_of_its_own() -> None:
    run = start(r"route = (\w)\1x break:403", path="/" + "a" * 9000 + "x")
    assert isinstance(run.verdict, Break)
    assert run.verdict.status == 414


def test_a_verdict_ends_the_chain() -> None:
    run = start("route-run = return:404", add("a"))
    assert isinstance(run.verdict, Answer)
    assert tags(run) == b""


def test_a_hundred_rules_that_do_not_match_are_not_looked_at() -> None:
    rules = [("route", rf"^/section{n}/(\d+)$ last:", "x") for n in range(50)]
    rules += [("route", rf"\.x{n}y$ last:", "x") for n in range(10)]
    rules += [("route", rf"^/(\w+)/export{n}$ last:", "x") for n in range(10)]
    rules += [("route-host", rf"^(www\.)?host{n}\.example$ last:", "x") for n in range(10)]
    rules += [("route-user-agent", f"(?i)(bot{n}x|spider{n}x) last:", "x") for n in range(10)]
    rules += [("route-if", f"equal:${{HTTP_X}};v{n} last:", "x") for n in range(10)]
    chain = compile_rules(rules).request
    variables = {
        b"PATH_INFO": b"/section/7/index.html",
        b"HTTP_HOST": b"www.example.com",
        b"HTTP_USER_AGENT": b"Mozilla/5.0 (X11; Linux x86_64)",
        b"HTTP_X": b"v",
    }
    assert chain.index.candidates(variables) == []
