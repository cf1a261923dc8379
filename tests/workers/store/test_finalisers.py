"""``__del__`` runs when the protocol says so, once, and never for a copy that was left behind."""

from __future__ import annotations

from typing import Any

from workers.store.finalisers import destroy, disarm, guard


def make_class(ended: list[int]) -> Any:
    class Thing:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            ended.append(self.number)

    return Thing


def test_a_destroyed_instance_is_not_finalised_again() -> None:
    ended: list[int] = []
    thing = make_class(ended)(1)
    destroy(thing)
    assert ended == [1]
    del thing
    assert ended == [1]


def test_a_copy_that_was_left_behind_is_not_finalised() -> None:
    ended: list[int] = []
    cls = make_class(ended)
    moved, kept = cls(1), cls(2)
    disarm(moved)
    del moved
    assert ended == []
    del kept
    assert ended == [2]


def test_guarding_twice_changes_nothing() -> None:
    ended: list[int] = []
    cls = make_class(ended)
    guard(cls)
    first = cls.__del__
    guard(cls)
    assert cls.__del__ is first
    cls(3)
    assert ended == [3]


def test_a_class_without_a_finaliser_stays_as_it_is() -> None:
    class Plain:
        pass

    disarm(Plain())
    destroy(Plain())
    assert not hasattr(Plain, "__del__")
