"""What the engine's values say, in words for people: verdicts, questions, replies, effects."""

from __future__ import annotations

from uwgate.routing import effects
from uwgate.routing.effects import Effect
from uwgate.routing.results import (
    Admitted,
    Answer,
    ApplyStylesheet,
    Ask,
    Break,
    CacheAdd,
    Cached,
    CacheGet,
    CacheSum,
    CallFunction,
    CallRpc,
    CheckCredentials,
    CheckPassword,
    Continue,
    Decision,
    Failed,
    FillPage,
    Flow,
    Forward,
    Jump,
    Question,
    RawAnswer,
    Reply,
    Result,
    ServeFile,
    ServeStatic,
    StoreGet,
    Verdict,
)

MAX_SHOWN = 80  # bytes of a text


def show(text: bytes) -> str:
    """A text in quotes, cut if it is long."""
    cut = text[:MAX_SHOWN].decode("utf-8", "backslashreplace")
    return repr(cut).replace("\\\\", "\\") + ("..." if len(text) > MAX_SHOWN else "")


def plain(text: bytes) -> str:
    """A text without quotes."""
    return text.decode("utf-8", "backslashreplace")


def show_verdict(verdict: Verdict) -> str:
    """What becomes of a request."""
    match verdict:
        case Continue():
            return "the request goes on to the application"
        case Break(reason=None):
            return "the request ends without answer"
        case Break(reason, status):
            return f"the request ends, {status}: {reason}"
        case Answer(status, reason, headers, body):
            lines = [f"answer {status} {plain(reason)}, {len(body)} bytes"]
            lines += [f"{plain(name)}: {plain(value)}" for name, value in headers]
            return "; ".join(lines)
        case Forward(protocol, address):
            return f"handed to {protocol.value} {plain(address)}"
        case ServeStatic(path) | ServeFile(path):
            return f"file {show(path)}"
        case RawAnswer(data):
            return f"a raw answer of {len(data)} bytes"


def show_result(result: Result) -> str:
    """How a chain goes on behind an action."""
    match result:
        case Flow():
            return f"then {result.value}"
        case Jump(position, text):
            return f"go to {show(text)}, rule {position}"
        case Ask(question):
            return f"ask {show_question(question)}"
        case _:
            return show_verdict(result)


def show_question(question: Question) -> str:
    """What a rule wants to know."""
    match question:
        case CacheGet(name, key):
            return f"{_cache(name)} for {show(key)}"
        case CacheAdd(name, key, value):
            return f"{_cache(name)} to keep {show(value)} as {show(key)} if it has nothing there"
        case CacheSum(name, key, sum, amount):
            return f"{_cache(name)} for {show(key)} {sum.value} {amount}"
        case StoreGet(store, address, key):
            return f"{store.value} {plain(address)} for {show(key)}"
        case CallRpc(function, arguments, address):
            where = f"@{plain(address)}" if address is not None else ""
            words = ", ".join(show(one) for one in arguments)
            return f"the function {plain(function)}{where}({words})"
        case CallFunction(function, budget=budget):
            return f"the Python function {function}, for {budget:g} s"
        case CheckPassword(path, user):
            return f"the file {plain(path)} for the password of {show(user)}"
        case CheckCredentials(authority):
            return f"{authority.value} for what the client sent"
        case ApplyStylesheet(stylesheet, document=document):
            return f"the stylesheet {show(stylesheet)} for {show(document)}"
        case FillPage(path):
            return f"the page {show(path)}, filled in"
        case ServeStatic(path) | ServeFile(path):
            return f"the file {show(path)}"


def _cache(name: bytes) -> str:
    return f"the cache {plain(name)}" if name else "the cache"


def show_reply(reply: Reply) -> str:
    """What was said to a question."""
    match reply:
        case None:
            return "nothing"
        case bool():
            return "yes" if reply else "no"
        case Cached(value):
            return show(value)
        case Decision(answer=Answer(status)):
            return f"answer {status}"
        case Decision(last=last):
            return "go on behind the chain" if last else "go on"
        case Failed(reason):
            return f"failed: {reason}"
        case Admitted(user):
            return show(user)
        case _:
            return show(reply)


def show_effect(effect: Effect) -> str:
    """What a rule wants done."""
    match effect:
        case effects.Log(text):
            return f"log {show(text)}"
        case effects.LogVariable(name, value):
            return f"the log line's {plain(name)} is {show(value)}"
        case effects.SetHarakiri(seconds):
            return f"end the request after {seconds} s"
        case effects.RaiseSignal(number):
            return f"raise the signal {number}"
        case effects.RaiseAlarm(name, text):
            return f"alarm {plain(name)}: {show(text)}"
        case effects.ChangeDirectory(path):
            return f"change the directory to {plain(path)}"
        case effects.SetProcessTitle(title):
            return f"call the process {show(title)}"
        case effects.ChangeMetric(name, sum, amount):
            return f"metric {plain(name)} {sum.value} {amount}"
        case effects.CacheStore(name, key, value):
            return f"keep {show(value)} in {_cache(name)} as {show(key)}"
        case effects.StorePut(store, address, key, value):
            return f"keep {show(value)} in {store.value} {plain(address)} as {show(key)}"
        case effects.WriteFile(path, data):
            return f"write {len(data)} bytes to {plain(path)}"
