"""What the routing rules of a configuration need in a gateway process, made once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from uwgate.caching.answers import CacheAnswers
from uwgate.conf.address import parse_backend
from uwgate.conf.board import Board
from uwgate.conf.metric_file import Metrics
from uwgate.conf.start import Start
from uwgate.experts.experts import Experts
from uwgate.gateways.corerouter.router import WORKER_ROLES, Corerouter
from uwgate.gateways.counters import Counters
from uwgate.gateways.exchange import Exchange, Request
from uwgate.gateways.files.library import Library
from uwgate.gateways.request_log import RequestLog
from uwgate.gateways.routed.effects import Effects
from uwgate.gateways.routed.errands import Errands, has_workers
from uwgate.gateways.routed.exchange import RoutedExchange
from uwgate.gateways.routed.files import RuleFiles
from uwgate.gateways.routed.forward import Forwarding
from uwgate.gateways.routed.functions import FunctionCalls
from uwgate.gateways.routed.head import Heads
from uwgate.gateways.routed.outside import GatewayOutside
from uwgate.gateways.routed.questions import Questions
from uwgate.gateways.routed.variables import Variables
from uwgate.routing.functions import Functions
from uwgate.routing.places import Places
from uwgate.routing.rule import Rule
from uwgate.routing.ruleset import RuleSet, read_rule_set
from uwgate.routing.transaction import Header

if TYPE_CHECKING:
    from uwgate.caching.caches import Caches

log = logging.getLogger("uwgate.route")

# Actions that workers do for a gateway.
_BY_WORKERS = {
    "signal": "there are no workers to handle it",
    "alarm": "there are no workers, whose spawner would do it",
}
# Actions that only a worker can run: they need the application, or are about its process.
_WORKERS_ONLY = {
    "chdir": "a gateway's directory does not matter to anybody",
    "logvar": "what workers answer has their log line",
    "donotlog": "what workers answer has their log line",
    **dict.fromkeys(
        ("rpc", "call", "rpcret", "rpcblob", "rpcnext", "rpcraw", "rpcvar"),
        "there are no RPC functions",
    ),
    **dict.fromkeys(("httpconnect", "proxyhttpconnect"), "only workers' own HTTP sockets speak it"),
}


@dataclass(slots=True)
class Policy:
    """The rules, and whoever does what they say.

    ``is_quick``: there are no final rules, which have to wait for the end of an answer.
    ``sees_answers``: each answer has to be looked at. ``sees_errors``: rules may make something
    else of the gateway's own error pages.
    """

    rule_set: RuleSet
    outside: GatewayOutside
    questions: Questions
    files: RuleFiles
    library: Library
    forwarding: Forwarding
    effects: Effects
    variables: Variables
    heads: Heads
    counters: Counters
    request_log: RequestLog | None
    is_quick: bool
    sees_answers: bool
    sees_errors: bool

    def exchange(self, request: Request, make: Callable[[], Exchange]) -> RoutedExchange:
        """An exchange for a request; ``make`` makes the one that it has without rules."""
        return RoutedExchange(self, request, make)

    def names_file(self, headers: Iterable[Header]) -> bool:
        """Whether an application's answer with these headers will be a file."""
        followed = self.library.followed
        return bool(followed) and any(name.lower() in followed for name, _ in headers)


def make_policy(
    start: Start,
    router: Corerouter,
    library: Library,
    functions: Functions,
    counters: Counters,
    nursery: trio.Nursery,
    places: Places | None = None,
    *,
    metrics: Metrics | None = None,
    request_log: RequestLog | None = None,
) -> Policy | None:
    """The policy of a gateway process; None if there are no rules, or if they are run elsewhere.

    Raises:
        ConfigError: a rule cannot be used.
    """
    settings = start.settings
    rule_set = read_rule_set(settings)
    if rule_set is None:
        return None
    if sends_to_own_sockets(start):
        log.info("the rules are run by our workers, whose own sockets the gateway sends to")
        return None
    errands = Errands(start, counters) if has_workers(start) else None
    if start.instance == 1:
        missing = _WORKERS_ONLY if errands else _WORKERS_ONLY | _BY_WORKERS
        for rule in rules_of(rule_set):
            if rule.action in missing:
                why = missing[rule.action]
                log.warning("%s: %s: not in a gateway: %s", rule.place, rule.text, why)
    rules = rule_set.rules
    files = RuleFiles(library)
    board = None if start.board_fd is None else Board(start.board_fd)
    caches = CacheAnswers(_caches(start))
    experts = Experts(caches.answer, _speaker(counters))
    outside = GatewayOutside(files.mime_type, caches, board, places, metrics, experts.answer)
    return Policy(
        rule_set,
        outside,
        Questions(counters, FunctionCalls(functions, counters), caches, experts.answer),
        files,
        library,
        Forwarding(router, settings.http, settings.edge, settings.workers.limit_post),
        Effects(counters, nursery, caches, outside, errands),
        Variables(),
        Heads(),
        counters,
        request_log,
        is_quick=not rules.final,
        sees_answers=bool(rules.response or rules.error or rules.final or rule_set.headers),
        sees_errors=bool(rules.error or rules.response),
    )


def _speaker(counters: Counters) -> Callable[[str], None]:
    """What takes lines for the log from experts' threads."""
    token = trio.lowlevel.current_trio_token()

    def say(line: str) -> None:
        with contextlib.suppress(trio.RunFinishedError):  # nobody reads it any more
            token.run_sync_soon(counters.refuse, "expert", "rules: %s", line)

    return say


def _caches(start: Start) -> Caches | None:
    if start.cache_folder is None:
        return None
    # Here, because it brings lmdb along, and most have no caches.
    from uwgate.caching.caches import shared_caches

    return shared_caches(start)


def sends_to_own_sockets(start: Start) -> bool:
    """Whether all requests go to sockets of this instance's workers, who run the rules there."""
    core = start.settings.http_corerouter
    if core.uses_own_socket:
        return True
    if core.use_pattern or core.subscription_server or core.use_base or core.use_code_string:
        return False
    own = {parse_backend(name) for role, name in start.bound if role in WORKER_ROLES}
    return bool(core.to) and own.issuperset(map(parse_backend, core.to))


def rules_of(rule_set: RuleSet) -> Iterator[Rule]:
    """All rules of all chains."""
    rules = rule_set.rules
    for chain in (rules.request, rules.response, rules.error, rules.final):
        yield from chain.rules.values()
