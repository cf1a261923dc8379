"""Where each call of an object store goes: to its object, behind another call of it, or nowhere; and who is next.

Pure but for what it is given. Nothing here is thread-safe: the store calls it under its own mutex.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import encode_error_object
from scriptling.settings import Settings
from workers.frames import Call, Flag, Kind, Reply
from workers.front_end.metrics import Timing
from workers.store.crew import RESERVE
from workers.store.departures import Departures
from workers.store.instances import Instance, Instances
from workers.store.leases import Leases
from workers.store.tasks import Ledger, Task, take_out
from workers.words import shown

_NULL = b"null"  # what object.destroy is answered with
_NOBODYS = Call(0, Kind.DESTROY, "", "", b"", 0, 0, 0.0)  # the end of an object that nobody has asked for
_CANCELLED = RpcError(ErrorCode.CANCELLED, "whoever called has gone away before this had begun")
_NO_THREAD = RpcError(
    ErrorCode.OVERLOADED,
    "no more threads may be had here, and all there are wait for others, or are in methods that were given up; "
    "let some come to their end",
)
_LOST = RpcError(ErrorCode.OBJECT_LOST, "object lost: the process that held it has died; make a new one")


class Routing:
    """Every object, every call that waits or runs, and every answer that has not been sent.

    :param generation: which life of the store this is
    :param is_offered: takes a class, ``""`` for its constructor, and a method, or the class to construct
    :param clock: returns seconds that only go up
    :param wake: has the leader look at what there is to do
    """

    def __init__(
        self,
        settings: Settings,
        generation: int,
        is_offered: Callable[[str, str], bool],
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.ledger = Ledger()
        self.leases: Leases[Instance[Task]] = Leases(settings.object_ttl)
        self.instances: Instances[Task] = Instances(generation, settings.max_objects, self.leases)
        self.departures = Departures(lambda name: self.ledger.expected(name, "__del__"))
        self._is_offered = is_offered
        self._clock = clock
        self._wake = wake

    # Calls that come

    def route(self, call: Call) -> None:
        """Take in a call."""
        owner = self.instances.owner(call.session)
        if call.kind in {Kind.NEW, Kind.ADOPT}:
            self.ledger.ready.append(Task(call, owner))
        elif call.kind == Kind.FORGET:
            self._forget(call)
        elif (instance := self.instances.get(call.target)) is None:
            self._answer_unknown(call)
        elif call.kind == Kind.DESTROY:
            self._remove(Task(call, owner, instance), instance)
        else:
            self._post(Task(call, owner, instance), instance)

    def withdraw(self, seqs: Collection[int], targets: Collection[str]) -> None:
        """Do not begin some calls whose caller has gone, on these objects or on none."""
        mails = [instance.mail for instance in map(self.instances.get, dict.fromkeys(targets)) if instance]
        in_mail = [task for mail in mails for task in take_out(mail, lambda task: task.call.seq in seqs)]
        ledger = self.ledger
        queues = ledger.ready, ledger.held, ledger.quick
        ready = [task for queue in queues for task in take_out(queue, lambda task: task.call.seq in seqs)]
        for task in in_mail + ready:
            self._fail(task.call, _CANCELLED)
        for task in ready:
            if task.instance is not None:
                self.release(task.instance)

    def _forget(self, call: Call) -> None:
        owner = self.instances.end_owner(call.session)
        if owner.instances:
            self.departures.begin(owner, call)
        else:
            self._put(call, failed=False, payload=_NULL)

    def _answer_unknown(self, call: Call) -> None:
        if call.kind == Kind.DESTROY:
            self._put(call, failed=False, payload=_NULL)
        else:
            self._fail(call, self.missing(call.target))

    def missing(self, object_id: str) -> RpcError:
        """Return the error for an id that stands for no object, or for none any more."""
        return _LOST if self.instances.is_lost(object_id) else unknown_object(object_id)

    def _post(self, task: Task, instance: Instance[Task]) -> None:
        if instance.hung and task.call.kind != Kind.DESTROY:
            self._fail(task.call, RpcError(ErrorCode.TIMED_OUT, instance.hung))
        elif instance.busy:
            instance.put_aside(task)
        else:
            instance.busy = True
            self.ledger.ready.append(task)

    def _remove(self, task: Task, instance: Instance[Task]) -> None:
        """Let nobody find an object any more, and destroy it after what it is doing, which nobody waits for."""
        self.instances.remove(instance)
        if instance.busy:
            self._put(task.call, failed=False, payload=_NULL)
            task.answered = True
        self._post(task, instance)

    def next(self, room: int) -> Task | None:
        """Return what may begin while there are few threads left, and hold what may not; see :attr:`Crew.room`."""
        ledger = self.ledger
        while ledger.ready:
            self._hold(ledger.ready.popleft())
        if room >= RESERVE and ledger.held:
            ledger.resumed += 1
            return ledger.held.popleft()
        return ledger.quick.popleft() if room and ledger.quick else None

    def _hold(self, task: Task) -> None:
        if self.ledger.is_quick(task):
            self.ledger.quick.append(task)
            return
        self.ledger.held.append(task)
        if task.departure is None:
            self._answer_end(task)

    def _answer_end(self, task: Task) -> None:
        """Let nobody wait for the end of an object that cannot come now, as where it is busy."""
        if task.call.kind == Kind.DESTROY and not task.answered:
            self._put(task.call, failed=False, payload=_NULL)
            task.answered = True

    def refuse_held(self) -> None:
        """Refuse what waits for a thread, because none will come; ends of objects wait on, and nobody for them."""
        for queue in (self.ledger.held, self.ledger.quick):
            for task in take_out(queue, lambda task: task.call.kind != Kind.DESTROY):
                self._fail(task.call, _NO_THREAD)
                if task.instance is not None:
                    self.release(task.instance)
            for task in queue:
                self._answer_end(task)
                self._let_depart(task)
        self._wake()

    # Calls that end

    def finished(self, task: Task, failed: bool, payload: bytes, elapsed: int) -> None:
        """Take what came of a call (``elapsed`` in ns), and give its object to whoever is next."""
        self._count(task, failed, elapsed)
        if task.departure is not None:
            self.departures.done()
        if not task.answered:
            self._put(task.call, failed, payload, elapsed)
            self._settle(task)
        task.over = True
        if task.instance is None:
            return
        if task.holds:
            self.release(task.instance)
        else:  # a thread that it has started asks, or wants the object back
            task.instance.away -= 1
            task.go_on()

    def _count(self, task: Task, failed: bool, elapsed: int) -> None:
        ledger = self.ledger
        work = task.kind_of_work
        timing = ledger.timings.get(work)
        if timing is None:
            if not self._is_offered(*work):  # clients may call what they like
                return
            timing = ledger.timings[work] = Timing()
        timing.expected = elapsed
        ledger.unreported = True
        if not task.answered:
            timing.note(elapsed, failed)

    def release(self, instance: Instance[Task]) -> None:
        """Give a free object to whoever is next: a call that returns from a callback, then the mail.

        Who does not lead has to wake whoever does; for the leader that would be a system call for nothing.
        """
        instance.hung = ""
        instance.used = self._clock()
        while instance.returning:
            if instance.returning.popleft().take_back():
                instance.away -= 1
                return
        if instance.mail:
            self.ledger.ready.append(instance.mail.popleft())
        else:
            instance.busy = False

    def let_go(self, task: Task) -> None:
        """Let others have a call's object while it waits for something."""
        task.asking += 1  # a method may ask from several threads of its own
        if task.instance is not None and task.holds and not task.over:
            task.holds = False
            task.instance.away += 1
            self.release(task.instance)

    def return_to(self, task: Task) -> threading.Event | None:
        """Give a call its object again that waits for nothing any more; return what to wait for if others have it."""
        instance = task.instance
        task.asking -= 1
        if instance is None or task.asking or task.holds or task.over:
            return None
        if not instance.busy:
            instance.busy = True
            instance.away -= 1
            task.take_back()
        elif task.returned is None:
            task.returned = threading.Event()
            instance.wait_to_return(task)
        return task.returned

    def give_up(self, task: Task) -> None:
        """Answer a call that runs for too long, and refuse what waits for its object."""
        task.answered = True
        if task.call.kind == Kind.DESTROY:
            self._put(task.call, failed=False, payload=_NULL)
            self._settle(task)
        else:
            error = RpcError(ErrorCode.TIMED_OUT, f"{task} did not return within {task.call.timeout:g} s")
            self.ledger.timeouts[task.kind_of_work] += self._is_offered(*task.kind_of_work)
            self.ledger.unreported = True
            self._fail(task.call, error)
            self._refuse_mail(task, f"the object is still busy: {error.message}")
        self._wake()

    def _refuse_mail(self, task: Task, reason: str) -> None:
        instance = task.instance
        if instance is None or not task.holds:
            return
        instance.hung = reason
        for waiting in take_out(instance.mail, lambda each: each.call.kind != Kind.DESTROY):
            self._fail(waiting.call, RpcError(ErrorCode.TIMED_OUT, reason))

    def _fail(self, call: Call, error: RpcError) -> None:
        self._put(call, failed=True, payload=encode_error_object(error))

    def _put(self, call: Call, failed: bool, payload: bytes, elapsed: int = 0) -> None:
        if call.seq:
            self.ledger.done.append(Reply(call.seq, failed, payload, elapsed))

    # Objects that come and go

    def keep(self, name: str, value: Any, task: Task, reserved: bool) -> str:
        """Return the id of an instance that a call has made, or met; it is kept from now on if it was not.

        :param reserved: whether the call has a place for it
        :raises RpcError: there are as many as may be
        """
        known = self.instances.find(value)
        if known is not None:
            known.used = self._clock()
            return known.id
        if not reserved:
            self.instances.check_room()
        lease_from = self._clock() if task.call.flags & Flag.LEASED else None
        instance = self.instances.add(name, value, task.owner, lease_from)
        if task.owner.ended:
            self.departures.begin(self.instances.hand_over([instance]), _NOBODYS)
            self._wake()
        return instance.id

    def end_all(self) -> None:
        """Destroy everything, as fast as it goes."""
        self.departures.in_haste = True
        for owner in self.instances.owners:
            self.departures.begin(self.instances.end_owner(owner.number), _NOBODYS)

    def destroy_some(self) -> None:
        """Go on with what nobody will use any more, for a moment."""
        expired = self.leases.expired(self._clock())
        if expired:
            self.departures.begin(self.instances.hand_over(expired), _NOBODYS)
        for departure, instance in self.departures.next():
            if instance is None:
                self._put(departure.call, failed=False, payload=_NULL)
                continue
            task = Task(_NOBODYS, instance.owner, instance, departure)
            self._remove(task, instance)
            if task.answered:
                self._let_depart(task)

    def _let_depart(self, task: Task) -> None:
        """Let nobody wait for the end of an object that an owner has left behind."""
        if task.departure is not None:
            self.departures.done()
            self._settle(task)
            task.departure = None

    def _settle(self, task: Task) -> None:
        if task.departure is not None and task.departure.settle():
            self._put(task.departure.call, failed=False, payload=_NULL)

    def patience(self) -> float | None:
        """Return seconds until there is something to destroy; None if nothing will be."""
        return 0 if self.departures.can_go_on else self.leases.patience(self._clock())


def unknown_object(object_id: str) -> RpcError:
    """Return the error for an id that stands for nothing."""
    return RpcError(ErrorCode.HANDLER_ERROR, f"unknown object {shown(object_id)}")
