"""Whom rules ask for what neither they nor the server know themselves.

Workers and gateways have one each, made behind the last fork. Every answer comes within a limit:
the work is done in threads of its own (bench.py).
"""

from __future__ import annotations

from collections.abc import Callable

from uwgate.experts.bench import Bench, FullError, OverdueError
from uwgate.experts.credentials import Denied, Unreachable
from uwgate.experts.ldap import Ldap
from uwgate.experts.negotiate import Negotiate
from uwgate.experts.pages import PageError, Pages
from uwgate.experts.radius import Radius
from uwgate.experts.reading import UnreadableError
from uwgate.experts.stylesheets import StylesheetError, Stylesheets
from uwgate.routing.results import (
    Admitted,
    ApplyStylesheet,
    Authority,
    CacheGet,
    CheckCredentials,
    Expertise,
    Failed,
    FillPage,
)

CREDENTIALS_LIMIT = 10.0  # seconds for an answer, waiting for a thread included
DOCUMENTS_LIMIT = 5.0
CREDENTIALS_THREADS = 16  # they wait for servers
DOCUMENTS_THREADS = 2  # they keep a processor busy
WAITING = 256  # questions that wait for a thread, of each kind


class Experts:
    """Answers questions. ``look_up`` asks a cache; ``say`` takes lines for the log."""

    def __init__(self, look_up: Callable[[CacheGet], object], say: Callable[[str], None]) -> None:
        self._say = say
        self._credentials = Bench("credentials", CREDENTIALS_THREADS, WAITING)
        self._documents = Bench("documents", DOCUMENTS_THREADS, WAITING)
        self._pages = Pages(look_up, say)
        self._stylesheets: Stylesheets | None = None
        self._ldap: Ldap | None = None
        self._radius: Radius | None = None
        self._negotiate: Negotiate | None = None

    def answer(self, question: Expertise) -> Admitted | Failed | bytes | None:
        """The reply, as ``routing.results`` says what it is. Takes as long as its limit at most."""
        try:
            match question:
                case CheckCredentials():
                    return self._credentials.run(lambda: self._check(question), CREDENTIALS_LIMIT)
                case ApplyStylesheet():
                    return self._documents.run(lambda: self._apply(question), DOCUMENTS_LIMIT)
                case FillPage():
                    return self._documents.run(lambda: self._pages.fill(question), DOCUMENTS_LIMIT)
        except Denied:
            return None
        except (Unreachable, OverdueError, FullError) as error:
            return Failed(str(error), 503)
        except UnreadableError as error:
            return Failed(str(error), error.status)
        except (StylesheetError, PageError) as error:
            return Failed(str(error))

    def _check(self, question: CheckCredentials) -> Admitted | bytes:
        parameters = dict(question.parameters)
        match question.authority:
            case Authority.LDAP:
                if self._ldap is None:
                    self._ldap = Ldap(self._say)
                return self._ldap.check(question.token, parameters)
            case Authority.RADIUS:
                if self._radius is None:
                    self._radius = Radius()
                return self._radius.check(question.token, parameters)
            case Authority.NEGOTIATE:
                if self._negotiate is None:
                    self._negotiate = Negotiate()
                return self._negotiate.check(question.token, parameters)

    def _apply(self, question: ApplyStylesheet) -> bytes:
        if self._stylesheets is None:
            self._stylesheets = Stylesheets()
        return self._stylesheets.apply(question)
