"""Each call goes to the object store that has its object, or that will have it."""

from __future__ import annotations

from collections import Counter

from tests.workers.fakes import Listener, make_ticket
from workers.calls.shards import Everywhere, Shard, Shards
from workers.frames import Kind


def make_shards(number: int, *classes: str) -> Shards:
    """Return shards that have been born once each, the first as number 1."""
    shards = Shards(number)
    shards.place(classes)
    for birth, shard in enumerate(shards.all, 1):
        shards.born(shard, birth)
    return shards


def places(shards: Shards, class_name: str, count: int = 4) -> list[int]:
    """Return which stores so many new objects of a class go to."""
    found = []
    for seq in range(count):
        shard = shards.of(make_ticket(seq, class_name, kind=Kind.NEW))
        found.append(shards.all.index(shard))
    return found


def test_one_store_has_everything() -> None:
    shards = make_shards(1, "A", "B")
    for kind, target in ((Kind.NEW, "A"), (Kind.ADOPT, "B"), (Kind.METHOD, "1.x"), (Kind.DESTROY, "nonsense")):
        assert shards.of(make_ticket(1, target, kind=kind)) is shards.all[0]


def test_a_class_has_its_objects_in_one_store() -> None:
    shards = make_shards(2, "A", "B", "C")
    assert [set(places(shards, name)) for name in "ABC"] == [{0}, {1}, {0}]


def test_a_class_that_nobody_declared_is_for_any_store_to_refuse() -> None:
    shards = make_shards(2, "A", "B")
    for kind in (Kind.ADOPT, Kind.NEW):
        assert shards.of(make_ticket(1, "forged", kind=kind)) is shards.all[0]


def test_what_a_function_has_made_goes_where_its_class_is() -> None:
    shards = make_shards(2, "A", "B")
    assert shards.of(make_ticket(1, "B", kind=Kind.ADOPT)) is shards.all[1]


def test_a_class_is_spread_where_there_are_more_stores_than_classes() -> None:
    shards = make_shards(4, "A", "B", "C")
    assert [Counter(places(shards, name)) for name in "ABC"] == [{0: 2, 3: 2}, {1: 4}, {2: 4}]


def test_a_new_object_goes_to_the_store_that_has_least_to_do() -> None:
    shards = make_shards(2, "A")
    shards.all[1].put(make_ticket(9, "2.x", kind=Kind.METHOD))
    assert places(shards, "A") == [0, 0, 0, 0]


def test_an_id_leads_to_the_store_that_made_it() -> None:
    shards = make_shards(3, "A")
    assert shards.of(make_ticket(1, "2.abc", kind=Kind.METHOD)) is shards.all[1]
    assert shards.of(make_ticket(1, "3.abc", kind=Kind.DESTROY)) is shards.all[2]


def test_an_id_of_a_dead_store_leads_to_its_successor() -> None:
    shards = make_shards(2, "A")
    shards.born(shards.all[1], 3)
    assert shards.of(make_ticket(1, "2.abc", kind=Kind.METHOD)) is shards.all[1]
    assert shards.of(make_ticket(1, "3.abc", kind=Kind.METHOD)) is shards.all[1]


def test_any_other_id_is_refused_by_some_store() -> None:
    shards = make_shards(2, "A")
    for target in ("9.abc", "", ".", "2", "x.2.y", "02.abc"):
        assert shards.of(make_ticket(1, target, kind=Kind.METHOD)) in shards.all


def test_a_call_is_found_by_its_number_wherever_it_is() -> None:
    shards = make_shards(2, "A")
    first, second = make_ticket(1), make_ticket(2)
    shards.all[0].put(first)
    shards.all[1].put(second)
    assert [shards.find(seq) for seq in (1, 2, 3)] == [first, second, None]
    assert len(shards) == 2


def test_only_what_was_not_sent_is_withdrawn() -> None:
    shard, caller = Shard(), Listener()
    sent, unsent, others = make_ticket(1, caller=caller), make_ticket(2, caller=caller), make_ticket(3)
    shard.put(sent)
    shard.unsent.clear()
    shard.put(unsent)
    shard.put(others)
    assert shard.withdraw(caller) == [unsent]
    assert (list(shard.calls), shard.unsent) == ([1, 3], [others])


def test_what_is_for_all_is_answered_once_when_all_have_answered() -> None:
    caller = Listener()
    everywhere = Everywhere(make_ticket(7, caller=caller), 3)
    assert everywhere.session == caller.session
    for seq in range(3):
        assert caller.answers == []
        everywhere.answer(make_ticket(seq), False, b"null")
    assert caller.answers == [(7, False, b"null")]


def test_one_failure_is_the_answer_of_all() -> None:
    caller = Listener()
    everywhere = Everywhere(make_ticket(7, caller=caller), 2)
    everywhere.answer(make_ticket(1), True, b"{}")
    everywhere.answer(make_ticket(2), False, b"null")
    assert caller.answers == [(7, True, b"{}")]
