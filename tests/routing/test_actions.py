"""What actions ask of the caller and tell it; what uWSGI shows is in test_like_uwsgi."""

from __future__ import annotations

import pytest

from uwgate.routing.effects import (
    ChangeDirectory,
    ChangeMetric,
    Effect,
    Log,
    LogVariable,
    RaiseAlarm,
    RaiseSignal,
    SetHarakiri,
    SetProcessTitle,
)
from uwgate.routing.results import (
    Answer,
    Break,
    Cached,
    CacheGet,
    CallRpc,
    Continue,
    Forward,
    Protocol,
    Question,
    RawAnswer,
    ServeFile,
    ServeStatic,
    Store,
    StoreGet,
    Sum,
    Verdict,
)

from .acting import act

EFFECTS: list[tuple[str, Effect]] = [
    ("log:at $1", Log(b"at /p")),
    ("logvar:who=${PATH_INFO}", LogVariable(b"who", b"/p")),
    ("harakiri:30", SetHarakiri(30)),
    ("signal:17", RaiseSignal(17)),
    ("alarm:a$1 it is $1", RaiseAlarm(b"a/p", b"it is /p")),
    ("chdir:/srv", ChangeDirectory(b"/srv")),
    ("setprocname:worker $1", SetProcessTitle(b"worker /p")),
    ("metricinc:hits", ChangeMetric(b"hits", Sum.ADD, 1)),
    ("metricdec:hits,2", ChangeMetric(b"hits", Sum.SUBTRACT, 2)),
    ("metricmul:hits,3", ChangeMetric(b"hits", Sum.MULTIPLY, 3)),
    ("metricdiv:hits,4", ChangeMetric(b"hits", Sum.DIVIDE, 4)),
    ("metricset:hits,-5", ChangeMetric(b"hits", Sum.SET, -5)),
]


@pytest.mark.parametrize(("action", "effect"), EFFECTS)
def test_an_action_has_its_effect_and_goes_on(action: str, effect: Effect) -> None:
    run = act(action)
    assert run.verdict == Continue()
    assert run.scope.transaction.effects == [effect]


def test_flags_of_the_transaction_are_set() -> None:
    transaction = act("donotlog:", "donotoffload:", "disableheaders:").scope.transaction
    assert not transaction.logged
    assert not transaction.offload
    assert transaction.headers_off


VERDICTS: list[tuple[str, Verdict]] = [
    (
        "break:403",
        Answer(
            403,
            b"Forbidden",
            (CLOSE := (b"Connection", b"close"), PLAIN := (b"Content-Type", b"text/plain")),
            close=True,
        ),
    ),
    ("http:127.0.0.1:80", Forward(Protocol.HTTP, b"127.0.0.1:80")),
    ("http:$1,host,/uri$1", Forward(Protocol.HTTP, b"/p", host=b"host", uri=b"/uri/p")),
    ("httpdumb:/s", Forward(Protocol.HTTP_UNCHANGED, b"/s")),
    ("proxyhttp:/s", Forward(Protocol.HTTP, b"/s", direct=False)),
    ("httpconnect:/s", Forward(Protocol.CONNECT, b"/s")),
    ("proxyhttpconnect:/s", Forward(Protocol.CONNECT, b"/s")),
    ("uwsgi:/s,9,1,app", Forward(Protocol.UWSGI, b"/s", 9, 1, b"app")),
    ("proxyuwsgi:/s,0,0", Forward(Protocol.UWSGI, b"/s", direct=False)),
    ("fcgi:/s", Forward(Protocol.FASTCGI, b"/s")),
    ("scgi:/s", Forward(Protocol.SCGI, b"/s")),
    ("static:/srv$1", ServeStatic(b"/srv/p", root=b"/srv")),
    ("file:filename=/srv/$1", ServeFile(b"/srv//p", root=b"/srv")),
    ("file:filename=/srv/x", ServeFile(b"/srv/x")),
    ("file:filename=$1", ServeFile(b"/p")),
    ("file:filename=$1,root=/srv", ServeFile(b"/p", root=b"/srv")),
    (
        "sendfile:filename=/a,status=404 No,content_type=a/b,mime=1,no_headers=1,nocl=1",
        ServeFile(b"/a", b"404 No", b"a/b", True, None, True, False, False),
    ),
    ("fastfile:filename=/a", ServeFile(b"/a", by_kernel=True)),
]


@pytest.mark.parametrize(("action", "verdict"), VERDICTS)
def test_an_action_ends_the_chain_with_its_verdict(action: str, verdict: Verdict) -> None:
    run = act(action, "break:")
    assert run.verdict == verdict
    assert run.scope.transaction.routed == 1


def test_donotoffload_makes_a_backend_s_answer_pass_by_the_rules() -> None:
    assert act("donotoffload:", "http:/s").verdict == Forward(Protocol.HTTP, b"/s", direct=False)


def test_uwsgi_without_an_address_sets_modifiers_and_leaves_the_chain() -> None:
    run = act("uwsgi:,9,2,app", "break:")
    assert run.verdict == Continue()
    assert (run.scope.transaction.modifier1, run.scope.transaction.modifier2) == (9, 2)
    assert run.scope.transaction.get(b"UWSGI_APPID") == b"app"


def test_where_an_application_lives_is_set() -> None:
    transaction = act("sethome:/venv$1", "setfile:/app$1.py").scope.transaction
    assert transaction.get(b"UWSGI_HOME") == b"/venv/p"
    assert transaction.get(b"UWSGI_FILE") == b"/app/p.py"


def test_modifiers_are_set() -> None:
    transaction = act("setmodifier1:5", "setmodifier2:6").scope.transaction
    assert (transaction.modifier1, transaction.modifier2) == (5, 6)


FAILURES = [
    ("http:${NOPE}", {}, 502),
    ("uwsgi:${X},0,0", {"X": "a\nb"}, 502),
    ("http:/s,,${X}", {"X": "/a b"}, 400),
    ("redirect:${X}", {"X": "/\r\nSet-Cookie: a"}, 400),
    ("addheader:X: ${X}", {"X": "a\0"}, 400),
    ("addheader:${X}", {"X": "no header"}, 500),
    ("static:/srv${X}", {"X": "\0"}, 404),
    ("file:filename=${NOPE}", {}, 404),
    ("file:filename=/a,status=${X}", {"X": "2"}, 500),
    ("chdir:/nowhere", {}, 500),
    ("metricinc:nope", {}, 500),
    ("expires:file=/nope", {}, 500),
    ("+:NOPE", {}, 500),
    ("clearheaders:${X}", {"X": "abc"}, 500),
]


@pytest.mark.parametrize(("action", "variables", "status"), FAILURES)
def test_what_cannot_be_done_breaks_with_a_reason(
    action: str, variables: dict[str, str], status: int
) -> None:
    run = act(action, **variables)
    assert isinstance(run.verdict, Break)
    assert run.verdict.status == status
    problems = [one for one in run.scope.transaction.effects if isinstance(one, Log)]
    assert [one.problem for one in problems] == [True]


QUESTIONS: list[tuple[str, Question]] = [
    ("static-next:/srv$1", ServeStatic(b"/srv/p", optional=True, root=b"/srv")),
    ("file-next:filename=/a", ServeFile(b"/a", optional=True)),
    ("sendfile-next:filename=/a", ServeFile(b"/a", by_kernel=True, optional=True)),
    ("fastfile-next:filename=/a", ServeFile(b"/a", by_kernel=True, optional=True)),
    ("cache:key=$1,name=c@127.0.0.1:4000", CacheGet(b"c@127.0.0.1:4000", b"/p")),
    ("memcached:addr=/m,key=k$1", StoreGet(Store.MEMCACHED, b"/m", b"k/p")),
    ("redis:addr=/r,key=k$1", StoreGet(Store.REDIS, b"/r", b"k/p")),
    ("rpcraw:f@/s a$1 b", CallRpc(b"f", (b"a/p", b"b"), b"/s")),
]


@pytest.mark.parametrize(("action", "question"), QUESTIONS)
def test_what_is_not_there_lets_the_chain_go_on(action: str, question: Question) -> None:
    run = act(action, "addvar:TAG=on")
    assert run.question == question
    run.resume(None)
    assert run.verdict == Continue()
    assert run.scope.transaction.get(b"TAG") == b"on"


def test_a_hit_of_a_cache_is_an_answer() -> None:
    run = act("cache:key=a.css,mime=1,content_encoding=gzip")
    run.resume(Cached(b"body", 784111777))
    assert run.verdict == Answer(
        200,
        b"OK",
        (
            (b"Content-Type", b"text/css"),
            (b"Content-Encoding", b"gzip"),
            (b"Expires", b"Sun, 06 Nov 1994 08:49:37 GMT"),
            (b"Content-Length", b"4"),
        ),
        b"body",
    )


@pytest.mark.parametrize("store", ["memcached", "redis"])
def test_a_hit_of_a_store_is_an_answer(store: str) -> None:
    run = act(f"{store}:addr=/m,key=k,content_type=a/b")
    run.resume(b"body")
    headers = ((b"Content-Type", b"a/b"), (b"Content-Length", b"4"))
    assert run.verdict == Answer(200, b"OK", headers, b"body")


@pytest.mark.parametrize("key", ["a b", "a\r\nset x", "x" * 251, ""])
def test_a_key_that_would_be_another_command_is_asked_of_nobody(key: str) -> None:
    assert act("memcached:addr=/m,key=${X}", X=key).verdict == Continue()


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        ("cache-continue:key=k", Cached(b"hit")),
        ("memcached-continue:addr=/m,key=k", b"hit"),
        ("redis-continue:addr=/r,key=k", b"hit"),
    ],
)
def test_a_hit_can_stand_before_what_follows(action: str, reply: Cached | bytes) -> None:
    run = act(action)
    run.resume(reply)
    assert run.verdict == Continue()
    assert run.scope.transaction.body == b"hit"


def test_a_number_of_a_cache_is_text_in_a_variable() -> None:
    run = act("cachevar:key=k,var=N,as_num=1")
    run.resume(Cached((-7).to_bytes(8, "little", signed=True)))
    assert run.scope.transaction.get(b"N") == b"-7"


def test_a_text_that_is_there_already_breaks() -> None:
    run = act("cacheset:key=k,value=v")
    run.resume(False)
    assert run.verdict == Break()


def test_items_with_a_comma_are_written_with_a_backslash() -> None:
    assert act(r"hash:key=a,var=V,items=x\,y").scope.transaction.get(b"V") == b"x,y"


def test_a_random_item_is_chosen_outside() -> None:
    run = act("hash:key=a,var=V,items=x;y;z,algo=rand")
    assert run.scope.transaction.get(b"V") == b"z"


# Functions.

STEERING = [
    (b"next", Continue(), b"on"),
    (b"continue", Continue(), b""),
    (b"whatever", Continue(), b""),
    (b"break", Break(), b""),
    (b"break 403 No", Answer(403, b"No", (CLOSE, PLAIN), close=True), b""),
    (b"break x", Break("'x' is no status: expected 200 to 999 and perhaps a reason", 502), b""),
    (b"goto nowhere", Break("goto 'nowhere': there is no such label", 500), b""),
    (b"goto 2", Continue(), b""),
    (None, Break("there is no such function, or it failed", 502), b""),
]


@pytest.mark.parametrize(("result", "verdict", "tag"), STEERING)
def test_a_function_s_result_steers(result: bytes | None, verdict: Verdict, tag: bytes) -> None:
    run = act("rpcret:f", "addvar:TAG=on", "last:")
    run.resume(result)
    assert run.verdict == verdict
    assert run.scope.transaction.get(b"TAG") == tag


def test_a_function_s_result_is_the_answer() -> None:
    run = act("rpc:f ${PATH_INFO}")
    assert run.question == CallRpc(b"f", (b"/p",))
    run.resume(b"body")
    assert run.verdict == Answer(200, b"OK", ((b"Content-Length", b"4"),), b"body")


def test_a_function_without_a_result_answers_nothing() -> None:
    run = act("call:f")
    run.resume(None)
    assert run.verdict == Break("the function gave nothing", 502)


def test_a_function_s_result_is_put_into_body_or_variable() -> None:
    run = act("rpcblob:f", "rpcvar:V g")
    run.resume(b"one")
    run.resume(b"two")
    transaction = run.scope.transaction
    assert (bytes(transaction.body), transaction.get(b"V")) == (b"one", b"two")


def test_a_raw_result_is_a_whole_response() -> None:
    run = act("rpcraw:f")
    run.resume(b"HTTP/1.0 200 OK\r\n\r\n")
    assert run.verdict == RawAnswer(b"HTTP/1.0 200 OK\r\n\r\n")
