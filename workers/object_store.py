"""The object store: resolves the registered classes once, owns their instances, and runs everything on them.

Its threads are a :class:`~workers.crew.Crew`: quick methods run in the thread that received them, slow ones get out of
the others' way. Calls of one object run one after the other (:mod:`workers.instances`).
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from scriptling.errors import ErrorCode, RpcError
from scriptling.evaluator import Evaluator, HandlerNotFound, user_traceback
from scriptling.log import LEVELS
from scriptling.protocol.jsonrpc import encode_error_object
from scriptling.protocol.messages import ClassSchema, ObjectCall, ObjectNew, decode_params, encode_message
from scriptling.protocol.values import RemoteRef
from scriptling.registry import ClassDeclaration
from scriptling.runtime import context
from scriptling.settings import Settings
from workers import frames, host_log
from workers.asking import Asker, Scope, scope_of_script
from workers.crew import Crew
from workers.exposed import Exposed
from workers.finalisers import destroy
from workers.frames import Call, Calls, Classes, Hello, Init, Kind, Ping, Replies, Reply, Stop, Stopped, Withdraw
from workers.instances import Instance, Instances
from workers.outcomes import check_size, encode_error
from workers.remote_objects import remote_value
from workers.sockets import Line
from workers.tasks import Ledger, Task, take_out
from workers.words import available, shown

_SLOW = 2_000_000  # ns; a method known to take longer gives up the lead before it begins
_OLD = 500_000  # ns that a done reply may wait for others
_DESTROY_PATIENCE = 0.5  # seconds until object.destroy is answered although __del__ still runs
_TURN = 0.0005  # seconds that one thread computes while others want to
_STOP_PATIENCE = 3.0  # seconds for all that is left to be destroyed in

_NULL = b"null"  # what object.destroy is answered with

_log = logging.getLogger("scriptling.store")


class ObjectStore:
    """The one object store of a server.

    :param generation: which life of the store this is; ids of earlier ones are answered with "object lost"
    """

    def __init__(self, name: str, key: str, line: Line, settings: Settings, generation: int) -> None:
        self._line = line
        self._settings = settings
        self._library = ""
        self._classes: dict[str, Exposed] = {}
        self._names: dict[type, str] = {}
        self._instances: Instances[Task] = Instances(generation)
        self._ledger = Ledger()
        self._mutex = threading.Lock()
        self._asker = Asker(line, name, key, settings.max_depth)
        self._asker.objects = self
        self._asker.elsewhere = scope_of_script()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._crew = Crew(self._lead, self._glance)
        self._stop_by = 0.0
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
        problem = self._resolve(init, evaluator)
        schemas: list[ClassSchema] = [exposed.schema for exposed in self._classes.values()]
        self._line.send(frames.encode(Classes(schemas, problem)))
        self._crew.run()

    def _resolve(self, init: Init, evaluator: Evaluator) -> str:
        self._library = init.declaration.library
        for declared in init.declaration.classes:
            problem = self._resolve_class(declared, evaluator)
            if problem:
                return problem
        return ""

    def _resolve_class(self, declared: ClassDeclaration, evaluator: Evaluator) -> str:
        reference = declared.handler.reference
        try:
            resolved = evaluator.function(declared.handler)
        except HandlerNotFound as error:
            return f"register_class({reference!r}): {error}"
        except BaseException as error:
            _log.error("class %s cannot be resolved:\n%s", reference, user_traceback(error).rstrip())
            return f"register_class({reference!r}): {type(error).__name__}: {error}"
        if not isinstance(resolved, type):
            return f"register_class({reference!r}): this is a {type(resolved).__name__}, not a class"
        self._classes[declared.name] = Exposed.of(declared.name, resolved)
        self._names[resolved] = declared.name
        return ""

    # The lead: input, work, output

    def _lead(self) -> bool:
        ledger = self._ledger
        oldest = 0
        while True:
            while ledger.ready:
                task = ledger.ready.popleft()
                self._crew.working()
                if ledger.durations.get(task.kind_of_work, 0) > _SLOW:
                    self._crew.give_up_lead()
                now = self._run(task)
                if not self._crew.rested():
                    os.eventfd_write(self._wake, 1)
                    return False
                oldest = oldest or now
                if now - oldest > _OLD:
                    self._flush()
                    oldest = now
            self._flush()
            oldest = 0
            if not self._receive():
                return True

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
        frame = self._line.recv_or_wake(self._wake, 0.02 if self._stop_by else None)
        if frame is None:
            return True
        message = frames.decode_for_child(frame)
        if isinstance(message, Calls):
            with self._mutex:
                for call in message.calls:
                    self._route(call)
        elif isinstance(message, Withdraw):
            with self._mutex:
                self._withdraw({*message.seqs}, message.targets)
        elif isinstance(message, Ping):
            self._line.send(frames.encode(Hello()))
        elif isinstance(message, Stop):
            self._begin_stop()
        return True

    def _begin_stop(self) -> None:
        self._stop_by = time.monotonic() + _STOP_PATIENCE
        with self._mutex:
            self._destroy_all(self._instances.all())

    def _is_finished(self) -> bool:
        if not self._ledger.ready and not self._ledger.running:
            return True
        late = time.monotonic() > self._stop_by
        if late:
            names = available([str(task) for task in list(self._ledger.running.values())])
            _log.warning("stopping although these still run: %s", names)
        return late

    # Routing, under the mutex

    def _route(self, call: Call) -> None:
        instance = self._instances.get(call.target)
        if call.kind in {Kind.NEW, Kind.ADOPT}:
            self._ledger.ready.append(Task(call))
        elif call.kind == Kind.FORGET:
            self._forget(call)
        elif instance is None:
            self._answer_unknown(call)
        elif call.kind == Kind.DESTROY:
            self._instances.remove(instance)
            if instance.busy:
                self._put(call, failed=False, payload=_NULL)
            self._post(Task(call, instance, answered=instance.busy))
        else:
            self._post(Task(call, instance))

    def _forget(self, call: Call) -> None:
        self._destroy_all(self._instances.of(call.session))
        self._put(call, failed=False, payload=_NULL)

    def _destroy_all(self, instances: Iterable[Instance[Task]]) -> None:
        for instance in instances:
            self._route(Call(0, Kind.DESTROY, instance.id, "", b"", 0, 0, 0.0))

    def _withdraw(self, seqs: set[int], targets: Iterable[str]) -> None:
        mails = [instance.mail for instance in map(self._instances.get, dict.fromkeys(targets)) if instance]
        in_mail = [task for mail in mails for task in take_out(mail, seqs)]
        ready = take_out(self._ledger.ready, seqs)
        for task in in_mail + ready:
            self._put(task.call, failed=True, payload=encode_error_object(_CANCELLED))
        for task in ready:
            if task.instance is not None:
                self._release(task.instance)

    def _answer_unknown(self, call: Call) -> None:
        if call.kind == Kind.DESTROY:
            self._put(call, failed=False, payload=_NULL)
        elif self._instances.is_lost(call.target):
            error = RpcError(ErrorCode.OBJECT_LOST, LOST)
            self._put(call, failed=True, payload=encode_error_object(error))
        else:
            self._put(call, failed=True, payload=encode_error_object(_unknown(call.target)))

    def _put(self, call: Call, failed: bool, payload: bytes, elapsed: int = 0) -> None:
        if call.seq:
            self._ledger.done.append(Reply(call.seq, failed, payload, elapsed))

    def _post(self, task: Task) -> None:
        instance = task.instance
        assert instance is not None
        if instance.hung and task.call.kind != Kind.DESTROY:
            self._refuse(task, instance.hung)
        elif instance.busy:
            instance.mail.append(task)
        else:
            instance.busy = True
            self._ledger.ready.append(task)

    def _release(self, instance: Instance[Task]) -> None:
        """Give a free object to whoever is next: a call that returns from a callback, then the mail."""
        instance.hung = ""
        if instance.returning:
            instance.returning.popleft().release()
        elif instance.mail:
            self._ledger.ready.append(instance.mail.popleft())
            os.eventfd_write(self._wake, 1)
        else:
            instance.busy = False

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
            self._ledger.durations[task.kind_of_work] = now - begun
            if not task.answered:
                self._put(task.call, failed, payload, now - begun)
            if task.instance is not None:
                self._release(task.instance)
        return now

    def _outcome(self, task: Task) -> tuple[bool, bytes]:
        scope = Scope(task.call, partial(self._pause, task), partial(self._resume, task))
        self._asker.enter(scope)
        try:
            return False, self._evaluate(task, scope)
        except BaseException as error:
            return True, encode_error(error, self._settings.show_traceback)
        finally:
            scope.active = False
            self._asker.enter(None)

    def _evaluate(self, task: Task, scope: Scope) -> bytes:
        if task.call.kind == Kind.METHOD:
            return self._call_method(task, scope)
        if task.call.kind == Kind.NEW:
            return self._construct(task.call, scope)
        if task.call.kind == Kind.ADOPT:
            return self._adopt(task.call)
        return self._destroy(task)

    def _call_method(self, task: Task, scope: Scope) -> bytes:
        instance = task.instance
        assert instance is not None
        if instance.destroyed:
            raise _unknown(task.call.target)
        params = decode_params(task.call.params, ObjectCall)
        args, kwargs = self._asker.decoder(scope).arguments(params.args, params.kwargs)
        result = self._classes[instance.class_name].call(instance.value, task.call.method, args, kwargs)
        return check_size(self._asker.encoder(scope).encode(result), self._settings.max_message)

    def _construct(self, call: Call, scope: Scope) -> bytes:
        exposed = self._classes[call.target]
        params = decode_params(call.params, ObjectNew)
        args, kwargs = self._asker.decoder(scope).arguments(params.args, params.kwargs)
        return encode_message(self._keep(call.target, exposed.cls(*args, **kwargs), call.session))

    def _adopt(self, call: Call) -> bytes:
        """Take over an instance that a function made in a worker; the bytes come from our own process."""
        return encode_message(self._keep(call.target, pickle.loads(call.params), call.session))

    def _keep(self, name: str, value: Any, owner: int) -> RemoteRef:
        with self._mutex:
            return RemoteRef(self._library, name, self._instances.add(name, value, owner).id)

    def _destroy(self, task: Task) -> bytes:
        assert task.instance is not None
        try:
            destroy(task.instance.value)
        except BaseException as error:
            _log.warning("__del__ of %s raised", task.instance.class_name, exc_info=error)
        task.instance.value = None
        return _NULL

    def resolve(self, scope: Scope, reference: RemoteRef) -> Any:
        """Return the instance itself; see :class:`workers.asking.Objects`."""
        instance = self._instances.get(reference.id)
        if instance is None:
            raise _unknown(reference.id)
        return instance.value

    def reference(self, scope: Scope, value: Any) -> dict[str, Any] | None:
        """Return the wire Value for an instance, which is kept from now on if it was not."""
        name = self._names.get(type(value))
        return None if name is None else remote_value(self._keep(name, value, scope.call.session))

    # Waiting for a callback

    def _pause(self, task: Task, parks: bool) -> None:
        """Let others lead, and use the object, while this thread waits (the callback may call the object again)."""
        self._crew.give_up_lead()
        with self._mutex:
            task.asking += 1  # a method may ask from several threads of its own
            if parks:
                task.park(time.monotonic())
            if task.instance is not None and task.asking == 1:
                self._release(task.instance)

    def _resume(self, task: Task, parks: bool) -> None:
        instance = task.instance
        with self._mutex:
            task.asking -= 1
            if parks:
                task.unpark(time.monotonic())
            if instance is None or task.asking:
                return
            if not instance.busy:
                instance.busy = True
                return
            gate = threading.Lock()
            gate.acquire()
            instance.returning.append(gate)
        gate.acquire()

    # Watching

    def _glance(self) -> bool:
        now = time.monotonic()
        for task in list(self._ledger.running.values()):
            if not task.answered and self._is_overdue(task, now):
                self._give_up(task)
        return bool(self._ledger.running)

    def _is_overdue(self, task: Task, now: float) -> bool:
        patience = _DESTROY_PATIENCE if task.call.kind == Kind.DESTROY else task.call.timeout
        return bool(patience) and not task.parked and now - task.since > patience

    def _give_up(self, task: Task) -> None:
        error = RpcError(ErrorCode.TIMED_OUT, f"{task} did not return within {task.call.timeout:g} s")
        with self._mutex:
            if task.answered or task not in self._ledger.running.values():
                return
            task.answered = True
            if task.call.kind == Kind.DESTROY:
                self._put(task.call, failed=False, payload=_NULL)
            else:
                self._put(task.call, failed=True, payload=encode_error_object(error))
                self._refuse_mail(task, error)
        os.eventfd_write(self._wake, 1)

    def _refuse_mail(self, task: Task, error: RpcError) -> None:
        instance = task.instance
        if instance is None or task.asking:
            return
        instance.hung = f"the object is still busy: {error.message}"
        for waiting in [each for each in instance.mail if each.call.kind != Kind.DESTROY]:
            instance.mail.remove(waiting)
            self._refuse(waiting, instance.hung)

    def _refuse(self, task: Task, reason: str) -> None:
        if not task.answered:
            self._put(task.call, failed=True, payload=encode_error_object(RpcError(ErrorCode.TIMED_OUT, reason)))


_CANCELLED = RpcError(ErrorCode.CANCELLED, "whoever called has gone away before this had begun")
LOST = "object lost: the process that held it has died; make a new one"


def _unknown(object_id: str) -> RpcError:
    return RpcError(ErrorCode.HANDLER_ERROR, f"unknown object {shown(object_id)}")
