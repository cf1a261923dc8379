"""An object store: resolves the registered classes once, owns their instances, and runs everything on them.

Its threads are a :class:`~workers.store.crew.Crew`: quick methods run in the thread that received them, slow ones get
out of the others' way. Calls of one object run one after the other (:mod:`workers.store.instances`).
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from scriptling.evaluator import Evaluator
from scriptling.log import LEVELS
from scriptling.protocol.messages import ObjectCall, ObjectNew, decode_params, encode_message
from scriptling.protocol.values import RemoteRef
from scriptling.runtime import context
from scriptling.settings import Settings
from workers import frames
from workers.children import host_log
from workers.children.asking import Asker, Scope, scope_of_script
from workers.children.fitness import most_threads
from workers.children.outcomes import check_size, encode_error
from workers.children.remote_objects import RemoteObject, referred_to, remote_value
from workers.frames import Call, Calls, Classes, Hello, Init, Kind, Ping, Replies, Stop, Stopped, Withdraw
from workers.sockets import Line
from workers.store.crew import RESERVE, Crew
from workers.store.exposed import Catalogue
from workers.store.finalisers import destroy
from workers.store.routing import Routing, unknown_object
from workers.store.tasks import SLOW, Task
from workers.words import available

_MOST_THREADS = 320  # 256 may wait for what they ask (:mod:`workers.questions.relay`), and others are to go on
_MOST_AT_THE_END = 1000  # more than can be begun before it is over: an end that hangs is to keep no other from running
_STANDSTILL = 1.0  # seconds without a thread that does anything, until what waits for one is refused
_REPEAT = 0.1  # seconds until that is done again, while it lasts
_OLD = 500_000  # ns that a done reply may wait for others
_DESTROY_PATIENCE = 0.5  # seconds until object.destroy is answered although __del__ still runs
_TURN = 0.0005  # seconds that one thread computes while others want to
_REPORT = 0.5  # seconds between two reports of what was counted
_STOP_PATIENCE = 3.0  # seconds for all that is left to be destroyed in


_log = logging.getLogger("scriptling.store")


class _Scope(Scope):
    """A call of the store while it runs."""

    __slots__ = ("_store", "task")

    def __init__(self, store: ObjectStore, task: Task) -> None:
        super().__init__(task.call)
        self._store = store
        self.task = task

    def pause(self, parks: bool) -> None:
        """See :meth:`Scope.pause`."""
        self._store.pause(self.task, parks)

    def resume(self, parks: bool) -> None:
        """See :meth:`Scope.resume`."""
        self._store.resume(self.task, parks)


class ObjectStore:
    """The one object store of a server, or one of several, whose objects it sees as workers do.

    :param generation: the number of its birth among all stores; ids of those it follows are answered with "object lost"
    """

    def __init__(self, name: str, key: str, line: Line, settings: Settings, generation: int) -> None:
        self._line = line
        self._settings = settings
        self._library = ""
        self._classes = Catalogue()
        self._mutex = threading.Lock()
        self._asker = Asker(line, name, key, settings.max_depth)
        self._asker.objects = self
        self._asker.elsewhere = scope_of_script()
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._routing = Routing(settings, generation, self._classes.offers, time.monotonic, self._wake)
        self._ledger = self._routing.ledger
        self._crew = Crew(self._lead, self._glance, self._wake, most_threads(_MOST_THREADS))
        self._moved = (0.0, 0)  # when a thread was last seen at work, and what had been resumed by then
        self._stop_by = 0.0
        self._reported = 0.0
        self._pid = os.getpid()

    def run(self, evaluator: Evaluator) -> None:
        """Resolve the classes, then serve until told to stop."""
        # A method that computes in Python must not keep others from their turn for as long as Python would let it.
        sys.setswitchinterval(_TURN)
        host_log.install(self._asker, LEVELS[self._settings.log_level])
        context.connect(self._asker.ask_others)
        self._line.send(frames.encode(Hello()))
        init = frames.decode_for_child(self._line.recv())
        if not isinstance(init, Init):
            return
        self._library = init.declaration.library
        problem = self._classes.resolve(init.declaration.classes, evaluator)
        self._line.send(frames.encode(Classes(self._classes.schemas, problem)))
        if not problem:
            self._crew.run()

    # The lead: input, work, output

    def _lead(self) -> bool:
        ledger = self._ledger
        oldest = 0
        while True:
            while ledger.ready or ledger.held or ledger.quick:
                if ledger.held or ledger.quick or self._crew.room < RESERVE:
                    if not (task := self._next_of_many()):
                        break
                else:
                    task = ledger.ready.popleft()
                self._crew.working()
                if ledger.expected(*task.kind_of_work) > SLOW:
                    self._crew.give_up_lead()
                now = self._run(task)
                if not self._crew.rested():
                    self._wake()
                    return False
                oldest = oldest or now
                if now - oldest > _OLD:
                    self._flush()
                    oldest = now
            self._flush()
            oldest = 0
            if not self._receive():
                return True

    def _next_of_many(self) -> Task | None:
        with self._mutex:
            return self._routing.next(self._crew.room)

    def _wake(self) -> None:
        os.eventfd_write(self._eventfd, 1)

    def _flush(self) -> None:
        done = self._ledger.done
        if done:
            replies = [done.popleft() for _ in range(len(done))]
            self._line.send(frames.encode(Replies(0, replies)))

    def _receive(self) -> bool:
        """Take in one frame, or a wake-up; False when everything is at its end."""
        if self._stop_by and self._is_finished():
            self._line.send(frames.encode(Stopped()))
            return False
        self._report()
        frame = self._line.recv_or_wake(self._eventfd, self._patience())
        if frame is not None:
            self._take(frames.decode_for_child(frame))
        with self._mutex:
            self._routing.destroy_some()
        return True

    def _patience(self) -> float | None:
        patience = self._routing.patience()
        if self._stop_by or self._ledger.unreported:
            most = 0.02 if self._stop_by else _REPORT
            return most if patience is None else min(patience, most)
        return patience

    def _report(self) -> None:
        """Say what was counted, but not all the time."""
        now = time.monotonic()
        if self._ledger.unreported and now - self._reported > _REPORT:
            self._reported = now
            with self._mutex:
                report = self._ledger.report(len(self._routing.instances))
            self._line.send(frames.encode(report))

    def _take(self, message: frames.ToChild) -> None:
        if isinstance(message, Calls):
            with self._mutex:
                for call in message.calls:
                    self._routing.route(call)
        elif isinstance(message, Withdraw):
            with self._mutex:
                self._routing.withdraw({*message.seqs}, message.targets)
        elif isinstance(message, Ping):
            self._line.send(frames.encode(Hello()))
        elif isinstance(message, Stop):
            self._begin_stop()

    def _begin_stop(self) -> None:
        self._stop_by = time.monotonic() + _STOP_PATIENCE
        self._crew.most = most_threads(_MOST_AT_THE_END)
        with self._mutex:
            self._routing.end_all()

    def _is_finished(self) -> bool:
        ledger = self._ledger
        if not (ledger.ready or ledger.held or ledger.quick or ledger.running or self._routing.departures.left):
            return True
        late = time.monotonic() > self._stop_by
        if late:
            names = available([str(task) for task in list(ledger.running.values())])
            _log.warning("stopping although these still run: %s", names)
        return late

    # Running

    def _run(self, task: Task) -> int:
        """Run one task in this thread and return the time (ns) at which it was done."""
        begun = time.monotonic_ns()
        task.since = begun / 1e9
        me = threading.get_ident()
        self._ledger.running[me] = task
        failed, payload = self._outcome(task)
        if os.getpid() != self._pid:
            os._exit(0)  # the method has forked: this child of ours is nobody's store
        now = time.monotonic_ns()
        with self._mutex:
            del self._ledger.running[me]
            self._routing.finished(task, failed, payload, now - begun)
        return now

    def _outcome(self, task: Task) -> tuple[bool, bytes]:
        scope = _Scope(self, task)
        self._asker.enter(scope)
        try:
            return False, self._evaluate(task, scope)
        except BaseException as error:
            return True, encode_error(error, self._settings.show_traceback)
        finally:
            scope.active = False
            self._asker.enter(None)

    def _evaluate(self, task: Task, scope: _Scope) -> bytes:
        if task.call.kind == Kind.METHOD:
            return self._call_method(task, scope)
        if task.call.kind == Kind.NEW:
            return self._make(scope, lambda: self._construct(task.call, scope))
        if task.call.kind == Kind.ADOPT:
            # An instance that a function made in a worker; the bytes come from our own process.
            return self._make(scope, lambda: pickle.loads(task.call.params))
        return self._destroy(task)

    def _call_method(self, task: Task, scope: _Scope) -> bytes:
        instance = task.instance
        assert instance is not None
        if instance.destroyed:
            raise unknown_object(task.call.target)
        params = decode_params(task.call.params, ObjectCall)
        args, kwargs = self._asker.decoder(scope).arguments(params.args, params.kwargs)
        result = self._classes[instance.class_name].call(instance.value, task.call.method, args, kwargs)
        return check_size(self._asker.encoder(scope).encode(result), self._settings.max_message)

    def _make(self, scope: _Scope, make: Callable[[], Any]) -> bytes:
        """Keep a new instance, if there may be one more, and return the reference to it."""
        with self._mutex:
            self._routing.instances.reserve()
        try:
            return encode_message(self._keep(scope.call.target, make(), scope, reserved=True))
        finally:
            with self._mutex:
                self._routing.instances.give_up_place()

    def _construct(self, call: Call, scope: _Scope) -> Any:
        params = decode_params(call.params, ObjectNew)
        args, kwargs = self._asker.decoder(scope).arguments(params.args, params.kwargs)
        return self._classes[call.target].cls(*args, **kwargs)

    def _keep(self, name: str, value: Any, scope: _Scope, reserved: bool) -> RemoteRef:
        with self._mutex:
            return RemoteRef(self._library, name, self._routing.keep(name, value, scope.task, reserved))

    def _destroy(self, task: Task) -> bytes:
        assert task.instance is not None
        try:
            destroy(task.instance.value)
        except BaseException as error:
            _log.warning("__del__ of %s raised", task.instance.class_name, exc_info=error)
        task.instance.value = None
        return b"null"

    def resolve(self, scope: Scope, reference: RemoteRef) -> Any:
        """Return the instance itself, or a proxy of one in another store; see :class:`Objects`."""
        instances = self._routing.instances
        instance = instances.get(reference.id)
        if instance is None:
            if self._settings.object_stores > 1 and not instances.has_made(reference.id):
                return RemoteObject(self._asker, scope, reference, self._classes.schema_of(reference.class_name))
            raise self._routing.missing(reference.id)
        instance.used = time.monotonic()
        return instance.value

    def reference(self, scope: Scope, value: Any) -> dict[str, Any] | None:
        """Return the wire Value of a proxy, or of an instance, which is kept from now on if it was not."""
        name = self._classes.name_of(value)
        if name is None:
            return remote_value(referred_to(value)) if type(value) is RemoteObject else None
        assert isinstance(scope, _Scope)
        return remote_value(self._keep(name, value, scope, reserved=False))

    # Waiting for a callback

    def pause(self, task: Task, parks: bool) -> None:
        """Let others lead, and use the object, while this thread waits (the callback may call the object again)."""
        self._crew.give_up_lead()
        with self._mutex:
            if parks:
                task.park(time.monotonic())
            self._routing.let_go(task)
        self._wake()  # whoever leads now may wait for input already, and this object's next call is ready

    def resume(self, task: Task, parks: bool) -> None:
        """Have its object back, behind what others have begun with it meanwhile."""
        with self._mutex:
            if parks:
                task.unpark(time.monotonic())
            returned = self._routing.return_to(task)
        if returned is not None:
            returned.wait()

    # Watching

    def _glance(self) -> bool:
        now = time.monotonic()
        running = list(self._ledger.running.items())
        for _, task in running:
            if not task.answered and self._is_overdue(task, now):
                self._give_up(task)
        self._look_for_standstill(now, running)
        return bool(running)

    def _look_for_standstill(self, now: float, running: list[tuple[int, Task]]) -> None:
        """Let nobody wait for a thread if none may ever be free: all may wait for what is not begun for want of one."""
        resumed, leader = self._ledger.resumed, self._crew.leader
        moves = resumed != self._moved[1] or not all(task.is_stuck for me, task in running if me != leader)
        if moves or not (self._ledger.held or self._ledger.quick):
            self._moved = now, resumed
        elif now - self._moved[0] > _STANDSTILL:
            self._moved = now - _STANDSTILL + _REPEAT, resumed
            with self._mutex:
                self._routing.refuse_held()

    def _is_overdue(self, task: Task, now: float) -> bool:
        patience = _DESTROY_PATIENCE if task.call.kind == Kind.DESTROY else task.call.timeout
        return bool(patience) and not task.parked and now - task.since > patience

    def _give_up(self, task: Task) -> None:
        with self._mutex:
            if task in self._ledger.running.values() and not task.answered:
                self._routing.give_up(task)
