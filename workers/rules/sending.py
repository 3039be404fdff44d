"""Files as answers: those of static maps, of rules, and those that an application names."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from uwgate.files.finder import Found, Refused
from uwgate.files.handover import Given
from uwgate.files.handover import hand_over as hand_over_file
from uwgate.files.mapping import problem_of
from uwgate.files.plan import Extent, Plan
from uwgate.files.request import Request
from uwgate.routing.actions.flow import read_status
from uwgate.routing.results import ServeFile, ServeStatic
from uwgate.routing.statuses import reason_of
from uwgate.workers.log import say
from uwgate.workers.rules.effects import clean

if TYPE_CHECKING:
    from uwgate.routing.transaction import Header
    from uwgate.workers.rules.visit import Visit

SMALL = 16384  # bytes of a file that go out together with the head


def send_mapped(visit: Visit) -> bool:
    """Answer with the file that static maps have for the request; False: there is none.

    Raises:
        OSError: the client is gone.
    """
    policy = visit.policy
    if not policy.has_maps:
        return False
    request = _request(visit)
    try:
        found = policy.finder.find(request, time.monotonic())
        if isinstance(found, Found):
            plan = policy.answerer.answer(found, request, time.time())
    except OSError as error:
        _fail(visit, request.path, error)
        return True
    if isinstance(found, Refused):
        say(f"no file: {clean(found.path)}: {found.reason}")
    if not isinstance(found, Found):
        return False
    _send(visit, plan)
    return True


def is_there(visit: Visit, wanted: ServeStatic | ServeFile) -> bool:
    """Whether a file that a rule would like to send is one; it is kept open for ``send_named``."""
    try:
        found = _find(visit, wanted)
    except OSError as error:
        say(f"rules: {clean(wanted.path)}: {error}")
        return False
    if isinstance(found, Found):
        visit.found = found
        return True
    return False


def send_named(visit: Visit, wanted: ServeStatic | ServeFile) -> None:
    """Answer with the file that a rule names; 404 if it is none, 403 if it is not to be had.

    Raises:
        OSError: the client is gone.
    """
    found: Found | Refused | None = visit.found
    visit.found = None
    try:
        if found is None:
            found = _find(visit, wanted)
        if isinstance(found, Found):
            if isinstance(wanted, ServeFile):
                plan = _bare_plan(visit, found, wanted)
            else:
                plan = visit.policy.answerer.answer(found, _request(visit), time.time())
    except OSError as error:
        _fail(visit, wanted.path, error)
        return
    if not isinstance(found, Found):
        why = "no such file" if found is None else found.reason
        say(f"rules: {clean(wanted.path)}: {why}")
        visit.fail(404 if found is None else 403)
    elif isinstance(wanted, ServeFile):
        status, reason = read_status(wanted.status)
        visit.transaction.headers_off |= not wanted.with_headers
        _send(visit, plan, reason or reason_of(status), plain=wanted.by_kernel)
    else:
        _send(visit, plan)


def hand_over(visit: Visit, status: int, headers: list[Header]) -> bool:
    """Answer with the file that the application names in its head.

    False: no directory is set up for what it says, so that it speaks to a server in front of us.

    Raises:
        OSError: the client is gone.
    """
    policy = visit.policy
    names = {name.lower() for name, _ in headers}
    if not (
        (b"x-sendfile" in names and policy.has_named)
        or (b"x-accel-redirect" in names and policy.has_internal)
    ):
        return False
    request = _request(visit)
    given = Given(status, tuple(headers))
    try:
        plan = hand_over_file(given, request, policy.finder, policy.answerer, time.time())
    except OSError as error:
        _fail(visit, request.path, error)
        return True
    if isinstance(plan, Refused):
        say(f"the application names a file: {clean(plan.path)}: {plan.reason}")
        visit.fail(500)
    else:
        _send(visit, plan)
    return True


def _find(visit: Visit, wanted: ServeStatic | ServeFile) -> Found | Refused | None:
    finder = visit.policy.finder
    path = wanted.path
    if isinstance(wanted, ServeFile):
        return finder.find_by_rule(path, wanted.root)
    problem = problem_of(path)
    if problem is not None:
        return Refused(path, problem)
    found = finder.find_by_rule(path, wanted.root)
    if found is None:  # it may be a directory
        for index in visit.policy.static.indexes:
            found = found or finder.find_by_rule(path.rstrip(b"/") + b"/" + index, wanted.root)
    return found


def _request(visit: Visit) -> Request:
    variables = visit.transaction.variables
    fields = {
        name[5:].replace(b"_", b"-").lower(): value
        for name, value in variables.items()
        if name.startswith(b"HTTP_")
    }
    get = variables.get
    return Request(
        method=get(b"REQUEST_METHOD", b""),
        path=get(b"PATH_INFO", b""),
        uri=get(b"REQUEST_URI", b""),
        fields=fields,
        document_root=get(b"DOCUMENT_ROOT") or None,
    )


def _bare_plan(visit: Visit, found: Found, wanted: ServeFile) -> Plan:
    """A file's bytes as ``file:`` and its like send them."""
    file = found.file
    kind = wanted.content_type
    if wanted.mime:
        kind = visit.policy.world.mime_type(file.path) or kind
    length = ((b"Content-Length", b"%d" % file.size),) if wanted.with_length else ()
    fields = (*length, (b"Content-Type", kind)) if kind else length
    pieces = (Extent(file.descriptor, 0, file.size),) if file.size else ()
    return Plan(read_status(wanted.status)[0], fields, pieces, file)


def _fail(visit: Visit, path: bytes, error: OSError) -> None:
    """The machine cannot open a file, which may be there."""
    say(f"{clean(path)}: {error.strerror or error}")
    visit.fail(503)


def _send(visit: Visit, plan: Plan, reason: bytes = b"", *, plain: bool = True) -> None:
    """Send a plan, and close it.

    Raises:
        OSError: the client is gone.
    """
    try:
        if visit.accept(plan.status, reason or reason_of(plan.status), list(plan.fields)):
            visit.outlet.start(plain=plain)
            _send_pieces(visit, plan)
    finally:
        plan.close()


def _send_pieces(visit: Visit, plan: Plan) -> None:
    outlet = visit.outlet
    match plan.pieces:
        case (Extent(descriptor, offset, length),) if length <= SMALL:
            data = os.pread(descriptor, length, offset)
            if len(data) == length:
                outlet.feed(data, last=True)
                return
    for piece in plan.pieces:
        if isinstance(piece, bytes):
            outlet.feed(piece, last=False)
        elif outlet.feed_file(piece.descriptor, piece.offset, piece.length) < piece.length:
            say(f"{clean(plan.file.path if plan.file else b'')}: became shorter while it was sent")
            outlet.abort()
            return
    outlet.feed(b"", last=True)
