"""Operations on what is shared are counted by name, until the counts are taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scriptling.runtime import counts, kv


@pytest.fixture(autouse=True)
def from_nothing() -> Iterator[None]:
    counts.take()
    yield
    counts.take()


def test_every_operation_on_a_store_is_counted() -> None:
    with kv.open(":memory:counted") as store:
        store.set("a", 1)
        store.incr("a")
        store.update("a", lambda value: value + 1)
        assert store.get("a") == store.get("a") == 3
        store.ttl("a")
        store.exists("a")
        store.keys()
        store.delete("a")
        store.clear()
    assert counts.take() == {
        "kv.set": 1, "kv.incr": 1, "kv.update": 1, "kv.get": 2, "kv.ttl": 1, "kv.exists": 1, "kv.keys": 1,
        "kv.delete": 1, "kv.clear": 1,
    }  # fmt: skip


def test_what_was_taken_is_not_counted_again() -> None:
    counts.operations["kv.get"] += 2
    assert counts.take() == {"kv.get": 2}
    assert counts.take() == {}
