"""The world that rules are told about: real files, the time, and what a person says of the rest."""

from __future__ import annotations

import base64
import contextlib
import time

from uwgate.experts.experts import Experts
from uwgate.explain.answers import Answers
from uwgate.explain.files import Files
from uwgate.routing import htpasswd
from uwgate.routing.machine import Machine
from uwgate.routing.results import (
    ApplyStylesheet,
    CacheAdd,
    Cached,
    CacheGet,
    CacheSum,
    CallFunction,
    CallRpc,
    CheckCredentials,
    CheckPassword,
    Decision,
    FillPage,
    Question,
    Reply,
    ServeFile,
    ServeStatic,
    StoreGet,
)

MAX_PASSWORDS = 1 << 20  # bytes of an htpasswd file


class World(Machine):
    """Answers what rules ask. ``guesses``: what nobody knew, and what was assumed instead."""

    def __init__(
        self, answers: Answers, files: Files | None = None, *, now: float | None = None
    ) -> None:
        super().__init__()
        self._answers = answers
        self.files = files or Files()
        said = answers.find("time", b"now")
        if said is not None:
            now = float(said)
        self._now = time.time() if now is None else now
        self.guesses: list[str] = []
        self._experts = Experts(lambda one: self._cached(one.name, one.key), self.guesses.append)

    def now(self) -> float:
        return self._now

    def choose(self, count: int) -> int:
        del count
        return 0  # the same question has the same answer

    def turn(self, count: int) -> int:
        return self.choose(count)

    def mime_type(self, name: bytes) -> bytes:
        return self.files.type_of(name)

    def place_of(self, address: bytes, field: bytes) -> bytes:
        value = self._answers.find("geoip", field)
        if value is None:
            self._guess(f"nobody knows geoip[{_text(field)}]", f"geoip:{_text(field)}=VALUE")
        return value or b""

    def metric(self, name: bytes) -> int | None:
        value = self._answers.find("metric", name)
        if value is None:
            self._guess(f"there is no metric {_text(name)}", f"metric:{_text(name)}=NUMBER")
            return None
        return int(value)

    def is_lord(self, legion: bytes) -> bool:
        if self._answers.find("lord", legion) is None:
            text = _text(legion)
            self._guess(f"this node is not lord of the legion {text}", f"lord:{text}=yes")
        return self._answers.says_yes("lord", legion)

    def in_cache(self, name: bytes, key: bytes) -> bool:
        return isinstance(self._cached(name, key), Cached)

    def reply(self, question: Question) -> Reply:
        """The answer to a question. True to one for a file: it is there."""
        match question:
            case CacheGet(name, key):
                return self._cached(name, key)
            case CacheAdd(name, key):
                return self._answers.cached(name, key) is None
            case CacheSum():
                return True
            case StoreGet(store, _, key):
                value = self._answers.find(store.value, key)
                if value is None:
                    text = _text(key)
                    self._guess(f"{store.value} has no {text}", f"{store.value}:{text}=VALUE")
                return value
            case CallRpc(function):
                value = self._answers.find("rpc", function)
                if value is None:
                    text = _text(function)
                    self._guess(f"there is no function {text}", f"rpc:{text}=RESULT")
                return value
            case CallFunction(function):
                return self._decision(function)
            case CheckPassword(path, user, password):
                return self._check_password(path, user, password)
            case CheckCredentials():
                return self._check_credentials(question)
            case ApplyStylesheet() | FillPage():
                return self._experts.answer(question)
            case ServeStatic() | ServeFile():
                return self.files.look(question).is_there

    def _cached(self, name: bytes, key: bytes) -> Cached | None:
        found = self._answers.cached(name, key)
        if found is None:
            text = _text(name + b"/" + key if name else key)
            cache = f"the cache {_text(name)}" if name else "the cache"
            self._guess(f"{cache} has nothing under {_text(key)!r}", f"cache:{text}=VALUE")
        return found

    def _decision(self, function: str) -> Reply:
        found = self._answers.decision(function)
        if found is None:
            self._guess(f"{function} would say: next", f"python:{function}=403")
        return found or Decision()

    def _check_password(self, path: bytes, user: bytes, password: bytes) -> bool:
        try:
            with open(path, "rb") as file:
                return htpasswd.verify(file.read(MAX_PASSWORDS), user, password)
        except (OSError, ValueError) as error:
            self.guesses.append(f"no password is right: {_text(path)}: {error}")
            return False

    def _check_credentials(self, question: CheckCredentials) -> bytes | None:
        kind = question.authority.value
        users = self._answers.users(kind)
        with contextlib.suppress(ValueError):
            name = base64.b64decode(question.token).partition(b":")[0]
            if name in users:
                return name
        if kind == "spnego" and users:
            return users[0]
        self._guess(f"{kind} knows nobody of that name", f"{kind}:USER=yes")
        return None

    def _guess(self, text: str, answer: str) -> None:
        line = f"{text} (say otherwise with --answer '{answer}')"
        if line not in self.guesses:
            self.guesses.append(line)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
