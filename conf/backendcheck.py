"""Whether the options that name the backends of a gateway fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwgate.conf.groups.corerouter import ALGORITHM_NAMES, CorerouterOptions
from uwgate.conf.pair import Note, Severity
from uwgate.conf.settings import COREROUTERS, Settings

if TYPE_CHECKING:
    from uwgate.conf.crosscheck import Places

# In uWSGI's order (spec/gateways.md section 3): the first that is given decides.
MAPPERS = (
    "use_pattern",
    "subscription_server",
    "use_base",
    "use_code_string",
    "use_socket",
    "to",
)
# What has a meaning for subscribed nodes only.
OF_NODES = ("subscription_fallback_key", "cheap", "algo", "algo_of", "slow_start")


def check_backends(settings: Settings, places: Places) -> tuple[list[str], list[Note]]:
    """What is wrong, and what is to be said."""
    problems: list[str] = []
    notes: list[Note] = []
    for kind in COREROUTERS:
        check = _Check(settings.corerouter(kind), kind, places)
        problems += check.problems()
        notes += check.notes()
    return problems, notes + _sticky(settings, places)


class _Check:
    """The options of one kind of gateway."""

    def __init__(self, core: CorerouterOptions, kind: str, places: Places) -> None:
        self._core = core
        self._kind = kind
        self._places = places
        given = [field for field in MAPPERS if self._is_given(field)]
        self._mapper = given[0] if given else None
        self._idle = given[1:]

    def problems(self) -> list[str]:
        """Algorithms that do not exist."""
        texts = self._core.algo_of
        places = self._places.get((f"{self._kind}_corerouter", "algo_of"), [])
        return [
            f"{place}: {self._name('algo_of')} = {text}: {algo!r} is not one of: "
            f"{', '.join(ALGORITHM_NAMES)}"
            for text, place in zip(texts, places, strict=True)
            if (algo := text.partition("=")[2]) not in ALGORITHM_NAMES
        ]

    def notes(self) -> list[Note]:
        """Options that have no effect."""
        notes = [
            note
            for field in self._idle
            for note in self._warn(field, f"{self._name(self._mapper)} decides")
        ]
        if self._mapper != "subscription_server":
            for field in OF_NODES:
                notes += self._warn(field, f"it is about nodes of {self._name()}")
        if self._mapper is None and self._kind == "http":
            notes += self._warn("fallback", "requests go to our own workers")
        return notes

    def _is_given(self, field: str) -> bool:
        value = getattr(self._core, field)
        return value is not None and value != () and value != ""

    def _warn(self, field: str, reason: str) -> list[Note]:
        if getattr(self._core, field) == getattr(type(self._core)(), field):
            return []  # it says what would be so without it
        places = self._places.get((f"{self._kind}_corerouter", field), [])
        text = f"{self._name(field)} has no effect: {reason}"
        return [Note(Severity.WARNING, text, place) for place in places[:1]]

    def _name(self, field: str | None = "subscription_server") -> str:
        return f"{self._kind}-{field}".replace("_", "-")


def _sticky(settings: Settings, places: Places) -> list[Note]:
    core = settings.http_corerouter
    if core.subscription_server and not core.use_pattern:
        return []
    return [
        Note(Severity.WARNING, f"{name} has no effect: there are no subscribed nodes", place)
        for name in ("http-sticky", "http-sticky-secret", "http-hash")
        for place in places.get(("http", name.replace("-", "_")), [])[:1]
    ]
