"""The front-end: joins transports, the dispatcher and the children. It runs no user code and never blocks."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable

import msgspec

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import encode_error_object
from workers import frames, reactor, sockets
from workers.dispatch import Dispatcher
from workers.ending import SETUP_FAILED, Ending, Facts, Phase
from workers.frames import Classes, FromChild, Hello, Registered, Replies, Started, Stop, Stopped
from workers.home import Home
from workers.nursery import Born, Died, Nursery, NurseryLostError, Role
from workers.opening import Opening
from workers.pool import Pool, describe_end
from workers.reactor import Reactor
from workers.relay import Relay
from workers.service import Service
from workers.session import Session
from workers.sockets import Hub
from workers.store_link import StoreLink
from workers.supervisor import Child, CrashLoopError, Supervisor

_FAULT = 1  # exit code of a server that cannot go on
_GLANCE = 0.005  # seconds between looks at workers that have work behind what they do
_MOST_BIRTHS = 8  # asked of the nursery at one look, so that its queue never fills
_LOOK = 0.05  # seconds between looks at workers that do one thing

_log = logging.getLogger("scriptling.server")


class FrontEnd:
    """One server, without its transports.

    :ivar ending: begins with the first reason to stop; whoever turns the loop does so until it is over
    :ivar stopped_by_signal: whether a signal has asked it to end
    :ivar output_waits: whether a transport has answers that are not written yet; set by the transport
    """

    def __init__(self, home: Home, nursery: Nursery, hub: Hub, loop: Reactor) -> None:
        settings = home.settings
        self._home = home
        self._hub = hub
        self._nursery = nursery
        self._nursery_lost = False
        self._loop = loop
        self.ending = Ending()
        self.output_waits: Callable[[], bool] = bool
        self.stopped_by_signal = False
        self.dispatcher = Dispatcher(settings.callback_depth)
        self.service = Service(self.dispatcher, self.begin_ending, settings.call_timeout)
        self._pool = Pool(settings, self.dispatcher, self._send)
        self._store = StoreLink(self.dispatcher, self._send)
        self._relay = Relay(
            self.dispatcher, home.key, self._answer_question, self._log_to_host, settings.callback_depth
        )
        self._supervisor = Supervisor(nursery, settings.workers, self._descriptors)
        self._opening = Opening(settings.call_timeout)
        self._serving = False
        self._failed = False
        self._sessions: list[Session] = []
        self._children: dict[bytes, Child] = {}
        self._next_look = 0
        for fd in hub.filenos():
            loop.watch(fd, reactor.READ, _nothing)
        loop.watch(nursery.fileno(), reactor.READ, lambda events: self._read_notices())

    # What transports use

    def open(self, session: Session) -> None:
        """Take in a host; it is answered as soon as there is something to offer."""
        self._sessions.append(session)
        if self._serving:
            session.open()

    def begin_ending(self, exit_code: int = 0, grace: float | None = None) -> None:
        """Take no new calls, and end in order.

        :param grace: seconds for all of it, if not those of the settings
        """
        self.service.draining = True
        patience = self._home.settings.graceful_timeout if grace is None else grace
        self.ending.begin(time.monotonic(), patience, exit_code)

    def stop(self) -> None:
        """End in order because a signal asks for it; do not wait for a setup script that has not started the server."""
        self.stopped_by_signal = True
        if self._serving or self._failed:
            self.begin_ending()
            return
        self._refuse_all(RpcError(ErrorCode.SHUTTING_DOWN, "the plugin was stopped before it had started"))
        self.begin_ending(grace=0)

    def change_workers(self, difference: int) -> None:
        """Have so many workers more, or fewer; never less than one."""
        self._supervisor.workers = max(1, self._supervisor.workers + difference)
        _log.info("%d workers wanted", self._supervisor.workers)

    def recycle(self) -> None:
        """Replace every worker after what it is doing, so that changed library files take effect."""
        _log.info("replacing every worker")
        self._pool.recycle()

    # Start

    def start(self) -> None:
        """Give birth to the setup process and the workers."""
        self._start(Role.SETUP)
        for _ in range(self._supervisor.workers):
            self._start(Role.WORKER)

    def _start(self, role: Role) -> None:
        child = self._supervisor.start(role)
        self._children[self._home.identity(child.name)] = child

    def _descriptors(self, child: Child) -> list[int]:
        return self._pool.furnish(child) if child.role == Role.WORKER else []

    def _fail(self, exit_code: int, *problems: str) -> None:
        """Tell everybody that this server will never serve, and end."""
        for problem in problems:
            _log.error("%s", problem)
        self._refuse_all(RpcError(ErrorCode.INTERNAL_ERROR, "the plugin could not start: " + "; ".join(problems)))
        self.begin_ending(exit_code)
        self.ending.exit_code = self.ending.exit_code or exit_code  # the host may have gone before, which is no fault

    def _refuse_all(self, error: RpcError) -> None:
        """Answer every request, those that came already and those to come, with an error."""
        self._failed = True
        for session in self._sessions:
            session.refuse(error)

    def _serve_if_complete(self) -> None:
        opening = self._opening
        if opening.problems:
            self._fail(SETUP_FAILED, *opening.problems)
            return
        if not opening.complete or self._serving or self._failed:
            return
        self._serving = True
        self.service.offer = opening.offer()
        self._pool.open(frames.encode(opening.init()))
        self._tell_setup(Started())
        for session in self._sessions:
            session.open()
        _log_offer(opening, self._supervisor.workers)

    def _tell_setup(self, frame: Started | Stop) -> None:
        for child in self._supervisor.of(Role.SETUP):
            self._send(child.name, frames.encode(frame))

    # One turn of the loop

    def turn(self) -> float | None:
        """Do what can be done now; return for how many seconds there will be nothing, None for until something comes.

        The caller waits that long for descriptors of its reactor, and turns again.
        """
        self._receive_frames()
        now = time.monotonic_ns()
        self._pool.hand_out(now)
        self._store.hand_out()
        starved = self.dispatcher.queue and not self.dispatcher.free
        if now >= self._next_look or starved or self.ending.begun:
            self._next_look = now + int(_GLANCE * 1e9)
            self._look(now)
        if self.ending.over or self._hub.has_input():
            return 0
        return self._patience(now / 1e9)

    def _look(self, now: int) -> None:
        try:
            self._pool.look(now, self._supervisor)
            if self.ending.phase <= Phase.DRAINING and not self._nursery_lost:
                self._fill(now / 1e9)
        except NurseryLostError as lost:
            self._lose_nursery(lost)
        while self.ending.advance(now / 1e9, self._facts()):
            self._enter(self.ending.phase)

    def _fill(self, now: float) -> None:
        """Replace children that are missing; lend workers for those that wait, while there is work for them."""
        present = len(self._supervisor.of(Role.WORKER))
        if self.dispatcher.queue:
            present = self.dispatcher.serving + self._pool.starting
        if self._supervisor.may_start(Role.WORKER, now):
            for _ in range(min(self._supervisor.workers - present, _MOST_BIRTHS)):
                self._start(Role.WORKER)
        wants_store = self._opening.wants_store and not self._supervisor.of(Role.STORE)
        if wants_store and self._supervisor.may_start(Role.STORE, now):
            self._start(Role.STORE)

    def _patience(self, now: float) -> float | None:
        if self.dispatcher.queue or self._pool.backed_up:
            return _GLANCE
        if self._pool.watched(self._supervisor.workers):
            return _LOOK
        deadlines = [
            each for each in (self.ending.next_deadline(), self._supervisor.next_start(now)) if each is not None
        ]
        return min(max(min(deadlines) - now, _GLANCE), _LOOK) if deadlines else None

    # Children

    def _send(self, name: str, frame: bytes) -> None:
        sockets.send(self._hub.calls, self._home.identity(name), frame)

    def _answer_question(self, route: bytes, frame: bytes) -> None:
        sockets.send(self._hub.relay, route, frame)

    def _log_to_host(self, number: int, params: bytes) -> None:
        for session in self._sessions:
            if session.session == number:
                session.log(params)

    def _receive_frames(self) -> None:
        while (message := sockets.receive(self._hub.calls)) is not None:
            self._receive_frame(*message)
        while (message := sockets.receive(self._hub.relay)) is not None:
            lane = self._relay.receive(*message)
            if lane is not None:
                self._pool.waits(lane)

    def _receive_frame(self, identity: bytes, data: bytes) -> None:
        child = self._children.get(identity)
        if child is None:
            return  # it has died, or was never ours
        try:
            frame = frames.decode_from_child(data)
        except msgspec.DecodeError:
            _log.error("%s has sent a frame that cannot be decoded", child.name, extra={"worker": child.name})
            return
        if type(frame) is not Replies:
            self._take(child, frame)
        elif child.role == Role.WORKER:
            self._pool.receive(child.name, frame)
        else:
            self._store.receive(frame)

    def _take(self, child: Child, frame: FromChild) -> None:
        if isinstance(frame, Hello):
            self._take_hello(child)
        elif isinstance(frame, Registered):
            self._opening.registered = frame
            self._serve_if_complete()
            self._next_look = 0  # the store may have to be started
        elif isinstance(frame, Classes):
            self._opening.classes = frame
            self._store.serve()
            self._serve_if_complete()
        elif isinstance(frame, Stopped):
            self._take_stopped(child, frame.exit_code)

    def _take_hello(self, child: Child) -> None:
        self._supervisor.ready(child.name)
        if child.role == Role.WORKER:
            self._pool.ready(child.name)
        elif child.role == Role.STORE:
            self._store.greet(child, self._opening.init())

    def _take_stopped(self, child: Child, exit_code: int) -> None:
        child.stopping = True
        if child.role == Role.STORE:
            self._store.stopped = True
        elif not (self._serving or self._failed):
            self._fail(exit_code, "the setup script ended without starting the server")
        elif self.ending.begun:
            self.ending.exit_code = self.ending.exit_code or exit_code
        else:
            self.begin_ending(exit_code)

    def _read_notices(self) -> None:
        try:
            notices = self._nursery.notices()
        except NurseryLostError as lost:
            self._lose_nursery(lost)
            return
        for notice in notices:
            if isinstance(notice, Born):
                self._note_birth(notice)
            else:
                self._bury(notice)

    def _lose_nursery(self, lost: NurseryLostError) -> None:
        """End, because every child has died with it and none can be started."""
        if self._nursery_lost:
            return
        self._nursery_lost = True
        self._loop.forget(self._nursery.fileno())
        for child in list(self._supervisor.children.values()):
            self._bury(Died(child.name, -signal.SIGKILL))
        self._fail(_FAULT, str(lost))
        self.begin_ending(_FAULT, grace=0)

    def _note_birth(self, notice: Born) -> None:
        child = self._supervisor.children.get(notice.name)
        if child is not None:
            child.pid = notice.pid

    def _bury(self, notice: Died) -> None:
        self._receive_frames()  # what it sent while it lived comes first
        child = self._children.pop(self._home.identity(notice.name), None)
        if child is None:
            return
        self._relay.drop(child.name)
        self._next_look = 0
        if child.role == Role.WORKER:
            self._pool.died(child, notice.code)
        elif child.role == Role.STORE:
            self._store.died(child, notice.code)
        elif not child.stopping and notice.code >= 0:
            self._take_stopped(child, notice.code)  # its last frame may be still on its way
        elif not child.stopping:
            self._setup_died(notice.code)
        try:
            self._supervisor.died(child.name, time.monotonic())
        except CrashLoopError as crash:
            self._fail(_FAULT, str(crash))

    def _setup_died(self, code: int) -> None:
        if self._serving:
            _log.warning("the setup script died: it %s; its clean-up code will not run", describe_end(code))
        else:
            self._fail(SETUP_FAILED, f"the setup script died before it had started the server: it {describe_end(code)}")

    # End

    def _facts(self) -> Facts:
        # What came before the server was ready is owed an answer, and setup hears no Stop before it has registered.
        opening = not (self._serving or self._failed)
        return Facts(
            calls_pending=opening or self.dispatcher.pending > 0,
            store_running=not self._store.stopped,
            setup_running=bool(self._supervisor.of(Role.SETUP)),
            output_waiting=self.output_waits(),
        )

    def _enter(self, phase: Phase) -> None:
        if phase == Phase.DESTROYING:
            self._cut_off()
            self._store.stop()
        elif phase == Phase.CLEANING_UP:
            self._tell_setup(Stop())

    def _cut_off(self) -> None:
        """Answer what did not finish within the grace period, or did not even begin to be looked at."""
        for session in self._sessions:
            if session.early:
                session.refuse(RpcError(ErrorCode.SHUTTING_DOWN, "the plugin shut down before it had started"))
        for ticket in self.dispatcher.abandon():
            text = f"the plugin shut down before {ticket.target} returned"
            ticket.caller.answer(ticket, True, encode_error_object(RpcError(ErrorCode.SHUTTING_DOWN, text)))


def _nothing(events: int) -> None:
    """Descriptors of ZeroMQ only wake the loop; every turn looks at the sockets themselves."""


def _log_offer(opening: Opening, workers: int) -> None:
    assert opening.registered is not None
    declared = opening.registered.declaration
    about = {"plugin": declared.library}
    for what, entries in (("function", declared.functions), ("class", declared.classes)):
        for entry in entries:
            _log.debug("%s %s is %s", what, entry.name, entry.handler.reference, extra=about)
    counts = (len(declared.functions), len(declared.classes), len(declared.constants))
    _log.info(
        "ready: %s %s with %d functions, %d classes, %d constants on %d workers",
        declared.library, declared.version, *counts, workers, extra=about,
    )  # fmt: skip
