"""Objects of several owners in one store: how they end, how many there may be, and what is not begun for the gone."""

from __future__ import annotations

import json
import os
import pickle
import queue
import select
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scriptling.errors import ErrorCode
from scriptling.registry import ClassDeclaration, Declaration, Handler
from scriptling.runtime import context
from scriptling.settings import Settings
from tests.workers.fakes import PATIENCE
from workers import frames
from workers.children import host_log
from workers.frames import (
    Call,
    Calls,
    Classes,
    Flag,
    FromChild,
    Hello,
    Init,
    Kind,
    Replies,
    Reply,
    Stop,
    Stopped,
    ToChild,
    Withdraw,
)  # fmt: skip
from workers.front_end.metrics import Report
from workers.store.object_store import ObjectStore


class Thing:
    """What the store holds; its class tells what became of its instances."""

    made = 0
    number = -1
    ended: queue.SimpleQueue[int]
    gate: threading.Event
    log: list[str]

    def __init__(self, number: int = 0, wait: bool = False) -> None:
        if wait:
            Thing.gate.wait(PATIENCE)
        Thing.made += 1
        self.number = number

    def get(self) -> int:
        return self.number

    def wait(self) -> None:
        Thing.gate.wait(PATIENCE)

    def note(self, text: str) -> None:
        Thing.log.append(text)

    def another(self) -> Thing:
        return Thing(self.number + 1)

    def itself(self) -> Thing:
        return self

    def __del__(self) -> None:
        Thing.ended.put(self.number)


class Line:
    """A line whose other end is the test."""

    def __init__(self) -> None:
        self.to_store: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.from_store: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.send = self.from_store.put
        self.recv = self.to_store.get
        self._came = os.eventfd(0, os.EFD_NONBLOCK)

    def put(self, frame: ToChild) -> None:
        self.to_store.put(frames.encode(frame))
        os.eventfd_write(self._came, 1)

    def recv_or_wake(self, wake: int, seconds: float | None) -> bytes | None:
        if self.to_store.empty():
            for fd in select.select([wake, self._came], (), (), seconds)[0]:
                os.eventfd_read(fd)
        try:
            return self.to_store.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        os.close(self._came)


class Store:
    """An object store in a thread, and everything that it answers."""

    def __init__(self, **settings: Any) -> None:
        self.line = Line()
        fake: Any = self.line
        self.store = ObjectStore("store-1", "key", fake, Settings(**settings), 1)
        evaluator: Any = self
        self.thread = threading.Thread(target=self.store.run, args=(evaluator,), daemon=True)
        self.thread.start()
        self.answers: dict[int, Reply] = {}
        self.reports: list[Report] = []
        self._seq = 0
        declared = ClassDeclaration("Thing", Handler("h.Thing"))
        self.line.put(Init(Declaration("lib", "", "", (), (), (declared,))))
        assert isinstance(self.next(), Hello)
        assert isinstance(self.next(), Classes)

    def function(self, handler: Handler) -> Callable[..., Any]:
        """Be the evaluator."""
        return Thing

    def next(self) -> FromChild:
        return frames.decode_from_child(self.line.from_store.get(timeout=PATIENCE))

    def send(self, kind: Kind, target: str = "", method: str = "", owner: int = 1, flags: int = 0, **more: Any) -> int:
        self._seq += 1
        params = more.pop("params", None)
        if params is None:
            head = {"class": target} if kind == Kind.NEW else {"object_id": target, "method": method}
            values = [{"type": "string", "value": arg} for arg in more.pop("args", ())]
            params = json.dumps({**head, "args": values, **more}).encode()
        self.line.put(Calls([Call(self._seq, kind, target, method, params, flags, owner, 0.0)]))
        return self._seq

    def answer(self, seq: int) -> Reply:
        while seq not in self.answers:
            frame = self.next()
            if isinstance(frame, Report):
                self.reports.append(frame)
            else:
                assert isinstance(frame, Replies)
                self.answers.update({reply.seq: reply for reply in frame.replies})
        return self.answers[seq]

    def result(self, seq: int) -> Any:
        reply = self.answer(seq)
        assert not reply.failed, reply.payload
        return json.loads(reply.payload)

    def error(self, seq: int) -> tuple[int, str]:
        reply = self.answer(seq)
        assert reply.failed, reply.payload
        error = json.loads(reply.payload)
        return error["code"], error["message"]

    def new(self, number: int = 0, owner: int = 1, flags: int = 0) -> str:
        kwargs = {"number": {"type": "int", "value": number}}
        id: str = self.result(self.send(Kind.NEW, "Thing", owner=owner, flags=flags, kwargs=kwargs))["id"]
        return id

    def get(self, id: str, owner: int = 1) -> int:
        value: int = self.result(self.send(Kind.METHOD, id, "get", owner))["value"]
        return value

    def is_unknown(self, id: str) -> bool:
        return self.error(self.send(Kind.METHOD, id, "get"))[1].startswith("unknown object")

    def ended(self, count: int) -> list[int]:
        """Wait for so many ends, and return whose they were."""
        return [Thing.ended.get(timeout=PATIENCE) for _ in range(count)]

    def stop(self) -> None:
        Thing.gate.set()
        self.line.put(Stop())
        while not isinstance(self.next(), Stopped):
            pass
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.line.close()


MakeStore = Callable[..., Store]


@pytest.fixture
def make_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeStore]:
    monkeypatch.setattr(host_log, "install", lambda asker, level: None)
    interval = sys.getswitchinterval()
    Thing.made, Thing.ended, Thing.gate, Thing.log = 0, queue.SimpleQueue(), threading.Event(), []
    stores: list[Store] = []

    def make(**settings: Any) -> Store:
        stores.append(Store(**settings))
        return stores[-1]

    yield make
    for store in stores:
        store.stop()
    sys.setswitchinterval(interval)
    context.connect(None)


# Owners


def test_with_an_owner_all_of_its_objects_end_and_nobody_elses(make_store: MakeStore) -> None:
    store = make_store()
    gone = [store.new(number, owner=3) for number in range(5)]
    stays = store.new(9, owner=4)
    assert store.result(store.send(Kind.FORGET, owner=3)) is None
    assert store.ended(5) == [0, 1, 2, 3, 4]
    assert all(store.is_unknown(id) for id in gone)
    assert store.get(stays) == 9


def test_an_owner_without_objects_is_forgotten_at_once(make_store: MakeStore) -> None:
    store = make_store()
    assert store.result(store.send(Kind.FORGET, owner=3)) is None


def test_an_owner_may_make_objects_again_after_it_has_ended_those_it_had(make_store: MakeStore) -> None:
    store = make_store()
    store.new(1, owner=3)
    store.result(store.send(Kind.FORGET, owner=3))
    fresh = store.new(2, owner=3)
    assert store.ended(1) == [1]
    assert store.get(fresh) == 2
    store.result(store.send(Kind.FORGET, owner=3))
    assert store.ended(1) == [2]


def test_while_ten_thousand_objects_end_others_are_served(make_store: MakeStore) -> None:
    store = make_store()
    stays = store.new(9, owner=4)
    for number in range(10_000):
        last = store.send(Kind.NEW, "Thing", owner=3, kwargs={"number": {"type": "int", "value": number}})
    store.answer(last)
    forget = store.send(Kind.FORGET, owner=3)
    for _ in range(20):
        assert store.get(stays) == 9
        if forget in store.answers:
            break
    else:
        assert Thing.ended.qsize() < 10_000
    assert store.result(forget) is None
    assert sorted(store.ended(10_000)) == [*range(10_000)]
    assert store.get(stays) == 9


def test_what_is_being_made_when_its_owner_ends_ends_as_well(make_store: MakeStore) -> None:
    store = make_store()
    being_made = store.send(Kind.NEW, "Thing", owner=3, kwargs={"wait": {"type": "bool", "value": True}})
    other = store.new(5, owner=4)
    assert store.result(store.send(Kind.FORGET, owner=3)) is None
    Thing.gate.set()
    id = store.result(being_made)["id"]
    assert store.ended(1) == [0]
    assert store.is_unknown(id)
    assert store.get(other) == 5


def test_an_object_that_is_in_use_when_its_owner_ends_ends_after_that(make_store: MakeStore) -> None:
    store = make_store()
    id = store.new(1, owner=3)
    waiting = store.send(Kind.METHOD, id, "wait", owner=4)
    assert store.result(store.send(Kind.FORGET, owner=3)) is None
    assert store.is_unknown(id)
    assert Thing.ended.empty()
    Thing.gate.set()
    assert store.result(waiting) == {"type": "null"}
    assert store.ended(1) == [1]


def test_what_a_function_returns_belongs_to_whoever_called_it(make_store: MakeStore) -> None:
    store = make_store()
    moved = Thing(7)
    adopted = store.result(store.send(Kind.ADOPT, "Thing", owner=3, params=pickle.dumps(moved)))["id"]
    assert store.get(adopted) == 7
    store.result(store.send(Kind.FORGET, owner=3))
    assert store.ended(1) == [7]


def test_an_object_that_is_returned_to_another_stays_with_its_first_owner(make_store: MakeStore) -> None:
    store = make_store()
    id = store.new(1, owner=3)
    assert store.result(store.send(Kind.METHOD, id, "itself", owner=4))["remote"]["id"] == id
    made_for_other = store.result(store.send(Kind.METHOD, id, "another", owner=4))["remote"]["id"]
    store.result(store.send(Kind.FORGET, owner=3))
    assert store.ended(1) == [1]
    assert store.is_unknown(id)
    assert store.get(made_for_other) == 2


# Leases


def test_an_object_that_is_leased_ends_when_nobody_uses_it(make_store: MakeStore) -> None:
    store = make_store(object_ttl=0.05)
    stays = store.new(1)
    leased = store.new(2, owner=2, flags=Flag.LEASED)
    by_value = store.send(Kind.METHOD, stays, "another", owner=2, flags=Flag.LEASED)
    assert store.result(by_value)["remote"]["id"]
    assert store.ended(2) == [2, 2]
    assert store.is_unknown(leased)
    assert store.get(stays) == 1


def test_an_object_in_use_outlives_its_lease(make_store: MakeStore) -> None:
    store = make_store(object_ttl=0.05)
    used = store.new(1, owner=2, flags=Flag.LEASED)
    waiting = store.send(Kind.METHOD, used, "wait", owner=2)
    store.new(2, owner=2, flags=Flag.LEASED)
    assert store.ended(1) == [2]
    Thing.gate.set()
    store.result(waiting)
    assert store.ended(1) == [1]


# How many there may be


def test_one_object_too_many_is_refused_before_its_constructor_runs(make_store: MakeStore) -> None:
    store = make_store(max_objects=2)
    first = store.new(1)
    store.new(2, owner=3)
    code, message = store.error(store.send(Kind.NEW, "Thing"))
    assert (code, "--max-objects" in message) == (ErrorCode.TOO_MANY_OBJECTS, True)
    assert Thing.made == 2
    assert store.error(store.send(Kind.ADOPT, "Thing", params=b"never looked at"))[0] == ErrorCode.TOO_MANY_OBJECTS
    assert store.error(store.send(Kind.METHOD, first, "another"))[0] == ErrorCode.TOO_MANY_OBJECTS
    assert store.result(store.send(Kind.METHOD, first, "itself"))["remote"]["id"] == first
    store.result(store.send(Kind.DESTROY, first))
    assert store.get(store.new(3)) == 3


def test_a_constructor_that_raises_leaves_its_place_to_others(make_store: MakeStore) -> None:
    store = make_store(max_objects=1)
    for _ in range(3):
        assert store.error(store.send(Kind.NEW, "Thing", args=["a", "b", "c"]))[0] == ErrorCode.HANDLER_ERROR
    store.new(1)


# Callers that go away


def test_what_waits_for_an_object_is_not_begun_if_its_caller_has_gone(make_store: MakeStore) -> None:
    store = make_store()
    id = store.new(1)
    waiting = store.send(Kind.METHOD, id, "wait")
    gone = [store.send(Kind.METHOD, id, "note", args=["gone"]) for _ in range(3)]
    stays = store.send(Kind.METHOD, id, "note", args=["stays"])
    store.line.put(Withdraw([*gone, waiting], [id] * 4))
    assert [store.error(seq)[0] for seq in gone] == [ErrorCode.CANCELLED] * 3
    Thing.gate.set()
    assert store.result(waiting) == {"type": "null"}
    store.result(stays)
    assert Thing.log == ["stays"]


def test_what_came_together_is_withdrawn_before_it_is_begun(make_store: MakeStore) -> None:
    store = make_store()
    id = store.new(1)
    params = json.dumps({"object_id": id, "method": "note", "args": [{"type": "string", "value": "x"}]}).encode()
    calls = [Call(100 + number, Kind.METHOD, id, "note", params, 0, 1, 0.0) for number in range(3)]
    routing = store.store._routing
    with store.store._mutex:
        for call in calls:
            routing.route(call)
        routing.withdraw({100, 102}, [id])
    assert store.get(id) == 1
    store.answer(101)
    assert [store.error(seq)[0] for seq in (100, 102)] == [ErrorCode.CANCELLED] * 2
    assert Thing.log == ["x"]


# What is counted


def test_the_store_says_what_it_has_counted_by_names_that_were_declared(make_store: MakeStore) -> None:
    store = make_store()
    id = store.new(1)
    store.get(id)
    store.error(store.send(Kind.METHOD, id, "whatever a client likes"))
    store.error(store.send(Kind.METHOD, id, "get", args=["one too many"]))
    counted: Counter[str] = Counter()
    while counted["Thing.get"] < 2:
        frame = store.reports.pop(0) if store.reports else store.next()
        assert isinstance(frame, Report)
        assert frame.objects == 1
        counted.update({name: timing.count for name, timing in frame.timings.items()})
    assert counted == {"Thing": 1, "Thing.get": 2}
