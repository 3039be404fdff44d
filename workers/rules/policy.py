"""What a configuration says about requests that reach a worker directly, ready for use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uwgate.caching.answers import CacheAnswers
from uwgate.conf.groups.static import StaticOptions
from uwgate.experts.experts import Experts
from uwgate.files.answer import Answerer
from uwgate.files.disk import RealDisk
from uwgate.files.finder import Finder
from uwgate.files.rules import StaticRules, read_rules
from uwgate.routing.functions import Functions
from uwgate.routing.headers import HeaderRules
from uwgate.routing.libraries import load
from uwgate.routing.outside import Person
from uwgate.routing.places import Places, open_places
from uwgate.routing.rules import compile_rules
from uwgate.routing.ruleset import RuleSet, read_rule_set
from uwgate.workers.backend import PATIENCE
from uwgate.workers.log import say
from uwgate.workers.rules.effects import clean
from uwgate.workers.rules.head import Heads
from uwgate.workers.rules.lookout import Lookout
from uwgate.workers.rules.visit import Visit
from uwgate.workers.rules.world import WorkerWorld

if TYPE_CHECKING:
    from uwgate.conf.settings import Settings
    from uwgate.routing.conversation import Conversation
    from uwgate.routing.transaction import Transaction
    from uwgate.workers.body import Body
    from uwgate.workers.environ import Environ
    from uwgate.workers.rules.outlet import Way
    from uwgate.workers.slot import Slot
    from uwgate.workers.worker import Worker

_WRITING = frozenset(("send", "send-crnl", "rpcblob", "rpcnext"))  # actions


@dataclass(frozen=True, slots=True)
class Compiled:
    """Rules and maps of a configuration: made once, before the workers are forked."""

    rules: RuleSet
    static: StaticRules
    functions: Functions
    places: Places | None


def compile_policy(settings: Settings) -> Compiled | None:
    """What the options say; None: nothing, about any request.

    Raises:
        ConfigError: an option cannot be used, or a function of a rule cannot be imported.
    """
    rules = read_rule_set(settings)
    if rules is None and settings.static == StaticOptions():
        return None
    if rules is None:
        rules = RuleSet(compile_rules(()), HeaderRules())
    load(rules.actions)
    functions = Functions()
    functions.load(rules.rules.functions)
    places = open_places(settings.geoip)
    return Compiled(rules, read_rules(settings.static, RealDisk()), functions, places)


class Policy:
    """The rules and files of one worker. Its slots share it.

    ``has_maps``: a request may get a file without rules; ``has_named`` and ``has_internal``:
    applications may name one by X-Sendfile, and by X-Accel-Redirect. ``connects``: a rule knows
    what to do with CONNECT. ``timeout`` is for
    each wait for somebody else, in seconds.
    """

    def __init__(self, compiled: Compiled, worker: Worker) -> None:
        static = compiled.static
        self.static = static
        self.worker = worker
        self.functions = worker.api.functions
        self.caches = CacheAnswers(worker.api.caches)
        self.experts = Experts(self.caches.answer, _say)
        self.rule_functions = compiled.functions
        self.harakiri = worker.harakiri
        self.timeout = worker.settings.workers.socket_timeout or PATIENCE
        self.world = WorkerWorld(
            Person(worker.number, os.getpid()),
            worker.listeners,
            worker.api,
            static.types,
            self.caches,
            compiled.places,
            self.experts.answer,
        )
        self.final_writes = any(
            rule.action in _WRITING for rule in compiled.rules.rules.final.rules.values()
        )
        disk = RealDisk()
        self.finder = Finder(static, disk)
        self.answerer = Answerer(static, disk)
        self.has_maps = bool(static.mappings or static.by_document_root)
        self.has_internal = bool(static.internal)
        self.has_named = bool(static.mappings or static.internal or static.safe)
        self._rules = compiled.rules
        self.connects = not compiled.rules.actions.isdisjoint(("httpconnect", "proxyhttpconnect"))
        self._has_rules = bool(compiled.rules.rules) or compiled.rules.headers != HeaderRules()
        prefixes = [one.prefix.decode("latin-1") for one in static.mappings]
        self._prefixes = ("",) if static.by_document_root else tuple(prefixes)
        self.heads = Heads()
        self._lacks: set[str] = set()

    def converse(self, transaction: Transaction) -> Conversation:
        """Begin with a request."""
        return self._rules.converse(transaction, self.world)

    def begin(self, slot: Slot, way: Way, environ: Environ, body: Body) -> Visit | Lookout:
        """Receive a request."""
        if self._has_rules or self._may_be_file(environ.get("PATH_INFO", "")):
            return Visit(self, slot, way, environ, body)
        return Lookout(self, slot, way, environ, body)

    def _may_be_file(self, path: str) -> bool:
        return path.startswith(self._prefixes)

    def lack(self, text: str) -> None:
        """Log, once, that rules want what is not there."""
        if text not in self._lacks:
            self._lacks.add(text)
            say(text)


def _say(line: str) -> None:
    say(f"rules: {clean(line.encode(errors='surrogateescape'))}")
