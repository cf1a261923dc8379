"""The children of a server: who there is, what they send, and how those that die are replaced."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec

from scriptling.errors import ErrorCode, RpcError
from workers import frames, reactor
from workers.calls.dispatch import Dispatcher
from workers.calls.pool import Pool
from workers.calls.tickets import Caller
from workers.frames import Classes, FromChild, Hello, Ran, Registered, Replies, Started, Stop, Stopped, Want
from workers.front_end.life import Life
from workers.front_end.metrics import Report
from workers.front_end.store_link import StoreLinks
from workers.front_end.supervisor import Child, CrashLoopError, Supervisor
from workers.home import Home
from workers.nursery import Born, Died, Kill, Nursery, NurseryLostError, Role
from workers.questions.relay import Loss, Relay
from workers.questions.responders import HostResponder, StoreResponder
from workers.questions.sync_responder import SyncResponder
from workers.questions.task_link import TaskLink
from workers.reactor import Watcher
from workers.sockets import Hub

_FAULT = 1  # exit code of a server that cannot go on
_MOST_FOR_SHORT_CALLS = 16  # workers lent because others are in long calls
_MOST_BIRTHS = 8  # asked of the nursery at one look, so that its queue never fills
_LAST_WORDS = 10  # times that all sockets are read from before a child is buried

_NO_SENSE = RpcError(
    ErrorCode.WORKER_DIED, "the process that ran it sent or wrote something that makes no sense, and was killed"
)
_SHUTTING_DOWN = RpcError(ErrorCode.SHUTTING_DOWN, "the plugin is shutting down, and what this waits for has not come")

_log = logging.getLogger("scriptling.staff")


class Staff:
    """Every child process, the sockets to them, and the nursery that starts them.

    :param life: is told what setup and store have to say, and when the server cannot go on
    :ivar relay: the questions of running calls
    :ivar tasks: what runs in the background
    :ivar changed: whether somebody has come, gone or begun to wait since the last :meth:`look`
    """

    def __init__(
        self, home: Home, hub: Hub, nursery: Nursery, loop: Watcher, dispatcher: Dispatcher, life: Life
    ) -> None:
        settings = home.settings
        self.changed = False
        self.pool = Pool(settings, dispatcher, self._send, self._put_down)
        self.stores = StoreLinks(dispatcher, self._send, settings.call_timeout)
        self.supervisor = Supervisor(nursery, settings.workers, self._descriptors)
        self._home = home
        self._hub = hub
        self._nursery = nursery
        self._lost = False
        self._loop = loop
        self._dispatcher = dispatcher
        self._life = life
        self.relay = _make_relay(home, dispatcher, hub.relay.send, life.log_to)
        self.tasks = TaskLink(self.relay, self._send, settings.max_tasks, settings.max_parked)
        self.relay.responders |= {Want.SYNC: SyncResponder(self.relay, self.pool.received), Want.TASK: self.tasks}
        self._children: dict[bytes, Child] = {}
        life.recall = self._recall
        for router in (hub.calls, hub.relay):
            loop.watch(router.fileno(), reactor.READ, router.wake)
        loop.watch(nursery.fileno(), reactor.READ, lambda events: self._read_notices())

    # Births

    def start(self) -> None:
        """Give birth to the setup process and the workers."""
        try:
            self._start(Role.SETUP)
            for _ in range(self.supervisor.workers):
                self._start(Role.WORKER)
        except NurseryLostError as lost:
            self._lose_nursery(lost)

    def begin(self) -> None:
        """Put the workers into service, and let setup go on: there is something to offer."""
        self.pool.open(frames.encode(self._life.opening.init()))
        self._tell_setup(Started())

    def _start(self, role: Role, place: int = 0) -> Child | None:
        try:
            child = self.supervisor.start(role, time.monotonic(), place)
        except OSError as error:
            _log.warning("cannot start another %s: %s", role.name.lower(), error.strerror)
            self.supervisor.hold_back(role, time.monotonic(), place)
            return None
        self._children[self._home.identity(child.name)] = child
        self.relay.admit(child.name)
        return child

    def _descriptors(self, child: Child) -> list[int]:
        return [*self._hub.doors, *(self.pool.furnish(child) if child.role == Role.WORKER else ())]

    def look(self, now: int, may_start: bool) -> None:
        """Watch the workers, and start whoever is missing if anybody may be started (``now`` in ns)."""
        self.changed = False
        try:
            self._nursery.flush()
            self.pool.look(now, self.supervisor)
            self.stores.look(now, self.supervisor)
            self.supervisor.look(now / 1e9)
            if may_start and not self._lost:
                self._fill(now / 1e9)
        except NurseryLostError as lost:
            self._lose_nursery(lost)

    def _fill(self, now: float) -> None:
        """Replace children that are missing; lend workers while there is work for them.

        They are lent for workers that wait for callbacks, and for those that long calls have taken from short ones.
        """
        supervisor, dispatcher = self.supervisor, self._dispatcher
        present = len(supervisor.of(Role.WORKER))
        if dispatcher.queue:
            present = dispatcher.serving + self.pool.starting - min(dispatcher.hogged, _MOST_FOR_SHORT_CALLS)
        if supervisor.may_start(Role.WORKER, now):
            for _ in range(min(supervisor.workers - present, _MOST_BIRTHS)):
                self._start(Role.WORKER)
        for place in self.stores.missing() if self._life.opening.wants_stores else ():
            if supervisor.may_start(Role.STORE, now, place):
                self._start_store(place)
        if self._life.serving and supervisor.may_start(Role.TASK, now):
            self.tasks.begin(partial(self._start, Role.TASK))

    def _start_store(self, place: int) -> None:
        child = self._start(Role.STORE, place)
        if child is not None:
            self.stores.of(child).expect(child)

    # Frames

    def hand_out(self, now: int) -> None:
        """Send out the work there is for workers and stores."""
        self.pool.hand_out(now)
        self.stores.hand_out()

    def _recall(self, caller: Caller) -> None:
        self.pool.recall(caller)
        self.stores.recall(caller)
        self.relay.abandon(caller)

    def stop_setup(self) -> None:
        """Let the setup script clean up and end."""
        self._tell_setup(Stop())

    def release(self, role: Role, first: bool) -> None:
        """Break off what tasks or the setup script wait for.

        :param first: whether waits whose time is bounded are over too, as they are once; clean-up may wait again
        """
        setup = [child.name for child in self.supervisor.of(Role.SETUP)]
        for name in self.tasks.names() if role == Role.TASK else setup:
            self.relay.interrupt(self.relay.of(name), _SHUTTING_DOWN, only_unbounded=not first)

    @property
    def all_parked(self) -> bool:
        """Whether there are calls, and all of them wait for others."""
        pending = self._dispatcher.pending
        return pending > 0 and pending <= len({question.seq for question in self.relay.parked()})

    def release_parked(self) -> None:
        """Break what calls wait for that wait for one another."""
        self.relay.interrupt(self.relay.parked(), _SHUTTING_DOWN)

    def signal_tasks(self, number: signal.Signals) -> None:
        """Send a signal to the tasks that do not stop."""
        try:
            self.tasks.signal(number, lambda name, number: self._nursery.send(Kill(name, number)))
        except NurseryLostError as lost:
            self._lose_nursery(lost)

    def _tell_setup(self, frame: Started | Stop) -> None:
        for child in self.supervisor.of(Role.SETUP):
            self._send(child.name, frames.encode(frame))

    def _send(self, name: str, frame: bytes) -> None:
        self._hub.calls.send(self._home.identity(name), frame)

    @property
    def has_input(self) -> bool:
        """Whether a frame waits to be received."""
        return self._hub.calls.has_input or self._hub.relay.has_input

    def receive(self) -> None:
        """Take in frames that have come, from both sockets; :attr:`has_input` tells whether that was all.

        What else there is to do has its turn after some hundred, whoever floods the sockets.
        """
        for identity, frame in self._hub.calls.receive():
            self._receive_frame(identity, frame)
        for route, frame in self._hub.relay.receive():
            self._receive_question(route, frame)
        self.relay.end_orphans()

    def _receive_question(self, route: bytes, frame: bytes) -> None:
        try:
            lane = self.relay.receive(route, frame)
        except Exception:  # as in frames, but it does not say for sure whose it is
            _log.exception("something on the relay socket makes no sense, and is ignored")
            return
        if lane is not None:
            self.pool.waits(lane)
            self.changed = self.changed or bool(self._dispatcher.queue)
        self.changed = self.changed or self.tasks.waiting

    def _receive_frame(self, identity: bytes, data: bytes) -> None:
        child = self._children.get(identity)
        if child is None:
            return  # it has died, or was put down, or was never ours
        try:
            self._take_frame(child, frames.decode_from_child(data))
        except msgspec.DecodeError:
            self._put_down(child.name, "it has sent a frame that cannot be decoded")
        except Exception:  # user code in there can send whatever it likes, and everybody else goes on
            _log.exception("a frame of %s cannot be dealt with", child.name, extra={"worker": child.name})
            self._put_down(child.name, "see above")

    def _put_down(self, name: str, why: str) -> None:
        """Kill a child that has sent or written what no child of ours does, and hear nothing more from it."""
        if self._children.pop(self._home.identity(name), None) is None:
            return
        _log.error("%s makes no sense, and is killed: %s", name, why, extra={"worker": name})
        self.changed = True
        with suppress(NurseryLostError):  # then it has died, and the loop is about to see it
            self.supervisor.kill(name, _NO_SENSE, time.monotonic())

    def _take_frame(self, child: Child, frame: FromChild) -> None:
        if type(frame) is Report:
            self._take_report(child, frame)
        elif type(frame) is not Replies:
            self._take(child, frame)
        elif child.role == Role.WORKER:
            self.pool.receive(child.name, frame)
        else:
            self.stores.of(child).receive(frame)

    def _take_report(self, child: Child, report: Report) -> None:
        self._dispatcher.metrics.take_report(report)
        if child.role == Role.STORE:
            self.stores.of(child).objects = report.objects

    def _take(self, child: Child, frame: FromChild) -> None:
        self.changed = True
        if isinstance(frame, Hello):
            self._take_hello(child)
        elif isinstance(frame, Registered) and child.role == Role.SETUP:
            self._life.registered(frame)
        elif isinstance(frame, Classes) and child.role == Role.STORE:
            self._take_classes(child, frame)
        elif isinstance(frame, Ran):
            self.tasks.ended(child, frame.outcome)
        elif isinstance(frame, Stopped):
            self._take_stopped(child, frame.exit_code)

    def _take_hello(self, child: Child) -> None:
        if child.role == Role.STORE:
            self.supervisor.greeted(child)  # it is ready when it has its classes
            self.stores.of(child).take_hello(self._life.opening.init())
            return
        greets_again = child.ready
        self.supervisor.ready(child.name)
        if child.role == Role.WORKER:
            self.pool.ready(child.name)
        elif child.role == Role.TASK:
            if greets_again:
                raise ValueError("a task says hello once")
            self.tasks.greet(child)

    def _take_classes(self, child: Child, frame: Classes) -> None:
        if frame.problem and self._life.serving:  # it ends, and the next may be luckier
            _log.error("%s", frame.problem)
            return
        if not frame.problem:
            self.supervisor.ready(child.name)
            self.stores.of(child).serve()
        self._life.resolved(frame)

    def _take_stopped(self, child: Child, exit_code: int) -> None:
        child.stopping = True
        if child.role == Role.STORE:
            self.stores.of(child).stopped = True
        elif child.role == Role.WORKER:
            self.pool.wants_to_retire(child.name)
        elif child.role == Role.SETUP:
            self._life.setup_ended(exit_code)

    # Deaths

    def _read_notices(self) -> None:
        try:
            notices = self._nursery.notices()
        except NurseryLostError as lost:
            self._lose_nursery(lost)
            return
        for notice in notices:
            if isinstance(notice, Born):
                _log.debug("%s is process %d", notice.name, notice.pid, extra={"worker": notice.name})
            else:
                self._bury(notice)

    def _lose_nursery(self, lost: NurseryLostError) -> None:
        """End, because every child has died with it and none can be started."""
        if self._lost:
            return
        self._lost = True
        self._loop.forget(self._nursery.fileno())
        for child in list(self.supervisor.children.values()):
            self._bury(Died(child.name, -signal.SIGKILL))
        self._life.fail(_FAULT, str(lost))
        self._life.begin_ending(_FAULT, grace=0)

    def _bury(self, notice: Died) -> None:
        self._receive_last_words()
        child = self.supervisor.children.get(notice.name)
        if child is None:
            return
        self._children.pop(self._home.identity(notice.name), None)
        self.changed = True
        self.relay.drop(self._loss(child, notice.code))
        if not child.stopping:
            self._dispatcher.metrics.restarts[child.role.name.lower()] += 1
        if child.role == Role.WORKER:
            self.pool.died(child, notice.code)
        elif child.role == Role.STORE:
            self.stores.of(child).died(child, notice.code)
        elif child.role == Role.TASK:
            self.tasks.died(child, notice.code)
        elif not child.stopping:
            self._bury_setup(notice.code)
        try:
            self.supervisor.died(child.name, time.monotonic())
        except CrashLoopError as crash:
            self._life.fail(_FAULT, str(crash))
            if not self._dispatcher.lanes:
                self._life.begin_ending(_FAULT, grace=0)  # what is queued waits for nobody

    def _receive_last_words(self) -> None:
        """Take in what the dead have sent while they lived; if others flood the sockets, as much as comes in turns."""
        self._hub.calls.wake()
        for _ in range(_LAST_WORDS):
            self.receive()
            if not self._hub.calls.has_input:
                return

    def _loss(self, child: Child, code: int) -> Loss:
        if child.role == Role.WORKER:
            return self.pool.loss(child.name)
        if child.role == Role.STORE:
            return Loss(child.name, frozenset(self.stores.of(child).calls))
        return Loss(child.name, frozenset({0} if code else ()))

    def _bury_setup(self, code: int) -> None:
        if code >= 0:
            self._life.setup_ended(code)  # its last frame may still be on its way
        else:
            self._life.setup_died(code)


def _make_relay(
    home: Home, dispatcher: Dispatcher, send: Callable[[bytes, bytes], None], log: Callable[[int, bytes], None]
) -> Relay:
    relay = Relay(dispatcher, home.key, send, log, time.monotonic_ns, home.settings.max_parked)
    store = StoreResponder(relay, dispatcher)
    relay.responders |= {Want.CALLBACK: HostResponder(relay), Want.METHOD: store, Want.ADOPT: store}
    return relay
