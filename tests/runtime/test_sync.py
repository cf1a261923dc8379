"""Queues and wait groups in a script that is simply run: its threads share them by name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import scriptling.runtime as runtime
from scriptling.runtime import context, sync
from scriptling.runtime.sync import Atomic, Queue, QueueClosed, Shared, WaitGroup

PATIENCE = 20.0  # seconds


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    context.connect(None)
    yield
    context.connect(None)


def in_thread(action: Any) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def test_the_same_name_is_the_same_queue() -> None:
    Queue("jobs").put({"a": [1, (2,), {3}, b"4"]})
    assert Queue("jobs").size() == 1
    assert Queue("other").size() == 0
    assert Queue("jobs").get() == {"a": [1, (2,), {3}, b"4"]}


def test_what_is_got_is_a_copy() -> None:
    value = [1]
    Queue("jobs").put(value)
    value.append(2)
    assert Queue("jobs").get() == [1]


def test_get_waits_until_another_thread_puts() -> None:
    got: list[Any] = []
    thread = in_thread(lambda: got.append(Queue("jobs").get()))
    Queue("jobs").put("x")
    thread.join(PATIENCE)
    assert got == ["x"]


def test_put_waits_while_the_queue_is_full() -> None:
    queue = Queue("jobs", maxsize=1)
    queue.put(1)
    with pytest.raises(TimeoutError, match=r"Queue\('jobs'\).put\(\) has waited 0 s in vain"):
        queue.put(2, timeout=0)
    thread = in_thread(lambda: queue.put(3))
    assert queue.get() == 1
    thread.join(PATIENCE)
    assert queue.get() == 3


def test_a_time_that_is_over_is_an_error_and_takes_nothing_later() -> None:
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError, match="in vain"):
            Queue("jobs").get(timeout)
    Queue("jobs").put(1)
    assert Queue("jobs").size() == 1


def test_a_closed_queue_says_so() -> None:
    queue = Queue("jobs")
    queue.put(1)
    queue.close()
    with pytest.raises(QueueClosed, match="is closed"):
        queue.put(2)
    assert queue.get() == 1
    with pytest.raises(QueueClosed):
        queue.get()


def test_a_wait_group_waits_for_all() -> None:
    group = WaitGroup("work")
    group.add(2)
    with pytest.raises(TimeoutError):
        group.wait(0)
    for _ in range(2):
        in_thread(WaitGroup("work").done)
    group.wait(PATIENCE)
    with pytest.raises(RuntimeError, match="more was done than was added"):
        group.done()


def test_an_atomic_begins_with_what_the_first_has_said() -> None:
    assert Atomic("first", 5).add() == 6
    assert Atomic("first", 7).get() == 6
    Atomic("first").set(-(2**70))
    assert Atomic("first").add(-1) == -(2**70) - 1
    assert Atomic("second").get() == 0
    assert Atomic("second").add(3) == 3
    with pytest.raises(TypeError, match=r"Atomic\('second'\) is an int, and cannot be a float"):
        Atomic("second").add(0.5)  # type: ignore[arg-type]


def test_a_shared_value_is_a_copy_and_is_updated_by_a_function() -> None:
    shared = Shared("value", {"seen": []})
    shared.get()["seen"].append(1)
    assert Shared("value", "other").get() == {"seen": []}
    assert shared.update(lambda value: {**value, "n": 1}) == {"seen": [], "n": 1}
    shared.set(None)
    assert Shared("value", "other").get() is None
    with pytest.raises(TypeError):
        shared.set(object())


def test_names_of_different_kinds_do_not_meet() -> None:
    Atomic("same").add()
    Shared("same", "x")
    Queue("same").put(1)
    assert (Atomic("same").get(), Shared("same").get(), Queue("same").get()) == (1, "x", 1)


@pytest.mark.parametrize("name", ["", "x" * 501])
def test_names_have_some_length(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 500 characters"):
        Queue(name)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="the name must be a str, not int"):
        WaitGroup(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="maxsize must be a whole number"):
        Queue("jobs", -1)
    with pytest.raises(TypeError, match="the delta must be an int, not str"):
        WaitGroup("work").add("1")  # type: ignore[arg-type]
    for timeout in (-1, float("nan"), "1", True):
        with pytest.raises(ValueError, match=r"get\(\): the timeout must be a number of seconds"):
            Queue("jobs").get(timeout)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"cannot pass .*object at value\[1\]"):
        Queue("jobs").put([1, object()])


def test_what_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scriptling.rendezvous.MOST_NAMES", 0)
    with pytest.raises(RuntimeError, match="'jobs' is too many"):
        Queue("jobs").put(1)
    assert sync.__all__


def test_an_item_and_arguments_have_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "MOST_OF_ONE", 1000)
    monkeypatch.setattr("scriptling.tasks.MOST_ARGUMENTS", 1000)
    with pytest.raises(ValueError, match=r"put\(\): 20.. bytes are more than the 1000 of one item"):
        Queue("jobs").put("x" * 2000)
    with pytest.raises(ValueError, match=r"20.. bytes of arguments are more than the 1000"):
        runtime.background("task", print, "x" * 2000)
