"""What a node writes on the board: its standing, the scrolls, its part of the statistics."""

from __future__ import annotations

import json
import time

from uwgate.conf.board import Notice, Scrolls, Standing, clock
from uwgate.legion.mode import Member, Mode
from uwgate.subscriptions.legion.spec import Endpoint, LegionSpec

STATS_INTERVAL = 1.0  # seconds; when nothing has changed but when members were heard


class Publisher:
    """Writes the notice of one legion. ``scrolls``: the most bytes of all scrolls together."""

    def __init__(self, spec: LegionSpec, mode: Mode, notice: Notice, *, scrolls: int) -> None:
        self._spec = spec
        self._mode = mode
        self._notice = notice
        self._room = scrolls
        self._census: tuple[object, ...] = ()
        self._next_stats = 0.0

    def publish(self, standing: Standing) -> None:
        """Write what has changed."""
        self._notice.standing = standing
        members = list(self._mode.members())
        scrolls = [(one.uuid, one.scroll) for one in members]
        census = (self._mode.election.lord, standing.since, self._mode.vote(), scrolls)
        changed = census != self._census
        if changed:
            self._census = census
            self._notice.scrolls = self._scrolls(members)
        if changed or clock() >= self._next_stats:
            self._next_stats = clock() + STATS_INTERVAL
            self._notice.stats = json.dumps(self._stats(members, standing)).encode()

    def _scrolls(self, members: list[Member]) -> Scrolls:
        election = self._mode.election
        found = {member.uuid: member.scroll for member in members}
        found[election.identity.uuid] = self._spec.scroll
        lord = found.get(election.lord or b"") or None
        if lord is not None and len(lord) > self._spec.scroll_limit:
            lord = None  # as uWSGI has it
        if not members:
            return Scrolls(lord)
        kept: list[bytes] = []
        room = self._room
        for scroll in (self._spec.scroll, *(member.scroll for member in members)):
            if len(scroll) + 2 <= room:
                kept.append(scroll)
                room -= len(scroll) + 2
        return Scrolls(lord, tuple(kept))

    def _stats(self, members: list[Member], standing: Standing) -> dict[str, object]:
        """The keys of uWSGI first, in its order (spec/legion.md section 10), then ours."""
        mode, spec = self._mode, self._spec
        now, wall = clock(), time.time()
        valor, vote = mode.vote()
        election = mode.election
        return {
            "legion": spec.name,
            "addr": text(spec.listen),
            "uuid": mode.text(election.identity.uuid),
            "valor": spec.valor,
            "checksum": mode.checksum(),
            "quorum": spec.votes_needed,
            "i_am_the_lord": standing.since,
            "lord_valor": valor,
            "lord_uuid": mode.text(vote),
            "nodes": [text(node) for node in spec.nodes],
            "members": [
                {
                    "name": member.name.decode("utf-8", "replace"),
                    "uuid": mode.text(member.uuid),
                    "valor": member.valor,
                    "checksum": member.checksum,
                    "last_seen": int(wall - (now - member.heard)),
                }
                for member in members
            ],
            "mode": "sealed" if spec.is_sealed else "compatible",
            "state": election.state.value,
            "term": standing.term,
            "lord": mode.text(election.lord or b""),
            "refused": {reason.value: count for reason, count in mode.refused.items()},
        }


def text(endpoint: Endpoint) -> str:
    """An address as it is written in options."""
    return endpoint.path or f"{endpoint.host}:{endpoint.port}"
