"""Which task runs, which waits, whose result is kept: each runs once, and everything is bounded."""

from __future__ import annotations

import pytest

from scriptling.errors import RpcError
from scriptling.registry import Handler
from scriptling.tasks import Outcome, TaskError, TaskSpec, result_of
from workers.questions import background
from workers.questions.background import Ledger

DONE = Outcome(False, b"x" * 100)


class Setting(Ledger[str]):
    """A ledger whose waiters are names; keeps what each was told."""

    def __init__(self, most: int = 2) -> None:
        super().__init__(lambda waiter, outcome: self.told.append((waiter, outcome)), most)
        self.told: list[tuple[str, Outcome]] = []

    def add(self, name: str = "task", owner: str = "worker-1") -> int:
        return self.submit(owner, TaskSpec(name, Handler("lib.f"), b"arguments"))

    def start(self, *children: str) -> None:
        for child in children:
            assert self.next is not None
            self.begin(child)


def test_tasks_are_begun_in_their_order_and_so_many_at_once() -> None:
    setting = Setting(most=2)
    ids = [setting.add(name) for name in "abc"]
    assert ids == sorted(set(ids))
    begun = []
    while setting.next is not None:
        begun.append(setting.next.spec.name)
        setting.begin(f"task-{len(begun)}")
    assert begun == ["a", "b"]
    setting.end("task-1", DONE)
    assert setting.next is None  # its process has not ended
    setting.gone("task-1")
    assert setting.next is not None


def test_tasks_that_wait_for_others_leave_them_their_turn_up_to_a_bound() -> None:
    waiting: set[str] = set()
    ledger: Ledger[str] = Ledger(lambda waiter, outcome: None, 2, waiting.__contains__, 2)
    for _ in range(6):
        ledger.submit("worker-1", TaskSpec("task", Handler("lib.f"), b""))
    ledger.begin("task-0")
    ledger.begin("task-1")
    free = []
    for number in range(3):
        free.append(ledger.next is not None)
        waiting.add(f"task-{number}")
        free.append(ledger.next is not None)
        if free[-1]:
            ledger.begin(f"task-{number + 2}")
    assert free == [False, True, False, True, False, False]
    waiting.clear()
    ledger.gone("task-0")
    assert ledger.next is None  # more run than may, until some have ended


def test_who_waits_is_told_and_who_comes_later_too_but_once() -> None:
    setting = Setting()
    first, second = setting.add(), setting.add()
    setting.start("task-1", "task-2")
    setting.wait(first, "early")
    setting.wait(first, "early too")
    setting.end("task-1", DONE)
    assert setting.told == [("early", DONE), ("early too", DONE)]
    setting.end("task-2", DONE)
    setting.wait(second, "late")
    assert setting.told[2:] == [("late", DONE)]
    for id in (first, second, 99):
        setting.wait(id, "too late")
    assert [outcome.failed for _, outcome in setting.told[3:]] == [True] * 3
    with pytest.raises(TaskError, match="was told before"):
        result_of(setting.told[-1][1])


def test_only_the_first_outcome_of_a_task_counts() -> None:
    setting = Setting()
    setting.add()
    setting.start("task-1")
    assert setting.end("task-1", DONE) is not None
    assert setting.end("task-1", Outcome(True, b"")) is None
    setting.gone("task-1")
    assert setting.end("task-1", DONE) is None


def test_who_waits_no_more_is_not_told_and_the_result_is_kept() -> None:
    setting = Setting()
    id = setting.add()
    setting.start("task-1")
    setting.wait(id, "a")
    setting.withdraw(id, "a")
    setting.withdraw(99, "a")
    setting.end("task-1", DONE)
    assert setting.told == []
    setting.wait(id, "b")
    assert setting.told == [("b", DONE)]


def test_results_nobody_can_ask_for_are_not_kept() -> None:
    setting = Setting(most=3)
    for _ in range(3):
        setting.add()
    setting.start("task-1", "task-2")
    setting.end("task-1", DONE)
    setting.disown("worker-1")
    setting.end("task-2", DONE)
    assert setting.next is not None  # a task goes on without who has asked for it
    assert (len(setting._tasks), setting._kept, setting._kept_bytes) == (1, {}, 0)


def test_results_of_others_are_kept_until_they_are_told() -> None:
    setting = Setting(most=3)
    ids = [setting.add(owner=f"worker-{number}") for number in (1, 2, 1)]
    setting.start("task-1", "task-2", "task-3")
    for child in ("task-1", "task-2"):
        setting.end(child, DONE)
    setting.disown("worker-1")
    setting.disown("worker-3")
    for id in ids[:2]:
        setting.wait(id, "a")
    assert [outcome.failed for _, outcome in setting.told] == [True, False]
    setting.end("task-3", DONE)
    assert (setting._tasks, setting._owned) == ({}, {})


@pytest.mark.parametrize("bound", ["MOST_KEPT", "MOST_BYTES"])
def test_the_oldest_results_are_dropped(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(background, bound, 2 if bound == "MOST_KEPT" else 250)
    setting = Setting(most=3)
    ids = [setting.add() for _ in range(3)]
    setting.start("task-1", "task-2", "task-3")
    for child in ("task-1", "task-2", "task-3"):
        setting.end(child, DONE)
    for id in ids:
        setting.wait(id, "a")
    assert [outcome.failed for _, outcome in setting.told] == [True, False, False]


@pytest.mark.parametrize("bound", ["MOST_QUEUED", "MOST_BYTES"])
def test_so_many_tasks_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(background, bound, 2 if bound == "MOST_QUEUED" else 20)
    setting = Setting(most=1)
    setting.add()
    setting.add()
    with pytest.raises(RpcError, match="2 tasks wait for their turn already"):
        setting.add()
    setting.start("task-1")
    setting.add()


def test_at_the_end_nothing_is_begun_any_more() -> None:
    setting = Setting(most=1)
    ids = [setting.add(name) for name in "ab"]
    setting.start("task-1")
    setting.wait(ids[1], "waiter")
    refused = setting.refuse_queued(RpcError(-32004, "the end"))
    assert [task.spec.name for task in refused] == ["b"]
    assert [(waiter, outcome.failed) for waiter, outcome in setting.told] == [("waiter", True)]
    setting.end("task-1", DONE)
    setting.gone("task-1")
    assert setting.next is None
