"""The master: binds, starts, watches, reloads and stops; it parses no byte from a client.

Signals become two wishes, to stop and to reload, and are fulfilled in tasks. A second wish to
stop ends the patience with what still runs.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator, Callable

import trio

from uwgate import attaching, banner, exits, fifo, fixed, identity, parting, pid_file
from uwgate.announcing.acknowledgements import Acknowledgements
from uwgate.announcing.announcer import Announcer
from uwgate.announcing.plan import Plan, make_plan
from uwgate.attendant.supervision import Supervision
from uwgate.cache_folder import CacheFolder
from uwgate.children import Children, become_subreaper
from uwgate.conf import logs
from uwgate.conf.errors import ConfigError
from uwgate.conf.metric_file import Ledger
from uwgate.conf.metrics import read_metrics
from uwgate.conf.procname import process_title, set_title
from uwgate.conf.settings import Settings
from uwgate.daemon import Caller
from uwgate.generation import Commands, Generation, Message, StartFailed
from uwgate.legion.legions import Legions, make_seat
from uwgate.log_file import LogFile, LogPipe
from uwgate.notify import Notifier
from uwgate.sockets import Sockets, bind_all

log = logging.getLogger("uwgate.master")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
# Their default action would end or suspend the master.
HARMLESS_SIGNALS = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGIO,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
    signal.SIGTSTP,
)
COMMAND_SIGNALS = (*STOP_SIGNALS, signal.SIGHUP, *HARMLESS_SIGNALS)
MAX_RETIRING = 3  # generations that finish old requests at the same time
# A client that sends its next request just as we close its idle connection would lose it.
DRAIN_IDLE = 5.0  # seconds that idle connections have for one more request, after a reload
KILL_LIMIT = 5.0  # seconds; SIGKILL works at once, but for processes stuck in the kernel


class Master:
    """Owns the sockets and the generations. ``load`` reads the configuration again."""

    _pauses: trio.Nursery  # of tasks that let the workers rest

    def __init__(
        self,
        settings: Settings,
        sockets: Sockets,
        commands: Commands,
        load: Callable[[], Settings],
        *,
        systemd: range,
        log_file: LogFile,
        notifier: Notifier,
        caller: Caller,
        legions: Legions,
        plan: Plan,
        acknowledgements: Acknowledgements,
        caches: CacheFolder,
        metrics: Ledger,
    ) -> None:
        self.sockets = sockets
        self.legions = legions
        self.caches = caches
        self.metrics = metrics
        self._settings = settings
        self._commands = commands
        self._load = load
        self._systemd = systemd
        self._log_file = log_file
        self._notifier = notifier
        self._caller = caller
        self._plan = plan
        self.acknowledgements = acknowledgements
        self._announcer = Announcer(
            paused=settings.subscribe.start_unsubscribed, is_lord=legions.is_lord
        )
        self._attendant = Supervision(self._stop)
        legions.on_signal = self._throw
        self._generations: list[Generation] = []
        self._count = 0
        self._serving = trio.CancelScope()  # ended by the first wish to stop
        self._patience = trio.CancelScope()  # ended by the second
        self._reload_wanted = trio.Event()
        self._retiring = trio.Semaphore(MAX_RETIRING)
        self._rests = False  # the workers accept nothing

    async def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        become_subreaper()
        set_title(process_title(self._settings.master, "master"))
        through_pipe = self._settings.log.log_master or self._settings.log.log_maxsize
        pipe = LogPipe(self._log_file) if through_pipe else None
        try:
            with (
                trio.open_signal_receiver(signal.SIGCHLD) as deaths,
                trio.open_signal_receiver(*COMMAND_SIGNALS) as signals,
            ):
                # Blocked since the pid file was there: an early signal waits, and kills nobody.
                signal.pthread_sigmask(signal.SIG_UNBLOCK, COMMAND_SIGNALS)
                return await self._run(deaths, signals, pipe)
        finally:
            if pipe is not None:
                pipe.close()

    async def _run(
        self, deaths: AsyncIterator[int], signals: AsyncIterator[int], pipe: LogPipe | None
    ) -> int:
        code = exits.ERROR
        async with trio.open_nursery() as nursery:
            self._pauses = nursery
            children = Children(nursery, output=pipe.write_end if pipe else None)
            try:
                nursery.start_soon(children.reap, deaths)
                nursery.start_soon(self._obey, signals)
                nursery.start_soon(self._notifier.feed_watchdog)
                nursery.start_soon(self._announcer.run)
                nursery.start_soon(self._announcer.watch_lords)
                nursery.start_soon(self.acknowledgements.run)
                if self._settings.master.master_fifo:
                    await nursery.start(
                        fifo.Fifo(fifo.paths(self._settings), self._obey_letter).run
                    )
                if pipe is not None:
                    nursery.start_soon(pipe.copy)
                code = await self._live(children, nursery)
            finally:
                children.kill_all()
                children.close()
            nursery.cancel_scope.cancel()
        return code

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGTERM and not self._settings.master.die_on_term:
                log.info("SIGTERM reloads, because die-on-term is false")
                number = signal.SIGHUP
            if number in STOP_SIGNALS:
                self._stop(name)
            elif number == signal.SIGTSTP and self._announcer.is_useful:
                self._toggle_announcements(name)
            elif number == signal.SIGTSTP:
                self._toggle_pause(name)
            elif number != signal.SIGHUP:
                log.info("%s has no effect", name)
            else:
                self._want_reload(name)

    def _obey_letter(self, letter: str) -> None:
        """A command of the FIFO; those that uWSGI has not are ignored, as there."""
        name = f"master-fifo: {letter}"
        match letter:
            case "q":
                self._stop(name)
            case "Q":
                self._stop_at_once(name)
            case "r" | "R":  # requests that run are never cut
                self._want_reload(name)
            case "p":
                self._toggle_pause(name)
            case "S":
                self._toggle_announcements(name)
            case "w":
                self._signal_workers(name, signal.SIGHUP)
            case "W":
                self._signal_workers(name, signal.SIGINT)
            case "s":
                self._signal_workers(name, signal.SIGUSR1)
            case "l":
                self._log_file.reopen()
            case "L":
                self._log_file.rotate()
            case "P":
                pid_file.write_again(self._settings)
            case _:
                log.debug("%r: no such command", name)

    def _want_reload(self, name: str) -> None:
        if self._settings.master.exit_on_reload:
            self._stop(f"{name} with exit-on-reload")
        else:
            self._reload_wanted.set()

    def _signal_workers(self, name: str, number: signal.Signals) -> None:
        log.info("%s: %s to all workers", name, number.name)
        if self._generations:
            self._generations[-1].signal_workers(number)

    def _throw(self, number: int) -> None:
        """Raise a uWSGI signal in the workers."""
        self._tell_workers({"type": "signal", "number": number})

    def _tell_workers(self, message: Message) -> None:
        if not any(one.tell_spawner(message) for one in self._generations[-1:]):
            what = message.get("name", message.get("number"))
            log.warning("%s %s: there are no workers", message["type"], what)

    def _toggle_announcements(self, name: str) -> None:
        is_paused = self._announcer.toggle()
        log.info("%s: announcements %s", name, "pause" if is_paused else "go on")

    def _toggle_pause(self, name: str) -> None:
        """Let the workers rest, or work again. A reload ends it."""
        self._rests = not self._rests
        log.info("%s: workers %s", name, "rest" if self._rests else "accept again")
        if self._announcer.is_useful and self._announcer.is_paused != self._rests:
            self._toggle_announcements(name)
        self._pauses.start_soon(self._pause_workers)

    async def _pause_workers(self) -> None:
        """Let the workers do what was wished last; first nobody may be on his way to them."""
        if self._rests and self._announcer.is_useful and await self._announcer.settle():
            await self._announcer.linger()
        for generation in self._generations[-1:]:
            generation.pause(rest=self._rests)

    def _stop(self, reason: str) -> None:
        if not self._serving.cancel_called:
            log.info("%s: stopping when the running requests are done", reason)
            self._serving.cancel()
        else:
            self._stop_at_once(f"{reason} again")

    def _stop_at_once(self, reason: str) -> None:
        log.warning("%s: stopping at once", reason)
        self._serving.cancel()
        self._patience.cancel()

    async def _live(self, children: Children, nursery: trio.Nursery) -> int:
        code = exits.OK
        with self._serving:
            try:
                await self._start_first(children, nursery)
            except StartFailed as error:
                log.error("the start failed, nothing was served: %s", error.summary)
                code = error.code
                self._caller.release(code, f"{str(error).rstrip()}\n")
            else:
                await self._serve(children, nursery)
        self._notifier.stopping()
        with self._patience:
            await self._announcer.leave()
            await self._part(self.sockets, None, self._settings)
            # Who connects from here on is refused as soon as the last child has closed, too.
            self.sockets.close_unless_in(None, remove_files=False)
            async with trio.open_nursery() as nursery:
                drained = trio.Event()
                nursery.start_soon(self.legions.leave_after, drained)
                nursery.start_soon(self._attendant.leave_after, drained)
                async with trio.open_nursery() as drains:
                    for generation in self._generations:
                        drains.start_soon(self._drain_last, generation)
                drained.set()
        children.kill_all()
        with trio.move_on_after(KILL_LIMIT):
            await children.wait_none()
        if code == exits.OK:
            log.info("goodbye to uwgate")
        return code

    async def _drain_last(self, generation: Generation) -> None:
        await generation.drain(idle=0.0, gateways_first=True)

    async def _start_first(self, children: Children, nursery: trio.Nursery) -> None:
        for line in banner.lines(self._settings, self.sockets):
            log.info("%s", line)
        generation = self._new_generation(
            self._settings, self.sockets, children, self.legions.seat.reading
        )
        await generation.start()
        generation.supervise(nursery)
        failure = await self.legions.start(children, nursery) or await self._attendant.start(
            self._settings, self.legions.seat.reading, children, nursery
        )
        if failure is not None:
            raise StartFailed(failure, exits.ERROR)
        log.info("generation 1 serves %s", self._names())
        self._announcer.announce(self._plan, generation.observe)
        self._report_ready()
        fifo.run_hooks(self._settings)
        self._caller.release()

    async def _serve(self, children: Children, nursery: trio.Nursery) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted = trio.Event()  # wishes from here on mean one more reload
            if not self._retiring.value:
                log.info("%d old generations are not gone yet: the reload waits", MAX_RETIRING)
            await self._retiring.acquire()
            self._notifier.reloading()
            self._log_file.reopen()
            if not await self._reload(children, nursery):
                self._retiring.release()
            self._report_ready()

    async def _reload(self, children: Children, nursery: trio.Nursery) -> bool:
        """Replace the current generation; False if it had to stay."""
        log.info("...gracefully reloading uwgate (generation %d)", self._count + 1)
        try:
            settings = self._load()
            identity.check(settings)
            # In a thread: a zerg server may take its time. It blocks no longer than zerg-timeout.
            gifts = await trio.to_thread.run_sync(attaching.attach, settings)
            try:
                sockets = bind_all(
                    settings,
                    log.warning,
                    systemd=self._systemd,
                    previous=self.sockets,
                    gifts=gifts,
                )
            finally:
                attaching.dispose(gifts)
            try:
                plan = make_plan(settings, sockets, log.warning)
                self.acknowledgements.open(settings)
                self.caches.provide(settings)
                self.metrics.provide(read_metrics(settings.metrics.metric))
                seat = make_seat(settings, self.legions.seat)
            except ConfigError:
                sockets.close_unless_in(self.sockets, remove_files=True)
                raise
        except ConfigError as error:
            log.error("%s", error)
            log.error("reload failed, generation %d keeps serving", self._generations[-1].number)
            return False
        old = self._generations[-1]
        if self._settings.subscribe.unsubscribe_on_graceful_reload:
            self._announcer.withdraw()
            await self._announcer.settle()
        generation = self._new_generation(settings, sockets, children, seat.reading)
        try:
            await generation.start()
        except trio.Cancelled:
            sockets.close_unless_in(self.sockets, remove_files=True)
            seat.close_unless_in(self.legions.seat)
            raise
        except StartFailed as error:
            log.error("reload failed, generation %d keeps serving: %s", old.number, error.summary)
            sockets.close_unless_in(self.sockets, remove_files=True)
            seat.close_unless_in(self.legions.seat)
            self._stay_with(old)
            # Its workers may have taken requests already, so it is not simply killed.
            self._generations.remove(generation)
            self._generations.insert(0, generation)
            nursery.start_soon(self._retire, generation, False, None)
            return True
        generation.supervise(nursery)
        fixed.warn(self._settings, settings)
        logs.configure(settings.log, self._log_file)
        gone, self.sockets, self._settings = self.sockets, sockets, settings
        self._plan = plan
        if self._rests:
            self._toggle_pause("reload")
        self._announcer.announce(plan, generation.observe)
        log.info(
            "generation %d serves %s, generation %d finishes what it has",
            generation.number,
            self._names(),
            old.number,
        )
        # Old gateways can use the new workers only if those serve leases at the same address.
        shared = sockets.lease_address == gone.lease_address
        nursery.start_soon(self._retire, old, not shared, gone)
        await self.legions.replace(seat, nursery)
        await self._attendant.reload(settings, seat.reading, children, nursery)
        return True

    def _stay_with(self, generation: Generation) -> None:
        """Take back what a reload that failed has changed."""
        self._announcer.announce(self._plan, generation.observe)
        try:
            self.acknowledgements.open(self._settings)
        except ConfigError as error:
            log.error("%s", error)

    async def _retire(
        self, generation: Generation, gateways_first: bool, gone: Sockets | None
    ) -> None:
        """Let a generation end, and close what of its sockets ``gone`` is wanted no more."""
        kept, vacuum = self.sockets, self._settings.sockets.vacuum
        if gone is not None:
            if await self._announcer.settle():
                # Routers have only just been told of other addresses.
                await self._announcer.linger()
            await self._part(gone, kept, generation.settings)
            gone.close_unless_in(kept, remove_files=vacuum)
        await generation.drain(idle=DRAIN_IDLE, gateways_first=gateways_first)
        self._generations.remove(generation)
        self._retiring.release()
        log.info("generation %d is gone", generation.number)

    async def _part(self, gone: Sockets, kept: Sockets | None, settings: Settings) -> None:
        """Before sockets are closed: let others take over that share their ports."""
        left, gives_away = kept.bound if kept else {}, settings.zerg.servers
        await parting.leave(parting.leavers(gone.bound, left, gives_away=gives_away))

    def _new_generation(
        self, settings: Settings, sockets: Sockets, children: Children, board_fd: int | None
    ) -> Generation:
        self._count += 1
        generation = Generation(
            self._count,
            settings,
            sockets,
            children,
            self._commands,
            board_fd=board_fd,
            cache_folder=self.caches.of(settings),
            metric_file=self.metrics.provide(read_metrics(settings.metrics.metric)),
            tell_workers=self._tell_workers,
        )
        self._generations.append(generation)
        return generation

    def _names(self) -> str:
        names = [one.name for one in self.sockets.of(*banner.SERVED_BY)]
        return ", ".join(names) or ("its legions" if self.legions.seat.specs else "its daemons")

    def _report_ready(self) -> None:
        self._notifier.ready(f"generation {self._generations[-1].number} serves {self._names()}")
