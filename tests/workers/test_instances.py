"""Objects by id: ids that cannot be guessed, one for each object, and known as lost after the store's death."""

from __future__ import annotations

import pytest

from workers.instances import Instances


class Thing:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing)

    def __hash__(self) -> int:
        return 1


def make_instances(generation: int = 1) -> Instances[str]:
    return Instances(generation)


def test_an_object_is_found_by_its_id_and_by_itself() -> None:
    instances = make_instances()
    thing = Thing()
    instance = instances.add("Thing", thing, 1)
    assert instances.get(instance.id) is instance
    assert instances.find(thing) is instance
    assert instance.value is thing
    assert len(instances) == 1


def test_the_same_object_keeps_its_id() -> None:
    instances = make_instances()
    thing = Thing()
    assert instances.add("Thing", thing, 1) is instances.add("Thing", thing, 1)


def test_objects_that_are_equal_are_not_the_same() -> None:
    instances = make_instances()
    first, second = Thing(), Thing()
    assert instances.add("Thing", first, 1).id != instances.add("Thing", second, 1).id
    assert instances.find(Thing()) is None


def test_ids_cannot_be_guessed_from_one_another() -> None:
    instances = make_instances()
    things = [Thing() for _ in range(1000)]
    tokens = {instances.add("Thing", thing, 1).id.partition(".")[2] for thing in things}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {24}


def test_a_removed_object_is_unknown() -> None:
    instances = make_instances()
    thing = Thing()
    instance = instances.add("Thing", thing, 1)
    instance.mail.append("call")
    instances.remove(instance)
    instances.remove(instance)
    assert instance.destroyed
    assert instances.get(instance.id) is None
    assert instances.find(thing) is None
    assert [*instance.mail] == ["call"]
    assert instances.add("Thing", thing, 1).id != instance.id


def test_all_comes_oldest_first() -> None:
    instances = make_instances()
    things = [Thing() for _ in range(3)]
    added = [instances.add("Thing", thing, 1) for thing in things]
    instances.remove(added[0])
    assert instances.all() == added[1:]


def test_ids_of_an_earlier_life_of_the_store_are_lost_and_others_unknown() -> None:
    thing = Thing()
    old = make_instances(1).add("Thing", thing, 1).id
    assert make_instances(2).is_lost(old)
    assert make_instances(3).is_lost(old)
    assert not make_instances(1).is_lost(old)


@pytest.mark.parametrize(
    "id", ["", ".", "1", "1.", "0.a", "-1.a", "2.a", "3.a", "x.a", "².a", "9" * 5000 + ".a", "1" * 5000]
)
def test_ids_that_nobody_ever_made_are_not_lost(id: str) -> None:
    assert not make_instances(2).is_lost(id)


def test_objects_are_found_by_their_owner() -> None:
    instances = make_instances()
    things = [Thing() for _ in range(4)]
    added = [instances.add("Thing", thing, owner) for thing, owner in zip(things, (1, 2, 1, 1), strict=True)]
    instances.remove(added[2])
    assert instances.of(1) == [added[0], added[3]]
    assert instances.of(3) == []


def test_an_object_belongs_to_whoever_it_was_first_made_for() -> None:
    instances = make_instances()
    thing = Thing()
    assert instances.add("Thing", thing, 1) is instances.add("Thing", thing, 2)
    assert instances.of(2) == []
