"""Throws bytes at the way of a datagram, for as long as one likes.

Usage: PYTHONPATH=src python -m tests.subscriptions.fuzz_packet [--seconds N]

With atheris the coverage leads it, without atheris hypothesis damages what real nodes sent. Not
a test: it ends when its time is over, or with a traceback and the bytes that found something.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from uwgate.gateways.wire import uwsgi
from uwgate.subscriptions.admission import Admission
from uwgate.subscriptions.packet import FIELDS, MODIFIER1, Packet, decode, encode
from uwgate.subscriptions.refusal import Refusal, Refused
from uwgate.subscriptions.statistics import statistics
from uwgate.subscriptions.table import Table, TableOptions

CASES = Path(__file__).parents[1] / "cases" / "subscriptions"
LONGEST = 4200  # bytes; a little more than a datagram may have
STALLED = 120  # seconds for one datagram; the clock's, so a busy machine must not look like a loop
NEW_TABLE = 5000  # packets after which everything begins anew, so that no state hides another


class Range:
    """What is fired at, and what was hit. ``fire`` raises where something is wrong."""

    def __init__(self) -> None:
        self.fired = 0
        self.outcomes: Counter[str] = Counter()
        self._renew()

    def fire(self, data: bytes) -> None:
        """Some bytes as a datagram, and as the block of one whose header is right."""
        self._datagram(data)
        if data:
            self._datagram(uwsgi.HEADER.pack(MODIFIER1, len(data) - 1, data[0] & 1) + data[1:])

    def _renew(self) -> None:
        self._table = Table(TableOptions(max_keys=50, max_nodes=200, max_nodes_of_key=20))
        self._admission = Admission()

    def _datagram(self, datagram: bytes) -> None:
        self.fired += 1
        if not self.fired % NEW_TABLE:
            json.loads(json.dumps(statistics(self._table, 0.0, 0.0)))
            self._renew()
        try:
            packet = decode(datagram)
        except Refused as refused:
            self.outcomes[refused.reason.value] += 1
            return
        self.outcomes["decoded"] += 1
        _check_reading(datagram, packet)
        _check_writing(packet)
        assert self._admission.admit(datagram, 0.0) == packet
        now = self.fired / 100.0
        try:
            self._table.follow(packet, now)
        except Refused as refused:
            if refused.reason is not Refusal.FULL:
                raise
        self._table.advance(now)
        nodes = [len(slot.members) for slot in self._table.slots.values()]
        assert sum(nodes) == self._table.node_count <= 200
        assert all(0 < count <= 20 for count in nodes)


def _check_reading(datagram: bytes, packet: Packet) -> None:
    """Whoever reads as carelessly as uWSGI has to come to the same values."""
    attributes = {name.encode(): attribute for name, attribute, _ in FIELDS}
    position = 4
    while position + 2 <= len(datagram):
        length = int.from_bytes(datagram[position : position + 2], "little")
        name = datagram[position + 2 : position + 2 + length]
        position += 2 + length
        length = int.from_bytes(datagram[position : position + 2], "little")
        value = datagram[position + 2 : position + 2 + length]
        position += 2 + length
        if name not in attributes:
            continue
        found = getattr(packet, attributes[name])
        if isinstance(found, int):
            assert int(value) == found
        else:
            assert value == (found if isinstance(found, bytes) else found.encode())
    assert position == len(datagram)


def _check_writing(packet: Packet) -> None:
    try:
        datagram = encode(packet)
    except Refused as refused:
        if refused.reason is not Refusal.TOO_LARGE:  # some numbers are always sent
            raise
        return
    assert decode(datagram) == packet


def seeds() -> list[bytes]:
    """What nodes of uWSGI have sent."""
    return [bytes.fromhex(path.read_text()) for path in sorted(CASES.glob("*.hex"))]


def with_atheris(atheris: Any, seconds: int) -> None:
    """Let the coverage lead; ends the process."""
    target = Range()
    folder = tempfile.TemporaryDirectory()
    for number, seed in enumerate(seeds()):
        Path(folder.name, str(number)).write_bytes(seed)

    def shoot(data: bytes) -> None:
        if time.monotonic() >= ends:  # libFuzzer's own end leaves no time for a word
            report(target)
            folder.cleanup()
            os._exit(0)
        target.fire(data)

    atheris.instrument_all()
    limits = [f"-timeout={STALLED}", "-rss_limit_mb=1024"]
    options = [f"-max_len={LONGEST}", *limits, "-verbosity=0"]
    atheris.Setup([sys.argv[0], folder.name, *options], shoot)
    ends = time.monotonic() + seconds
    atheris.Fuzz()


def with_hypothesis(seconds: int) -> None:
    """Damage what nodes sent, here and there."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    target = Range()
    ends = time.monotonic() + seconds
    patches = st.lists(st.tuples(st.integers(0, LONGEST), st.binary(max_size=8)), max_size=6)

    @settings(
        max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.sampled_from(seeds()) | st.binary(max_size=LONGEST), patches, st.booleans())
    def shoot(seed: bytes, patched: list[tuple[int, bytes]], inserts: bool) -> None:
        data = bytearray(seed)
        for place, patch in patched:
            at = place % (len(data) + 1)
            data[at : at if inserts else at + len(patch)] = patch
        target.fire(bytes(data))

    while time.monotonic() < ends:
        shoot()
    report(target)


def report(target: Range) -> None:
    """The figures, on the standard output."""
    print(f"{target.fired} datagrams", flush=True)  # noqa: T201
    for name, count in target.outcomes.most_common():
        print(f"  {name:12} {count}", flush=True)  # noqa: T201


def main() -> None:
    """Shoot until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--hypothesis", action="store_true", help="even if atheris is there")
    options = parser.parse_args()
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        atheris = None
    if atheris is None or options.hypothesis:
        with_hypothesis(options.seconds)
    else:
        with_atheris(atheris, options.seconds)


if __name__ == "__main__":
    main()
