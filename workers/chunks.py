"""Request bodies piece by piece: ``uwsgi.chunked_read`` and ``chunked_read_nb``.

What comes over a lease is decoded already; a piece is then not the client's chunk, but
what has arrived. Bodies with a length are read as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uwgate.workers.body import Body, BodyError, ChunkedBody
from uwgate.workers.raw import RawConnection

if TYPE_CHECKING:
    from uwgate.workers.slot import Slot

NOT_YET = 408  # status of a BodyError behind which the body may still go on


def read_chunk(slot: Slot, timeout: float) -> bytes:
    """The next piece; empty at the end. ``timeout`` in seconds, 0: as configured, below 0: none.

    Raises:
        BodyError: none came in time, or the body breaks its framing.
    """
    options = slot.worker.settings.workers
    if not timeout:
        timeout = options.chunked_input_timeout or options.socket_timeout
    return _read(slot, timeout if timeout > 0 else None)


def read_chunk_now(slot: Slot) -> bytes | None:
    """The next piece; empty at the end, None if nothing is there.

    Raises:
        BodyError: the body breaks its framing.
    """
    try:
        return _read(slot, 0)
    except BodyError as error:
        if error.status == NOT_YET:
            return None
        raise


def _read(slot: Slot, timeout: float | None) -> bytes:
    connection = slot.session
    body = _body(slot)
    if body.done or connection is None:
        return body.read_some(slot.worker.settings.workers.chunked_input_limit)
    before = connection.timeout
    connection.timeout = timeout
    try:
        return body.read_some(slot.worker.settings.workers.chunked_input_limit)
    finally:
        connection.timeout = before


def _body(slot: Slot) -> Body:
    body, connection = slot.body, slot.session
    if isinstance(connection, RawConnection) and connection.has_chunks:
        connection.has_chunks = False
        body = slot.body = ChunkedBody(connection, slot.worker.settings.workers.limit_post)
    if body is None:
        raise RuntimeError("there is no request in this thread")
    return body
