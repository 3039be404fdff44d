"""The keeper: parent of the gateway processes that speak TLS.

It makes the TLS contexts before it forks, so that a session that began in one process can be
resumed in another; and it keeps its privileges, so that it can read key files that nobody else
can. It parses no byte of a client, runs no event loop and no thread. What its children ask for
is the certificates of a name (``gateways/tls/inquiry.py``).
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NoReturn

from uwgate.conf import control, logs
from uwgate.conf.backoff import Backoff
from uwgate.conf.errors import ConfigError
from uwgate.conf.procname import process_title, set_title
from uwgate.conf.start import Start
from uwgate.gateways import service
from uwgate.gateways.tls import handover
from uwgate.gateways.tls.inquiry import Inquiry
from uwgate.gateways.tls.ring import Ring
from uwgate.gateways.tls.stapler import Stapler
from uwgate.gateways.tls.vault import Vault

log = logging.getLogger("uwgate.keeper")

LOOK_INTERVAL = 1.0  # seconds between two looks at the certificates' files
MAX_QUESTIONS = 64  # answered to one child before the others get their turn
EXIT_ERROR = 1
HTTP = "http"


@dataclass(slots=True)
class Place:
    """One gateway process that there must be, and the one that is there.

    ``number`` counts from 1. ``pid`` is 0 while there is none; then ``due`` (monotonic) is the
    time to start one. ``ready_at`` (monotonic) counts if it ``is_ready``. ``renewals`` are names
    whose new certificates it has not been sent yet.
    """

    number: int
    backoff: Backoff = field(default_factory=Backoff)
    pid: int = 0
    pidfd: int = -1
    due: float = 0.0
    ready_at: float = 0.0
    is_ready: bool = False
    orders: socket.socket | None = None
    questions: socket.socket | None = None
    renewals: dict[str, bytes] = field(default_factory=dict)


class Keeper:
    """The supervisor of one generation's gateway processes."""

    def __init__(self, start: Start, kind: str = HTTP) -> None:
        self._start = start
        self._kind = kind
        self._master = socket.socket(fileno=start.control_fd)
        self._master.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        count = start.settings.corerouter(kind).processes
        self._places = [Place(number) for number in range(1, count + 1)]
        self._announced = False  # ready was sent
        self._last_order: bytes | None = None  # drain or stop; no child is replaced any more
        self._next_look = 0.0
        self._failed = False

    def run(self) -> int:
        """Load, fork, supervise; returns the exit status.

        Raises:
            ConfigError: certificates cannot be loaded.
        """
        settings = self._start.settings
        logs.configure(settings.log)
        kind = self._kind
        set_title(process_title(settings.master, "keeper" if kind == HTTP else f"keeper {kind}"))
        core = settings.corerouter(kind)
        stapler = Stapler(uid=core.uid or settings.master.uid, gid=core.gid or settings.master.gid)
        options = settings.tls_of(kind)
        self._vault = Vault(options, environ=os.environ, stapler=stapler)
        self._ring = Ring(
            options,
            self._vault.material,
            http2=settings.http2.http2,
            speaks_http=kind == HTTP,
        )
        self._handle_signals()
        watch = self._selector.register
        watch(self._master, selectors.EVENT_READ, self._obey)
        watch(self._start.life_fd, selectors.EVENT_READ, self._forsaken)
        watch(self._wake_read, selectors.EVENT_READ, self._woken)
        self._next_look = time.monotonic() + LOOK_INTERVAL
        self._make = _maker(kind)
        gc.collect()
        gc.freeze()  # a collection in a child would write to every page that it shares
        while not self._is_over():
            self._fill_places()
            for key, _ in self._selector.select(self._patience()):
                # An earlier event of this round may have ended what this one is about.
                if self._selector.get_map().get(key.fd) is key:
                    key.data()
            self._look_at_files()
        self._vault.close()
        return EXIT_ERROR if self._failed else 0

    def tell_failure(self, reason: str) -> None:
        """Tell the master that the start has failed."""
        self._failed = True
        self._tell("failed", reason=reason[-control.MAX_MESSAGE // 8 :], code=EXIT_ERROR)

    def _tell(self, kind: str, **fields: object) -> None:
        with contextlib.suppress(OSError):  # a master that is gone is noticed elsewhere
            self._master.send(control.encode(kind, **fields))

    # Orders

    def _handle_signals(self) -> None:
        # Ctrl-C and a hang-up are the master's business.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_write)

    def _woken(self) -> None:
        os.read(self._wake_read, 64)  # SIGTERM is the only one
        self._pass_on(control.encode("stop"))

    def _obey(self) -> None:
        try:
            packet = self._master.recv(control.MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:  # killed before it read what we had said
            packet = b""
        if not packet:
            self._selector.unregister(self._master)
            self._forsaken()
            return
        self._pass_on(packet)

    def _forsaken(self) -> None:
        """The master is gone. The children see that as well, and finish what they have."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._start.life_fd)
        self._pass_on(control.encode("drain", idle=service.DRAIN_IDLE))

    def _pass_on(self, packet: bytes) -> None:
        """Give the order to all children, and replace none from now on."""
        self._last_order = packet
        for place in self._places:
            if place.orders is None:
                continue
            try:
                place.orders.send(packet)
            except BlockingIOError:
                # It is full of renewals. Behind them the child will read end of file: drain.
                place.orders.shutdown(socket.SHUT_WR)
            except OSError:  # it is dying
                continue

    def _is_over(self) -> bool:
        return self._last_order is not None and not any(place.pid for place in self._places)

    def _patience(self) -> float | None:
        """Seconds until something is to be done without an event; None for never."""
        if self._last_order is not None:
            return None
        times = [self._next_look, *(place.due for place in self._places if not place.pid)]
        return max(0.0, min(times) - time.monotonic())

    # Children

    def _fill_places(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if self._last_order is None and not place.pid and place.due <= now:
                try:
                    self._fork(place)
                except OSError as error:
                    log.error(
                        "%s %d cannot be started: %s", self._kind, place.number, error.strerror
                    )
                    place.due = now + place.backoff.pause_after(0.0)

    def _fork(self, place: Place) -> None:
        """Start a process for a place.

        Raises:
            OSError: there are too many processes or descriptors.
        """
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            orders, child_orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.enter_context(orders)
            theirs.enter_context(child_orders)
            questions, child_questions = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.enter_context(questions)
            theirs.enter_context(child_questions)
            pid = os.fork()
            if pid == 0:
                orders.close()
                questions.close()
                self._become_gateway(place.number, child_orders, child_questions)
            undo.callback(os.waitpid, pid, 0)
            undo.callback(os.kill, pid, signal.SIGKILL)
            pidfd = os.pidfd_open(pid)
            undo.pop_all()
        for sock in (orders, questions):
            sock.setblocking(False)
        place.pid, place.pidfd = pid, pidfd
        place.orders, place.questions = orders, questions
        place.is_ready = False
        place.renewals = {}  # the contexts that it was born with have them
        register = self._selector.register
        register(place.pidfd, selectors.EVENT_READ, lambda: self._bury(place))
        register(orders, selectors.EVENT_READ, lambda: self._hear(place, orders))
        register(questions, selectors.EVENT_READ, lambda: self._answer(place, questions))
        self._tell("worker", worker=place.number, pid=pid)
        verb = "Respawned" if self._announced else "spawned"
        log.info("%s uWSGI %s %d (pid: %d)", verb, self._kind, place.number, pid)

    def _become_gateway(
        self, number: int, orders: socket.socket, questions: socket.socket
    ) -> NoReturn:
        """The life of a child. Nothing of the keeper's must stay open in it: a sibling's end of
        file would never come."""
        code = EXIT_ERROR
        try:
            signal.set_wakeup_fd(-1)
            for one in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                signal.signal(one, signal.SIG_DFL)
            self._selector.close()
            self._master.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            for place in self._places:
                self._close(place)
            self._ring.fetch = Inquiry(questions).fetch
            del self._vault
            settings = self._start.settings
            core = settings.corerouter(self._kind)
            service.run(
                self._kind,
                replace(self._start, control_fd=orders.detach(), instance=number),
                lambda start: self._make(start, self._ring),
                core.uid,
                core.gid,
                settings.mercy_of(self._kind),
            )
            code = 0
        except SystemExit:  # it has said why
            pass
        except BaseException:
            traceback.print_exc()
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    @staticmethod
    def _close(place: Place) -> None:
        for sock in (place.orders, place.questions):
            if sock is not None:
                sock.close()
        if place.pidfd >= 0:
            os.close(place.pidfd)
        place.orders = place.questions = None
        place.pidfd = -1

    def _hear(self, place: Place, orders: socket.socket) -> None:
        """A child says that it is ready, or that it failed, or it is dying: end of file."""
        try:
            packet = orders.recv(control.MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._selector.unregister(orders)
            return
        match control.decode(packet):
            case {"type": "failed", "reason": str(reason)} if not self._announced:
                self.tell_failure(reason)
                self._pass_on(control.encode("stop"))
                return
            case {"type": "failed"}:
                return  # its death will be noticed
            case {"type": "signal" | "alarm"}:
                with contextlib.suppress(OSError):  # as if the child had not been able to send it
                    self._master.send(packet)
                return
        place.is_ready = True
        place.ready_at = time.monotonic()
        if not self._announced and all(one.is_ready for one in self._places):
            self._announced = True
            self._tell("ready")

    def _bury(self, place: Place) -> None:
        pid = place.pid
        _, status = os.waitpid(pid, 0)
        for one in (place.orders, place.questions, place.pidfd):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(one)  # type: ignore[arg-type]  # None is a ValueError
        self._close(place)
        place.pid = 0
        served = time.monotonic() - place.ready_at if place.is_ready else 0.0
        code = os.waitstatus_to_exitcode(status)
        self._tell("gone", worker=place.number, pid=pid, status=status)
        if self._last_order is not None:
            return
        how = f"killed by signal {-code}" if code < 0 else f"exited with status {code}"
        if not self._announced:
            if not self._failed:
                self.tell_failure(f"{self._kind} {place.number} {how} before it was ready")
            self._pass_on(control.encode("stop"))
            return
        place.due = time.monotonic() + place.backoff.pause_after(served)
        name = f"{self._kind} {place.number}"
        log.error("DAMN ! %s (pid: %d) died, %s :( trying respawn ...", name, pid, how)

    # Certificates

    def _answer(self, place: Place, questions: socket.socket) -> None:
        """Answer what a child asks, but not for ever: others have questions, too."""
        for _ in range(MAX_QUESTIONS):
            try:
                packet = questions.recv(control.MAX_MESSAGE)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._selector.unregister(questions)
                return
            try:
                message = control.decode(packet)
            except ValueError as error:
                log.error("%s %d asked nonsense: %s", self._kind, place.number, error)
                continue
            match message:
                case {"type": "want", "name": str(name), "number": int(number)}:
                    answer = control.encode("material", number=number)
                    # A child that does not read its answers has given them up.
                    with contextlib.suppress(OSError):
                        handover.send(questions, answer, self._find(name))
                case _:
                    log.error("%s %d asked %.200r", self._kind, place.number, message)

    def _find(self, name: str) -> bytes | None:
        try:
            material = self._vault.material(name)
        except ConfigError as error:
            log.error("%s", error)
            return None
        return None if material is None else material.to_bytes()

    def _look_at_files(self) -> None:
        """Tell the children what has changed on disk; those that did not listen, again."""
        now = time.monotonic()
        if now < self._next_look or self._last_order is not None:
            return
        self._next_look = now + LOOK_INTERVAL
        for name, material in self._vault.changed():
            try:
                self._ring.renew(name, material)
            except ConfigError as error:
                log.error("%s: %s; what was served before stays", name, error)
                continue
            data = material.to_bytes()
            for place in self._places:
                if place.pid:
                    place.renewals[name] = data
        for place in self._places:
            self._renew(place)

    def _renew(self, place: Place) -> None:
        if place.orders is None:
            return
        for name, data in list(place.renewals.items()):
            try:
                handover.send(place.orders, control.encode("renew", name=name), data)
            except OSError:  # its queue is full, or it is dying
                return
            del place.renewals[name]


def _maker(kind: str) -> Callable[[Start, Ring], service.Gateway]:
    """The class of a kind's gateways. Only that is loaded, and before the fork: it is large."""
    if kind == HTTP:
        from uwgate.gateways.http import HttpGateway

        return HttpGateway
    from uwgate.gateways.sslrouter.process import Sslrouter

    return Sslrouter


def main(fd: int, kind: str = HTTP) -> None:
    """Be the keeper whose ``Start`` is in the memory file ``fd``; does not return."""
    keeper = Keeper(Start.from_memory_file(fd), kind)
    try:
        status = keeper.run()
    except ConfigError as error:
        log.error("%s", error)
        keeper.tell_failure(str(error))
        status = EXIT_ERROR
    sys.exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
