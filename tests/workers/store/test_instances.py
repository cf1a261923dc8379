"""Objects by id: ids that cannot be guessed, one for each object, and known as lost after the store's death."""

from __future__ import annotations

import gc

import pytest

from scriptling.errors import ErrorCode, RpcError
from workers.store.instances import Instances, Owner
from workers.store.leases import Leases


class Thing:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing)

    def __hash__(self) -> int:
        return 1


OWNER = Owner(1)


def make_instances(generation: int = 1, most: int = 1_000_000) -> Instances[str]:
    return Instances(generation, most, Leases(0))


def test_an_object_is_found_by_its_id_and_by_itself() -> None:
    instances = make_instances()
    thing = Thing()
    instance = instances.add("Thing", thing, OWNER)
    assert instances.get(instance.id) is instance
    assert instances.find(thing) is instance
    assert instance.value is thing
    assert len(instances) == 1


def test_the_same_object_keeps_its_id() -> None:
    instances = make_instances()
    thing = Thing()
    assert instances.add("Thing", thing, OWNER) is instances.add("Thing", thing, OWNER)


def test_objects_that_are_equal_are_not_the_same() -> None:
    instances = make_instances()
    first, second = Thing(), Thing()
    assert instances.add("Thing", first, OWNER).id != instances.add("Thing", second, OWNER).id
    assert instances.find(Thing()) is None


def test_ids_cannot_be_guessed_from_one_another() -> None:
    instances = make_instances()
    things = [Thing() for _ in range(1000)]
    tokens = {instances.add("Thing", thing, OWNER).id.partition(".")[2] for thing in things}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {24}


def test_a_removed_object_is_unknown() -> None:
    instances = make_instances()
    thing = Thing()
    instance = instances.add("Thing", thing, OWNER)
    instance.put_aside("call")
    instances.remove(instance)
    instances.remove(instance)
    assert instance.destroyed
    assert instances.get(instance.id) is None
    assert instances.find(thing) is None
    assert [*instance.mail] == ["call"]
    assert instances.add("Thing", thing, OWNER).id != instance.id


def test_ids_of_an_earlier_life_of_the_store_are_lost_and_others_unknown() -> None:
    thing = Thing()
    old = make_instances(1).add("Thing", thing, OWNER).id
    assert make_instances(2).is_lost(old)
    assert make_instances(3).is_lost(old)
    assert not make_instances(1).is_lost(old)


@pytest.mark.parametrize(
    "id", ["", ".", "1", "1.", "0.a", "-1.a", "2.a", "3.a", "x.a", "².a", "9" * 5000 + ".a", "1" * 5000]
)
def test_ids_that_nobody_ever_made_are_not_lost(id: str) -> None:
    assert not make_instances(2).is_lost(id)


@pytest.mark.parametrize(("away", "busy"), [(0, False), (1, False), (0, True)])
def test_an_object_is_in_use_while_a_call_runs_and_while_one_waits_to_come_back(away: int, busy: bool) -> None:
    instance = make_instances().add("Thing", Thing(), OWNER)
    instance.away, instance.busy = away, busy
    assert instance.in_use == bool(away or busy)


# Owners


def test_what_somebody_owns_is_known_with_its_owner() -> None:
    instances = make_instances()
    one, two = instances.owner(1), instances.owner(2)
    things = [Thing() for _ in range(4)]
    added = [instances.add("Thing", thing, owner) for thing, owner in zip(things, (one, two, one, one), strict=True)]
    instances.remove(added[2])
    assert [*one.instances] == [added[0], added[3]]
    assert [*two.instances] == [added[1]]
    assert instances.owners == [one, two]


def test_an_object_belongs_to_whoever_it_was_first_made_for() -> None:
    instances = make_instances()
    thing = Thing()
    one, two = instances.owner(1), instances.owner(2)
    assert instances.add("Thing", thing, one) is instances.add("Thing", thing, two)
    assert not two.instances


def test_the_number_of_an_owner_that_has_ended_stands_for_another() -> None:
    instances = make_instances()
    old = instances.owner(1)
    assert instances.owner(1) is old
    assert instances.end_owner(1) is old
    assert old.ended
    assert instances.owner(1) is not old
    assert not instances.owner(1).ended


def test_an_owner_of_nothing_is_forgotten_with_its_last_call() -> None:
    instances = make_instances()
    held = instances.owner(1)
    instances.owner(2)
    gc.collect()
    assert instances.owners == [held]


def test_objects_may_be_handed_over_to_an_owner_that_has_gone() -> None:
    instances = make_instances()
    owner = instances.owner(1)
    things = [Thing(), Thing()]
    first, second = (instances.add("Thing", thing, owner) for thing in things)
    heir = instances.hand_over([first])
    assert ([*heir.instances], heir.ended) == ([first], True)
    assert [*owner.instances] == [second]
    instances.remove(first)
    assert not heir.instances
    assert heir not in instances.owners


# How many there may be


def test_one_more_than_there_may_be_is_refused() -> None:
    instances = make_instances(most=2)
    thing = Thing()
    kept = instances.add("Thing", thing, OWNER)
    instances.reserve()
    with pytest.raises(RpcError, match="2 objects already") as caught:
        instances.reserve()
    assert caught.value.code == ErrorCode.TOO_MANY_OBJECTS
    instances.give_up_place()
    instances.reserve()
    instances.remove(kept)
    instances.check_room()
