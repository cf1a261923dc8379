"""The front-end: joins transports, the dispatcher and the children. It runs no user code and never blocks."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable

from scriptling.registry import Declaration
from scriptling.settings import Settings
from workers.calls.dispatch import Dispatcher
from workers.front_end.declared import count_all, describe
from workers.front_end.ending import Facts, Phase
from workers.front_end.life import Life
from workers.front_end.metrics import Gauges, Metrics, worker_states
from workers.front_end.staff import Staff
from workers.home import Home
from workers.nursery import Nursery, Role
from workers.questions.relay import Relay
from workers.reactor import Watcher
from workers.sockets import Hub
from workers.words import counted

_GLANCE = 0.005  # seconds between looks at workers that have work behind what they do
_LOOK = 0.05  # seconds between looks at workers that do one thing

_STUCK = 1_000_000_000  # ns that calls may wait for one another while the server ends
_INTERRUPTED = 1.0  # seconds that a task has to end in when it is interrupted

_WAITING_FOR = {Phase.STOPPING_TASKS: Role.TASK, Phase.CLEANING_UP: Role.SETUP}

_log = logging.getLogger("scriptling.server")


class FrontEnd:
    """One server, without its transports.

    :ivar life: where transports open sessions, and which ends with the first reason to stop; whoever turns the loop
        does so until ``life.ending`` is over
    :ivar output_waits: whether a transport has answers that are not written yet; set by the transport
    :ivar output_full: whether it has so many that no more should be made; likewise
    :ivar flush: writes the answers that there are; likewise
    :ivar address: where hosts reach it, for people; empty over stdio
    """

    def __init__(self, home: Home, nursery: Nursery, hub: Hub, loop: Watcher) -> None:
        self.output_waits: Callable[[], bool] = bool
        self.output_full: Callable[[], bool] = bool
        self.flush: Callable[[], object] = bool
        self.address = ""
        self._settings = home.settings
        self.dispatcher = Dispatcher(home.settings.callback_depth, home.settings.object_stores)
        self.life = Life(home.settings, self.dispatcher, time.monotonic, self._begin)
        self._staff = Staff(home, hub, nursery, loop, self.dispatcher, self.life)
        self._next_look = 0
        self._stuck_since = 0

    @property
    def metrics(self) -> Metrics:
        """What is counted; transports count their bytes in it."""
        return self.dispatcher.metrics

    def gauges(self) -> Gauges:
        """Return what is so at the moment."""
        dispatcher = self.dispatcher
        return Gauges(
            len(dispatcher.queue),
            dispatcher.assigned,
            len(dispatcher.shards),
            self._staff.stores.objects,
            worker_states(self._staff.pool.states),
            self.life.sessions,
        )

    @property
    def relay(self) -> Relay:
        """Where transports answer what running calls ask."""
        return self._staff.relay

    def start(self) -> None:
        """Start the children; hosts are answered as soon as these have said what there is to offer."""
        self._staff.start()

    def _begin(self) -> None:
        self._staff.begin()
        _log_offer(self.life.opening.declaration, self._settings, self._staff.supervisor.workers, self.address)

    def stop(self) -> None:
        """End in order, because a signal asks for it."""
        self.life.stop()

    def change_workers(self, difference: int) -> None:
        """Have so many workers more, or fewer; never less than one."""
        supervisor = self._staff.supervisor
        supervisor.workers = max(1, supervisor.workers + difference)
        _log.info("%d workers wanted", supervisor.workers)

    def recycle(self) -> None:
        """Replace every worker after what it is doing, so that changed library files take effect."""
        _log.info("replacing every worker")
        self._staff.pool.recycle()

    def turn(self) -> float | None:
        """Do what can be done now; return for how many seconds there will be nothing, None for until something comes.

        The caller waits that long for descriptors of its reactor, and turns again.
        """
        self._staff.receive()
        now = time.monotonic_ns()
        self._staff.relay.expire(now)
        if not self.output_full():
            self._staff.hand_out(now)
        if now >= self._next_look or self._is_urgent():
            self._next_look = now + int(_GLANCE * 1e9)
            self._look(now)
        self.flush()  # before anything that nobody waits for
        if self.life.ending.over or self._staff.has_input:
            return 0
        return self._patience(now / 1e9)

    def _is_urgent(self) -> bool:
        starved = self.dispatcher.queue and not self.dispatcher.free
        return bool(self._staff.changed or starved or self.life.ending.begun)

    def _look(self, now: int) -> None:
        ending = self.life.ending
        self._staff.look(now, may_start=ending.phase <= Phase.DRAINING)
        if self.dispatcher.stalls(now) and not self._staff.relay.make_way():
            self.life.refuse_queued()
        if ending.begun:
            self._staff.tasks.stop()
            self._hurry(now)
        while ending.advance(now / 1e9, self._facts()):
            self._enter(ending.phase)

    def _hurry(self, now: int) -> None:
        """Let calls go on in vain that wait for one another, for nobody else will come; interrupt tasks in time."""
        ending, staff = self.life.ending, self._staff
        if ending.phase != Phase.DRAINING or not staff.all_parked:
            self._stuck_since = now
        elif now - self._stuck_since > _STUCK:
            staff.release_parked()
        if ending.phase in _WAITING_FOR:  # whoever asks by now has not noticed the end
            staff.release(_WAITING_FOR[ending.phase], first=False)
        if ending.phase == Phase.STOPPING_TASKS and (ending.next_deadline() or 0) - now / 1e9 < _INTERRUPTED:
            staff.signal_tasks(signal.SIGINT)

    def _facts(self) -> Facts:
        return Facts(
            calls_pending=self.life.undecided or self.dispatcher.pending > 0,
            tasks_running=self._staff.tasks.running,
            store_running=not self._staff.stores.stopped,
            setup_running=bool(self._staff.supervisor.of(Role.SETUP)),
            output_waiting=self.output_waits(),
        )

    def _enter(self, phase: Phase) -> None:
        staff = self._staff
        if phase == Phase.STOPPING_TASKS:
            self.life.cut_off()
            staff.release(Role.TASK, first=True)
        elif phase == Phase.DESTROYING:
            staff.signal_tasks(signal.SIGKILL)
            staff.stores.stop()
        elif phase == Phase.CLEANING_UP:
            staff.stop_setup()
            staff.release(Role.SETUP, first=True)

    def _patience(self, now: float) -> float | None:
        patience, question = self._patience_for_children(now), self._staff.relay.next_deadline
        if question is None:
            return patience
        due = max(question - now, 0)
        return due if patience is None else min(patience, due)

    def _patience_for_children(self, now: float) -> float | None:
        pool, supervisor = self._staff.pool, self._staff.supervisor
        if self.dispatcher.queue or self.dispatcher.backed_up:
            return _GLANCE
        if pool.watched(supervisor.workers) or self._staff.stores.watched or supervisor.expecting:
            return _LOOK
        deadlines = [each for each in (self.life.ending.next_deadline(), supervisor.next_start(now)) if each]
        return min(max(min(deadlines) - now, _GLANCE), _LOOK) if deadlines else None


def _log_offer(declaration: Declaration, settings: Settings, workers: int, address: str) -> None:
    name, kinds = describe(declaration, settings)
    about = {"plugin": declaration.library} if declaration.serves_plugin else {}
    for what, entries in kinds.items():
        for entry, reference in entries:
            _log.debug("%s %s is %s", what, entry, reference, extra=about)
    where = f" at {address}" if address else ""
    _log.info("ready: %s with %s on %s%s", name, count_all(kinds), counted(workers, "worker"), where, extra=about)
