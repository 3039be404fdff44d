"""Answers to what rules ask (``routing.results``): at once, each wait with an end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from uwgate.routing import htpasswd
from uwgate.routing.results import (
    ApplyStylesheet,
    CacheAdd,
    CacheGet,
    CacheSum,
    CallFunction,
    CallRpc,
    CheckCredentials,
    CheckPassword,
    FillPage,
    Question,
    Reply,
    StoreGet,
)
from uwgate.workers.log import say
from uwgate.workers.rpc import RpcError, call_remote
from uwgate.workers.rules.effects import clean
from uwgate.workers.rules.stores import StoreError, get

if TYPE_CHECKING:
    from uwgate.routing.functions import Functions
    from uwgate.workers.rules.policy import Policy


def answer(question: Question, policy: Policy) -> Reply:
    """What is so. Files are not asked for here."""
    match question:
        case CheckPassword(path, user, password):
            return _is_password(path, user, password)
        case CallFunction():
            return _decide(question, policy.rule_functions)
        case CallRpc(function, arguments, address):
            return _call(function, arguments, address, policy)
        case StoreGet(store, address, key):
            try:
                return get(store, address, key, policy.timeout)
            except StoreError as error:
                say(f"rules: {error}")
                return None
        case CacheGet() | CacheAdd() | CacheSum():
            return policy.caches.answer(question)
        case CheckCredentials() | ApplyStylesheet() | FillPage():
            return policy.experts.answer(question)
        case _:
            return None


def _is_password(path: bytes, user: bytes, password: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            content = file.read(htpasswd.MAX_FILE + 1)
    except (OSError, ValueError) as error:
        say(f"rules: {clean(path)}: {error}")
        return False
    return htpasswd.verify(content, user, password)


def _decide(question: CallFunction, functions: Functions) -> Reply:
    """What a Python function says. Nobody can interrupt it: harakiri ends one that hangs."""
    began = time.monotonic()
    reply = functions.call(question)
    return functions.settle(question, reply, time.monotonic() - began)


def _call(
    function: bytes, arguments: tuple[bytes, ...], address: bytes | None, policy: Policy
) -> bytes | None:
    """The result of a function of this process or, with an address, of another one."""
    try:
        if address:
            return call_remote(address.decode("latin-1"), function, arguments, policy.timeout)
        return policy.functions.call(function, arguments)
    except RpcError as error:
        say(f"rules: {clean(function)}: {error}")
        return None
