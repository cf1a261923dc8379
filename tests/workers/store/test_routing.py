"""What may begin while threads are few: what is known to be quick; and nobody waits for what cannot come."""

from __future__ import annotations

import json

import pytest

from scriptling.errors import ErrorCode
from scriptling.settings import Settings
from workers.frames import Call, Kind
from workers.store.crew import RESERVE
from workers.store.instances import Instance
from workers.store.routing import Routing
from workers.store.tasks import LONG, PROMPT, Task


class Books:
    """The books of a store, and what was answered."""

    def __init__(self) -> None:
        self.woken = 0
        self.routing = Routing(Settings(), 1, lambda *work: True, lambda: 1.0, self._wake)
        self._seq = 0

    def _wake(self) -> None:
        self.woken += 1

    def call(self, kind: Kind, target: str = "", method: str = "", owner: int = 3) -> int:
        self._seq += 1
        self.routing.route(Call(self._seq, kind, target, method, b"", 0, owner, 0.0))
        return self._seq

    def make(self, owner: int = 3) -> Instance[Task]:
        """Keep an object."""
        self.call(Kind.NEW, "Thing", owner=owner)
        task = self.routing.ledger.ready.pop()
        id = self.routing.keep("Thing", object(), task, reserved=False)
        self.routing.finished(task, False, b"", LONG)
        self.answers()
        instance = self.routing.instances.get(id)
        assert instance is not None
        return instance

    def learn(self, method: str, elapsed: int) -> None:
        """Know how long a method takes."""
        self.call(Kind.METHOD, self.make().id, method)
        self.routing.finished(self.routing.ledger.ready.pop(), False, b"", elapsed)
        self.answers()

    def next(self, room: int) -> int:
        """Return the number of the call that may begin; 0 for none."""
        task = self.routing.next(room)
        return task.call.seq if task else 0

    def answers(self) -> dict[int, int]:
        """Return what was answered since the last time: the error's code by the call's number, or 0."""
        done = self.routing.ledger.done
        found = {reply.seq: json.loads(reply.payload)["code"] if reply.failed else 0 for reply in done}
        done.clear()
        return found


@pytest.fixture
def books() -> Books:
    return Books()


def test_with_one_thread_in_reserve_only_what_is_known_to_be_quick_begins(books: Books) -> None:
    books.learn("quick", PROMPT)
    books.learn("slow", PROMPT + 1)
    unknown, slow, first, second = (
        books.call(Kind.METHOD, books.make().id, method) for method in ("unknown", "slow", "quick", "quick")
    )
    assert books.next(0) == 0
    assert [books.next(1) for _ in range(3)] == [first, second, 0]
    assert [books.next(RESERVE) for _ in range(3)] == [unknown, slow, 0]


def test_what_was_quick_is_so_until_it_has_taken_long(books: Books) -> None:
    for elapsed, is_quick in ((PROMPT, True), (LONG, True), (LONG + 1, False), (LONG, False), (PROMPT, True)):
        books.learn("get", elapsed)
        call = books.call(Kind.METHOD, books.make().id, "get")
        assert books.next(1) == (call if is_quick else 0)
        books.routing.ledger.held.clear()


def test_what_was_held_comes_before_what_is_quick_when_there_is_room(books: Books) -> None:
    books.learn("quick", 1)
    slow = books.call(Kind.METHOD, books.make().id, "slow")
    quick = books.call(Kind.METHOD, books.make().id, "quick")
    assert books.next(0) == 0
    assert [books.next(RESERVE), books.next(1)] == [slow, quick]


def test_an_end_that_is_held_is_answered_at_once_and_comes_later(books: Books) -> None:
    end = books.call(Kind.DESTROY, books.make().id)
    assert books.next(1) == 0
    assert books.answers() == {end: 0}
    assert books.next(RESERVE) == end
    assert books.answers() == {}


def test_what_is_held_is_withdrawn(books: Books) -> None:
    books.learn("quick", 1)
    calls = [books.call(Kind.METHOD, books.make().id, method) for method in ("quick", "slow")]
    assert books.next(0) == 0
    books.routing.withdraw(calls, [])
    assert books.answers() == dict.fromkeys(calls, ErrorCode.CANCELLED)
    assert books.next(RESERVE) == 0


def test_what_is_refused_leaves_its_object_to_the_next(books: Books) -> None:
    instance = books.make()
    refused = books.call(Kind.METHOD, instance.id, "slow")
    behind = books.call(Kind.METHOD, instance.id, "slow")
    assert books.next(1) == 0
    books.routing.refuse_held()
    assert books.answers() == {refused: ErrorCode.OVERLOADED}
    assert books.woken
    assert books.next(RESERVE) == behind


def test_nobody_waits_for_an_owner_whose_objects_cannot_end(books: Books) -> None:
    for _ in range(3):
        books.make(owner=4)
    forget = books.call(Kind.FORGET, owner=4)
    books.routing.destroy_some()
    assert books.next(1) == 0
    assert books.answers() == {}
    books.routing.refuse_held()
    books.routing.destroy_some()
    assert books.answers() == {forget: 0}
    assert len(books.routing.ledger.held) == 3, "they end when there is room"
