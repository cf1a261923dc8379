"""What one store does, whatever it is kept in: values, expiry, atomic changes, patterns."""

from __future__ import annotations

import enum
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from scriptling.stores import records, turns
from scriptling.stores import store as store_module
from scriptling.stores.errors import StoreError
from scriptling.stores.store import Store
from scriptling.stores.turns import Turn
from tests.stores.conftest import Clock


class Colour(enum.IntEnum):
    RED = 1


VALUES: list[Any] = [
    None, True, False, 0, -1, 2**63, 2**64 - 1, -(2**63), 2**64, -(2**64), 3**500, -(3**500), 0.0, -0.5, 1e300,
    math.inf, "", "ünï😀\0", b"", b"\xff\0", [], {}, [1, [2, [3, {"a": [None, b"x", 2**80]}]]], {"a": 1, "": 2},
    {1: "int", 2.5: "float", b"b": "bytes", None: "none"}, {True: 1}, "x" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_comes_back_with_its_type(store: Store, value: Any) -> None:
    store.set("k", value)
    found = store.get("k")
    assert (found, type(found)) == (value, type(value))


def test_types_inside_are_kept_apart(store: Store) -> None:
    store.set("k", [True, 1, 1.0, "1", b"1"])
    assert [type(item) for item in store.get("k")] == [bool, int, float, str, bytes]


def test_a_value_is_copied_both_ways(store: Store) -> None:
    mine = {"list": [1]}
    store.set("k", mine)
    mine["list"].append(2)
    store.get("k")["list"].append(3)
    assert store.get("k") == {"list": [1]}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((1, 2), "cannot store 'k': a tuple is none of .*; make it a list"),
        ({1}, "a set is none of"),
        (1j, "a complex is none of"),
        (object(), "a object is none of"),
        (Colour.RED, r"a tests\.stores\.test_store\.Colour is none of"),
        (OrderedDict(a=1), r"a collections\.OrderedDict is none of"),
        (bytearray(b"x"), "a bytearray is none of"),
        ({"a": [1, {"b": (1,)}]}, r"a tuple at \['a'\]\[1\]\['b'\] is none of"),
        ({(1, 2): 3}, r"a tuple at \(a key of the dict\) is none of"),
        ([print], r"a builtin_function_or_method at \[0\]"),
    ],
)
def test_other_types_are_refused_with_the_key_and_the_type(store: Store, value: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        store.set("k", value)
    assert not store.exists("k")


def test_circles_and_depth_are_refused(store: Store) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="nest deeper than 128"):
        store.set("k", circle)


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"], {"\ud800": 1}])
def test_half_characters_are_refused(store: Store, value: Any) -> None:
    with pytest.raises(ValueError, match="cannot store 'k': it holds a lone surrogate"):
        store.set("k", value)


def test_a_big_int_as_a_key_inside_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="more than 64 bits"):
        store.set("k", {2**70: 1})


def test_a_value_has_a_largest_size(store: Store) -> None:
    with pytest.raises(ValueError, match="are more than the 67108864 of one value"):
        store.set("k", b"x" * (64 << 20))


@pytest.mark.parametrize("length", [0, 1, 479, 480, 481, 511, 512, 5000, 65_535])
def test_keys_of_any_length_up_to_the_most_are_keys(store: Store, length: int) -> None:
    key, neighbour = "k" * length, "k" * (length - 1) + "j"
    store.set(key, 1)
    store.set(key + "!" if length < 65_535 else neighbour, 2)
    store.set("other", 3, ttl=5)
    assert store.get(key) == 1
    assert key in store.keys()  # noqa: SIM118 - a method of the store's own
    assert key in store.keys("k" * min(length, 600) + "*")
    assert store.delete(key)
    assert not store.exists(key)
    assert len(store.keys()) == 2


def test_a_long_key_may_expire(store: Store, clock: Clock) -> None:
    store.set("ü" * 400, [1], ttl=5)
    assert (store.get("ü" * 400), store.ttl("ü" * 400), store.keys("ü*")) == ([1], 5, ["ü" * 400])
    clock.now += 5
    assert not store.exists("ü" * 400)


def test_keys_that_cannot_be_are_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="a key is a str, not a int: 5"):
        store.get(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="65536 bytes is too long: 65535 are the most"):
        store.set("k" * 65_536, 1)
    with pytest.raises(ValueError, match="lone surrogate"):
        store.exists("\udc00")


def test_missing_keys(store: Store) -> None:
    assert store.get("k") is None
    assert store.get("k", 5) == 5
    assert not store.exists("k")
    assert store.delete("k") is False
    assert store.ttl("k") == -2


def test_a_stored_none_is_not_a_missing_key(store: Store) -> None:
    store.set("k", None)
    assert store.get("k", 5) is None
    assert store.exists("k")


def test_a_key_expires_to_the_moment(store: Store, clock: Clock) -> None:
    store.set("k", "v", ttl=2.5)
    clock.now += 2.499
    assert (store.get("k"), store.exists("k"), store.keys()) == ("v", True, ["k"])
    assert 0 < store.ttl("k") < 0.002
    clock.now += 0.001
    assert (store.get("k"), store.exists("k"), store.keys(), store.ttl("k")) == (None, False, [], -2)
    assert store.delete("k") is False


def test_setting_again_changes_the_expiry(store: Store, clock: Clock) -> None:
    store.set("k", 1, ttl=1)
    store.set("k", 2)
    assert store.ttl("k") == -1
    store.set("k", 3, ttl=10)
    clock.now += 9
    assert (store.get("k"), store.ttl("k")) == (3, 1)


@pytest.mark.parametrize("ttl", [-1, math.nan, math.inf, True, "5", None])
def test_a_ttl_is_a_number_of_seconds(store: Store, ttl: Any) -> None:
    with pytest.raises(ValueError, match="a ttl is a number of seconds, 0 for ever"):
        store.set("k", 1, ttl=ttl)


@pytest.mark.parametrize("ttl", [10**30, 1e300, 10**400])
def test_a_ttl_of_ages_is_taken(store: Store, ttl: float) -> None:
    store.set("k", 1, ttl=ttl)
    assert store.ttl("k") > 10**9


def test_incr_counts(store: Store) -> None:
    assert [store.incr("k"), store.incr("k", 5), store.incr("k", -10), store.incr("k", 2**70)] == [1, 6, -4, 2**70 - 4]


def test_incr_keeps_the_expiry_and_begins_again_after_it(store: Store, clock: Clock) -> None:
    store.set("k", 5, ttl=3)
    clock.now += 1
    assert (store.incr("k"), store.ttl("k")) == (6, 2)
    clock.now += 2
    assert (store.incr("k"), store.ttl("k")) == (1, -1)


@pytest.mark.parametrize("value", ["5", 5.0, True, None, [1]])
def test_incr_needs_an_int(store: Store, value: Any) -> None:
    store.set("k", value)
    with pytest.raises(TypeError, match=f"cannot increment 'k': its value is a {type(value).__name__}, not an int"):
        store.incr("k")
    assert store.get("k") == value


@pytest.mark.parametrize("delta", ["5", 5.0, True, None])
def test_incr_needs_an_int_to_add(store: Store, delta: Any) -> None:
    with pytest.raises(TypeError, match="cannot increment 'k' by"):
        store.incr("k", delta)


def test_update_replaces_the_value_by_the_functions(store: Store, clock: Clock) -> None:
    assert store.update("k", lambda value: [*value, 1], default=[]) == [1]
    store.set("k", [5], ttl=3)
    assert store.update("k", lambda value: [*value, 1]) == store.get("k") == [5, 1]
    assert store.ttl("k") == 3


def test_update_begins_with_the_default_once_the_value_has_expired(store: Store, clock: Clock) -> None:
    store.set("k", 1, ttl=1)
    clock.now += 1
    assert store.update("k", lambda value: value, default="new") == "new"
    assert store.ttl("k") == -1


def test_an_update_that_raises_changes_nothing(store: Store) -> None:
    store.set("k", [1])

    def fail(value: list[int]) -> None:
        value.append(2)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        store.update("k", fail)
    assert store.get("k") == [1]


def test_an_update_is_tried_again_when_the_value_was_changed_meanwhile(store: Store) -> None:
    seen = []

    def function(value: int) -> int:
        seen.append(value)
        if len(seen) < 4:
            store.incr("k", 10)
        return value + 1

    assert store.update("k", function, default=0) == 31
    assert seen == [0, 10, 20, 30]


def test_an_update_that_never_wins_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MOST_TRIES", 5)
    with pytest.raises(StoreError, match="cannot update 'k': others changed it 5 times"):
        store.update("k", lambda value: store.incr("k"), default=0)


def test_updates_may_use_the_store(store: Store) -> None:
    store.update("outer", lambda value: store.update("inner", lambda inner: inner + 1, default=0))
    assert (store.get("outer"), store.get("inner")) == (1, 1)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["", "*", "a", "a/b", "ab", "abc", "b\n", "ä"]),
        ("a*", ["a", "a/b", "ab", "abc"]),
        ("a", ["a"]),
        ("a?", ["ab"]),
        ("?", ["*", "a", "ä"]),
        ("[ab]*", ["a", "a/b", "ab", "abc", "b\n"]),
        ("[!a]*", ["*", "b\n", "ä"]),
        ("[*]", ["*"]),
        ("*c", ["abc"]),
        ("b*", ["b\n"]),
        ("ä*", ["ä"]),
        ("A*", []),
        ("", [""]),
        ("a**", ["a", "a/b", "ab", "abc"]),
        ("nothing", []),
    ],
)
def test_patterns(store: Store, pattern: str, found: list[str]) -> None:
    for key in ("a", "ab", "abc", "a/b", "b\n", "ä", "*", ""):
        store.set(key, 1)
    assert store.keys(pattern) == found


def test_a_pattern_is_a_string(store: Store) -> None:
    with pytest.raises(TypeError, match="a pattern is a str, not a int"):
        store.keys(5)  # type: ignore[arg-type]


def test_many_keys_are_found_in_several_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_SCAN", 7)
    names = sorted(f"{number:03}" for number in range(100))
    for name in names:
        store.set(name, 1)
    assert store.keys() == names
    assert store.keys("05*") == names[50:60]


def test_clear_deletes_everything(store: Store) -> None:
    for number in range(2000):
        store.set(str(number), number, ttl=number % 2)
    store.clear()
    assert store.keys() == []
    store.set("k", 1)
    assert store.get("k") == 1


def entries(store: Store) -> int:
    return store.environment.read(lambda txn: int(txn.stat()["entries"]))


def test_what_has_expired_does_not_pile_up(store: Store, clock: Clock) -> None:
    store._next_sweep = 1e12
    for number in range(500):
        store.set(str(number), number, ttl=1)
    assert entries(store) == 1000
    clock.now += 1
    store._next_sweep = 0.0
    for _ in range(3):
        store.set("k", 1)
    assert entries(store) == 1
    assert records.EXPIRY not in {
        key[:1] for key in store.environment.read(lambda txn: [key for key, _ in txn.cursor()])
    }


def test_a_sweep_leaves_what_has_not_expired(store: Store, clock: Clock) -> None:
    store.set("short", 1, ttl=1)
    store.set("long", 1, ttl=10)
    store.set("changed", 1, ttl=1)
    store.set("changed", 1)
    clock.now += 5
    store._next_sweep = 0.0
    store.set("k", 1)
    assert store.keys() == ["changed", "k", "long"]
    assert entries(store) == 4


def test_deleted_and_overwritten_keys_leave_no_expiry_behind(store: Store) -> None:
    for _ in range(10):
        store.set("k", 1, ttl=10)
    assert entries(store) == 2
    store.delete("k")
    assert entries(store) == 0


def test_the_map_grows_as_it_must(make: Callable[..., Store]) -> None:
    store = make(first_map=1 << 20)
    for number in range(100):
        store.set(str(number), b"x" * 10_000)
    store.set("large", b"x" * 3_000_000)
    assert len(store.keys()) == 101
    assert store.get("large") == b"x" * 3_000_000


def test_a_closed_store_opens_again_when_it_is_used(store: Store) -> None:
    store.set("k", 1)
    store.close()
    assert store.get("k") == 1
    store.close()
    assert store.incr("k") == 2


def test_a_finaliser_may_write_in_the_middle_of_a_write(store: Store) -> None:
    def write(txn: Any) -> None:
        store.set("inner", 1)
        txn.put(b"kouter", b"\0\x01")

    store.environment.write(write)
    assert store.keys() == ["inner", "outer"]


def test_an_update_that_loses_often_makes_other_updates_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_now", lambda: 1)  # claims do not end
    others: list[threading.Thread] = []
    seen = []

    def function(value: int) -> int:
        seen.append(value)
        if len(seen) < 10:
            store.incr("k")
        elif len(seen) == 10:
            others.append(threading.Thread(target=store.update, args=("k", lambda value: value + 100)))
            others[0].start()
        return value + 1

    assert store.update("k", function, 0) == 10
    others[0].join()
    assert seen == list(range(10))
    assert store.get("k") == 110
    assert entries(store) == 1


def test_a_claim_of_the_dead_ends_by_itself(store: Store) -> None:
    turn = Turn(store.environment, records.stored_key("k"), lost=7, began=time.monotonic_ns())
    store.environment.write(turn.lose)
    assert entries(store) == 1
    assert store.update("k", lambda value: value + 1, 0) == 1
    assert entries(store) == 1
