"""Files in the lane: a session's request, answered by function calls as far as that goes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from uwgate.files.disk import NotCachedError
from uwgate.files.finder import Refused
from uwgate.files.memory import Whole
from uwgate.files.plan import Plan
from uwgate.files.resident import BrokenFileError
from uwgate.gateways.exchange import Request
from uwgate.gateways.files import sending
from uwgate.gateways.files.lane import push
from uwgate.gateways.files.library import Reply

if TYPE_CHECKING:
    from uwgate.gateways.session import Session


def serve(session: Session, request: Request) -> bool:
    """Answer with a file; False if the request is for none."""
    try:
        reply = session.gateway.library.look(request)
    except NotCachedError:
        session.leave_lane(sending.search, session, request)
        return True
    except OSError as error:
        session.leave_lane(sending.fail, session, request, error)
        return True
    if reply is None:
        return False
    session.gateway.library.note(request, reply)
    respond(session, request, reply, sending.drop_body(session, request))
    return True


def hand_over(session: Session, request: Request, head: bytes) -> None:
    """Answer with the file that the application's answer names; the request is read."""
    try:
        reply = session.gateway.library.look_named(request, head)
    except NotCachedError:
        session.leave_lane(sending.hand_over, session, request, head, True)
    except OSError as error:
        session.leave_lane(sending.fail, session, request, error)
    else:
        if isinstance(reply, Refused):
            session.leave_lane(sending.refuse, session, request, reply)
        else:
            respond(session, request, reply, True)


def respond(session: Session, request: Request, reply: Reply, is_read: bool) -> None:
    """Send a file; ``is_read``: nothing of the request is to come."""
    sock = session.sock
    # OpenSSL has to see the bytes.
    by_hand = isinstance(reply, Plan) and not isinstance(sock, socket.socket)
    if not is_read or by_hand:
        session.leave_lane(sending.respond, session, request, reply, is_read)
        return
    start, keep = sending.head_for(session, request, reply, True)
    if isinstance(reply, Whole):
        session.send(start + reply.body, keep)
        return
    assert isinstance(sock, socket.socket)
    try:
        rest = push(sock, start, reply)
    except OSError as error:
        reply.close()
        if isinstance(error, BrokenFileError):
            sending.say_broken(session, request, error)
        session.close()
        return
    if rest is not None:
        session.leave_lane(sending.go_on, session, request, reply, rest, True, keep)
        return
    reply.close()
    session.sent(keep)
