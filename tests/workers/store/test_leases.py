"""What is not used for as long as its lease lasts has expired, once; what is used lives on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.store.leases import Leases

TTL = 32.0  # so that a step is a second


@dataclass(eq=False)
class Item:
    used: float = 0.0
    due: int = 0
    in_use: bool = False


def make_items(count: int, leases: Leases[Item], now: float = 100.0) -> list[Item]:
    items = [Item() for _ in range(count)]
    for item in items:
        leases.grant(item, now)
    return items


def test_a_lease_ends_after_its_time_without_use() -> None:
    leases: Leases[Item] = Leases(TTL)
    (item,) = make_items(1, leases)
    assert leases.expired(100.0 + TTL - 0.1) == []
    assert leases.expired(100.0 + TTL + 1) == [item]
    assert leases.expired(1000.0) == []
    assert item.due == 0


def test_each_use_renews_a_lease() -> None:
    leases: Leases[Item] = Leases(TTL)
    (item,) = make_items(1, leases)
    for now in (110.0, 130.0, 150.0, 170.0):
        item.used = now
        assert leases.expired(now + 1) == []
    assert leases.expired(170.0 + TTL - 1) == []
    assert leases.expired(170.0 + TTL + 1) == [item]


def test_what_is_in_use_for_longer_than_its_lease_keeps_it() -> None:
    leases: Leases[Item] = Leases(TTL)
    (item,) = make_items(1, leases)
    item.in_use = True
    assert leases.expired(300.0) == []
    item.in_use = False
    assert leases.expired(300.0 + TTL - 1) == []
    assert leases.expired(300.0 + TTL + 1) == [item]


def test_what_is_destroyed_before_has_no_lease_any_more() -> None:
    leases: Leases[Item] = Leases(TTL)
    first, second = make_items(2, leases)
    leases.end(first)
    leases.end(first)
    leases.end(Item())
    assert leases.expired(1000.0) == [second]


def test_leases_that_last_for_ever_are_not_kept() -> None:
    leases: Leases[Item] = Leases(0)
    (item,) = make_items(1, leases)
    assert (item.due, leases.patience(1e9), leases.expired(1e9)) == (0, None, [])


def test_many_that_end_at_once_come_in_several_turns() -> None:
    leases: Leases[Item] = Leases(TTL)
    items = make_items(2500, leases)
    turns = []
    while leases.patience(200.0) == 0:
        turns.append(leases.expired(200.0))
    assert [len(turn) for turn in turns] == [1000, 1000, 500]
    assert {id(item) for turn in turns for item in turn} == {id(item) for item in items}


def test_there_is_time_until_the_first_may_end() -> None:
    leases: Leases[Item] = Leases(TTL)
    assert leases.patience(100.0) is None
    make_items(1, leases)
    assert leases.patience(100.0) == pytest.approx(TTL, abs=1.01)
    assert leases.patience(500.0) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 20)), max_size=60), st.floats(0.001, 100))
def test_nothing_ends_early_and_nothing_lives_on_for_long(events: list[tuple[int, float]], ttl: float) -> None:
    leases: Leases[Item] = Leases(ttl)
    now = 50.0
    items: list[Item] = []
    for index, pause in events:
        now += pause
        ended = leases.expired(now)
        assert all(now - item.used >= ttl for item in ended)
        items = [item for item in items if not any(item is each for each in ended)]
        assert all(now - item.used < ttl * (1 + 2 / 32) + 1e-6 for item in items)
        if index < len(items):
            items[index].used = now
        else:
            items.append(Item())
            leases.grant(items[-1], now)
