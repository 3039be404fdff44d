"""Keeps OCSP responses for the certificates that are served.

Responders are asked one after the other, by a program that gives up its privileges first
(``uwgate.gateways.tls.ocsp``); nothing here waits.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization

from uwgate.gateways.tls.material import Material, Pair
from uwgate.gateways.tls.ocsp import (
    ALL_SECONDS,
    MAX_RESPONSE,
    OcspError,
    Query,
    RevokedError,
    Staple,
    check,
    query_of,
)

log = logging.getLogger("uwgate.tls")

PROGRAM = (sys.executable, "-P", "-m", "uwgate.gateways.tls.ocsp")
FIRST_PAUSE = datetime.timedelta(minutes=1)  # after a failure; doubled each time
LONGEST_PAUSE = datetime.timedelta(hours=1)
LEEWAY = datetime.timedelta(seconds=5)  # beyond the program's own time-out

Certificate = bytes  # the digest of one


@dataclass(slots=True)
class _Watched:
    """A certificate with a responder. ``due``: when to ask (again)."""

    query: Query
    due: datetime.datetime
    staple: Staple | None = None
    pause: datetime.timedelta = FIRST_PAUSE


class Stapler:
    """The responses for all certificates that were dressed."""

    def __init__(
        self,
        *,
        uid: str | None = None,
        gid: str | None = None,
        program: tuple[str, ...] = PROGRAM,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        """``uid`` and ``gid``: who the program becomes, None: who we are."""
        self._program = (*program, uid or "", gid or "")
        self._now = now
        self._watched: dict[Certificate, _Watched] = {}
        self._running: _Run | None = None

    def dress(self, material: Material) -> Material:
        """``material`` with what responses there are; the missing ones are asked for."""
        return material.with_staples(tuple(self._staple_of(pair) for pair in material.pairs))

    def forget_all_but(self, materials: list[Material]) -> None:
        """Ask no more for certificates that are served no longer."""
        kept = {_digest(pair) for material in materials for pair in material.pairs}
        self._watched = {key: one for key, one in self._watched.items() if key in kept}

    def poll(self) -> bool:
        """To be called once a second; returns whether a response is new, or too old."""
        now = self._now()
        changed = False
        for one in self._watched.values():
            if one.staple is not None and one.staple.end <= now:
                log.error("%s: its OCSP response has run out", _name(one.query))
                one.staple = None
                changed = True
        if self._running is not None:
            if not self._running.is_over(now):
                return changed
            changed |= self._finish(self._running, now)
            self._running = None
        due = [key for key, one in self._watched.items() if one.due <= now]
        if due:
            self._start(min(due, key=lambda key: self._watched[key].due), now)
        return changed

    @property
    def is_busy(self) -> bool:
        """Whether the program runs."""
        return self._running is not None

    def close(self) -> None:
        """End the program that runs."""
        if self._running is not None:
            self._running.end()
            self._running = None

    def _staple_of(self, pair: Pair) -> bytes | None:
        key = _digest(pair)
        found = self._watched.get(key)
        if found is None:
            query = query_of(pair.chain)
            if query is None:
                return None
            found = self._watched[key] = _Watched(query, self._now())
        return None if found.staple is None else found.staple.response

    def _start(self, key: Certificate, now: datetime.datetime) -> None:
        watched = self._watched[key]
        try:
            self._running = _Run(key, watched.query, self._program, now)
        except (OSError, subprocess.SubprocessError) as error:
            self._fail(watched, f"cannot start {self._program[0]}: {error}", now)

    def _finish(self, run: _Run, now: datetime.datetime) -> bool:
        data, reason = run.end()
        watched = self._watched.get(run.key)
        if watched is None:  # served no longer
            return False
        try:
            if not data:
                raise OcspError(reason or "no answer")
            staple = check(watched.query, data, now)
        except RevokedError as error:
            self._fail(watched, str(error), now, logging.ERROR)
            return False
        except OcspError as error:
            self._fail(watched, str(error), now)
            return False
        watched.due, watched.pause = staple.renew, FIRST_PAUSE
        if watched.staple is not None and watched.staple.response == data:
            return False
        watched.staple = staple
        log.info("%s: OCSP response until %s", _name(watched.query), staple.end)
        return True

    def _fail(
        self,
        watched: _Watched,
        reason: str,
        now: datetime.datetime,
        level: int = logging.WARNING,
    ) -> None:
        log.log(level, "%s: no OCSP response: %s", _name(watched.query), reason)
        watched.due = now + watched.pause
        watched.pause = min(watched.pause * 2, LONGEST_PAUSE)


class _Run:
    """One run of the program."""

    def __init__(
        self,
        key: Certificate,
        query: Query,
        program: tuple[str, ...],
        now: datetime.datetime,
    ) -> None:
        self.key = key
        self._end = now + datetime.timedelta(seconds=ALL_SECONDS) + LEEWAY
        self._output = b""
        self._process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        # No more than a pipe holds: it does not block. Who is gone already says why.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(query.to_bytes())

    def is_over(self, now: datetime.datetime) -> bool:
        """Whether the program has ended, or has had its time."""
        assert self._process.stdout is not None
        while len(self._output) <= MAX_RESPONSE:
            try:
                data = os.read(self._process.stdout.fileno(), MAX_RESPONSE)
            except BlockingIOError:
                return now >= self._end
            if not data:
                return True
            self._output += data
        return True

    def end(self) -> tuple[bytes, str]:
        """What the program wrote to its output and to its error output; it ends if it has not."""
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        process.kill()  # who closed its output has nothing more to say
        process.wait()
        with process.stdout, process.stderr:
            reason = os.read(process.stderr.fileno(), 1024).decode(errors="replace").strip()
        return self._output, reason


def _digest(pair: Pair) -> Certificate:
    return hashlib.sha256(pair.chain).digest()


def _name(query: Query) -> str:
    der = query.leaf.public_bytes(serialization.Encoding.DER)
    subject = query.leaf.subject.rfc4514_string()
    return subject or hashlib.sha256(der).hexdigest()[:16]
