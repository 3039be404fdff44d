"""Messages with an attachment, between a keeper and its gateways.

A message is one packet of ``uwgate.conf.control``. What may be too large for a packet goes
along as the descriptor of a memory file (SCM_RIGHTS).
"""

from __future__ import annotations

import array
import os
import socket
from typing import Any

from uwgate.conf import control

MAX_ATTACHMENT = 1 << 20  # bytes; a chain of certificates with its keys has some 10,000
DESCRIPTORS = socket.CMSG_SPACE(array.array("i").itemsize)  # room for one

Ancillary = list[tuple[int, int, bytes]]


def send(sock: socket.socket, packet: bytes, attachment: bytes | None) -> None:
    """Send a packet of ``control.encode``, with or without an attachment.

    Raises:
        OSError: it could not be sent; BlockingIOError as well.
    """
    if attachment is None:
        sock.send(packet)
        return
    fd = os.memfd_create("uwgate-attachment", os.MFD_CLOEXEC)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(attachment)
        socket.send_fds(sock, [packet], [fd])
    finally:
        os.close(fd)


def open_message(packet: bytes, ancillary: Ancillary) -> tuple[dict[str, Any], bytes | None]:
    """The message and its attachment, as ``recvmsg`` has returned them.

    Raises:
        ValueError: it is none, or the attachment is too large.
    """
    numbers = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    attachment = None
    for fd in numbers:
        with os.fdopen(fd, "rb") as file:
            file.seek(0)
            attachment = file.read(MAX_ATTACHMENT + 1)
    if attachment is not None and len(attachment) > MAX_ATTACHMENT:
        raise ValueError(f"attachment of more than {MAX_ATTACHMENT} bytes")
    return control.decode(packet), attachment
