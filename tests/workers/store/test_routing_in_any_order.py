"""Whatever happens to objects in whatever order: each call is answered once, and each object ends once."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scriptling.errors import RpcError
from scriptling.settings import Settings
from workers.frames import Call, Flag, Kind
from workers.store.crew import RESERVE
from workers.store.instances import Instance
from workers.store.routing import Routing
from workers.store.tasks import Task

TTL = 32.0
MOST = 6
OWNERS = st.integers(3, 5)


class Value:
    """What an object is."""


class AnyOrder(RuleBasedStateMachine):
    """The books of a store, whose threads are played by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        settings = Settings(object_ttl=TTL, max_objects=MOST)
        self.routing = Routing(settings, 1, lambda *work: True, lambda: self.now, lambda: None)
        self.calls: dict[int, Call] = {}
        self.answers: Counter[int] = Counter()
        self.running: list[Task] = []
        self.made: dict[str, Instance[Task]] = {}
        self.ended: Counter[str] = Counter()
        self.owner_is_gone: dict[str, bool] = {}
        self.withdrawn: set[int] = set()
        self.asking: list[Task] = []
        self.coming_back: list[threading.Event] = []

    def _route(self, kind: Kind, target: str = "", owner: int = 3, flags: int = 0) -> int:
        seq = len(self.calls) + 1
        self.calls[seq] = Call(seq, kind, target, "get" if kind == Kind.METHOD else "", b"", flags, owner, 1.0)
        self.routing.route(self.calls[seq])
        return seq

    def _flush(self) -> None:
        done = self.routing.ledger.done
        self.answers.update(reply.seq for reply in done)
        done.clear()

    # Clients

    @rule(owner=OWNERS, leased=st.booleans())
    def make(self, owner: int, leased: bool) -> None:
        self._route(Kind.NEW, "Thing", owner, Flag.LEASED if leased else 0)

    @precondition(lambda self: self.made)
    @rule(data=st.data(), kind=st.sampled_from([Kind.METHOD, Kind.METHOD, Kind.DESTROY]), owner=OWNERS)
    def use(self, data: Any, kind: Kind, owner: int) -> None:
        self._route(kind, data.draw(st.sampled_from([*self.made])), owner)

    @rule(owner=OWNERS)
    def forget(self, owner: int) -> None:
        self._route(Kind.FORGET, owner=owner)
        for id, instance in self.made.items():
            if instance.owner.number == owner:
                self.owner_is_gone[id] = True

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def withdraw(self, data: Any) -> None:
        seqs = data.draw(st.sets(st.sampled_from(sorted(self.calls)), max_size=4))
        begun = {task.call.seq for task in self.running}
        seqs = {seq for seq in seqs if self.calls[seq].kind in {Kind.NEW, Kind.METHOD} and not self.answers[seq]}
        self.routing.withdraw(seqs, [self.calls[seq].target for seq in seqs])
        self._flush()
        for seq in seqs - begun:
            # What its object's end has overtaken is left to be answered by that.
            instance = self.made.get(self.calls[seq].target)
            if instance is None or not instance.destroyed:
                assert self.answers[seq] == 1
                self.withdrawn.add(seq)

    # Threads

    @precondition(lambda self: self.routing.ledger.ready)
    @rule()
    def begin(self) -> None:
        self._begin(self.routing.ledger.ready.popleft())

    @rule(room=st.sampled_from([0, 1, RESERVE]))
    def begin_if_there_is_room(self, room: int) -> None:
        task = self.routing.next(room)
        if task is not None:
            self._begin(task)

    @rule()
    def refuse_what_is_held(self) -> None:
        ends = [task for queue in self._held for task in queue if task.call.kind == Kind.DESTROY]
        self.routing.refuse_held()
        assert [task for queue in self._held for task in queue] == ends

    @property
    def _held(self) -> tuple[deque[Task], deque[Task]]:
        return self.routing.ledger.held, self.routing.ledger.quick

    def _begin(self, task: Task) -> None:
        assert task.call.seq not in self.withdrawn
        if task.instance is not None:
            assert task.instance.busy
        self.running.append(task)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: Any) -> None:
        task = self.running.pop(data.draw(st.sampled_from(range(len(self.running)))))
        failed = False
        if task.call.kind == Kind.NEW:
            failed = not self._keep(task)
        elif task.call.kind == Kind.DESTROY:
            assert task.instance is not None
            self.ended[task.instance.id] += 1
        self.routing.finished(task, failed, b"", 1000)

    def _keep(self, task: Task) -> bool:
        value = Value()
        try:
            id = self.routing.keep("Thing", value, task, reserved=False)
        except RpcError:
            return False
        instance = self.routing.instances.get(id)
        assert instance is not None
        self.made[id] = instance
        self.owner_is_gone[id] = task.owner.ended
        return True

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def ask(self, data: Any) -> None:
        task = data.draw(st.sampled_from(self.running))
        self.routing.let_go(task)
        self.asking.append(task)

    @precondition(lambda self: self.asking)
    @rule(data=st.data())
    def hear(self, data: Any) -> None:
        """Go on with a call that has asked, or with a thread of it that has outlived it."""
        task = self.asking.pop(data.draw(st.sampled_from(range(len(self.asking)))))
        returned = self.routing.return_to(task)
        if returned is not None:
            self.coming_back.append(returned)

    @precondition(lambda self: any(not task.answered for task in self.running))
    @rule(data=st.data())
    def give_up(self, data: Any) -> None:
        hung = [task for task in self.running if not task.answered]
        self.routing.give_up(hung[data.draw(st.sampled_from(range(len(hung))))])

    @rule(seconds=st.sampled_from([0.1, 5.0, TTL]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def turn(self) -> None:
        self.routing.destroy_some()

    def teardown(self) -> None:
        """Let everything come to its end: by then all is answered, and whatever should have ended has, once."""
        ledger = self.routing.ledger
        while self.running or ledger.ready or ledger.held or ledger.quick or self.routing.departures.left:
            self.routing.destroy_some()
            while (waiting := self.routing.next(RESERVE)) is not None:
                self._begin(waiting)
            while self.running:
                task = self.running.pop()
                if task.call.kind == Kind.NEW:
                    self._keep(task)
                elif task.instance is not None and task.call.kind == Kind.DESTROY:
                    self.ended[task.instance.id] += 1
                self.routing.finished(task, False, b"", 1000)
        while self.asking:
            assert self.routing.return_to(self.asking.pop()) is None
        assert all(returned.is_set() for returned in self.coming_back)
        self._flush()
        assert self.answers == Counter(self.calls.keys())
        for id, instance in self.made.items():
            assert self.ended[id] == instance.destroyed == (self.routing.instances.get(id) is None)
            assert instance.destroyed or not self.owner_is_gone[id]
            assert not instance.in_use

    @invariant()
    def nobody_shares_an_object_with_who_has_not_let_it_go(self) -> None:
        tasks = [*self.running, *self.routing.ledger.ready, *self.routing.ledger.held, *self.routing.ledger.quick]
        users = Counter(task.instance.id for task in tasks if task.instance and task.holds)
        assert max(users.values(), default=0) <= 1
        for instance in self.made.values():
            assert instance.busy == bool(users[instance.id])

    @invariant()
    def nothing_is_answered_or_ends_twice(self) -> None:
        self._flush()
        assert max(self.answers.values(), default=0) <= 1
        assert max(self.ended.values(), default=0) <= 1

    @invariant()
    def there_are_no_more_objects_than_may_be(self) -> None:
        assert len(self.routing.instances) <= MOST

    @invariant()
    def every_object_is_with_one_owner(self) -> None:
        for instance in self.made.values():
            assert (instance in instance.owner.instances) != instance.destroyed


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(stateful_step_count=50, max_examples=150, deadline=None)
