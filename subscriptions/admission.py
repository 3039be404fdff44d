"""From a datagram to a packet that may change something: every check, and what was refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from uwgate.subscriptions.packet import Packet, decode
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.signature import Verifier

SIGNATURE = b"\x04\0sign"  # the name of the variable, with its length


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who sent a datagram, as the kernel says (SCM_CREDENTIALS)."""

    pid: int
    uid: int
    gid: int


Owner = Callable[[str], tuple[int, int] | None]


def owner_of_file(path: str) -> tuple[int, int] | None:
    """uid and gid of the owner of a file; None if there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_uid, status.st_gid


class Admission:
    """The door of a subscription server.

    Without ``verifier`` nothing has to be signed. ``prefixes`` are the values of
    ``subscriptions-credentials-check``: what precedes the name in a path, without a
    separator in between (spec/subscriptions.md section 6). ``skip_uids`` need no signature.
    """

    def __init__(
        self,
        *,
        verifier: Verifier | None = None,
        prefixes: Sequence[str] = (),
        skip_uids: Sequence[int] = (),
        vassal_required: bool = False,
        owner: Owner = owner_of_file,
    ) -> None:
        self.verifier = verifier
        self.prefixes = tuple(prefixes)
        self.skip_uids = frozenset(uid for uid in skip_uids if uid > 0)
        self.vassal_required = vassal_required
        self.owner = owner
        self.accepted = 0
        self.refused: Counter[Refusal] = Counter()

    def admit(self, datagram: bytes, now: float, sender: Credentials | None = None) -> Packet:
        """The packet in a datagram; ``now`` is seconds since 1970.

        Unlike uWSGI's, an unsubscribe has to pass the same checks.

        Raises:
            Refused: and it has been counted.
        """
        try:
            # Most of a flood ends here, before anything is taken apart.
            if self.is_signed(sender) and SIGNATURE not in datagram:
                raise Refused(Refusal.UNSIGNED, f"not signed: {datagram[:64]!r}")
            packet = decode(datagram)
            if self.vassal_required and not packet.vassal:
                raise Refused(Refusal.VASSAL, f"{packet.key}: {packet.address} names no vassal")
            if self.prefixes:
                self._check_credentials(packet.key, sender)
            if self.verifier is not None and self.is_signed(sender):
                self.verifier.verify(datagram, packet, now)
        except Refused as refused:
            self.refuse(refused)
            raise
        self.accepted += 1
        return packet

    def is_signed(self, sender: Credentials | None) -> bool:
        """Whether what was admitted of this sender had a good signature."""
        return self.verifier is not None and not (sender and sender.uid in self.skip_uids)

    def refuse(self, refused: Refused) -> None:
        """Count what somebody else refused: the table, which knows its bounds."""
        self.refused[refused.reason] += 1

    def _check_credentials(self, key: str, sender: Credentials | None) -> None:
        if sender is None:
            raise Refused(Refusal.CREDENTIALS, f"{key}: the sender is not known")
        if ".." not in key.split("/"):  # such a name would lead out of the folder
            for prefix in self.prefixes:
                if self.owner(prefix + key) == (sender.uid, sender.gid):
                    return
        raise Refused(
            Refusal.CREDENTIALS, f"{key}: no file of uid {sender.uid}, gid {sender.gid} allows it"
        )
