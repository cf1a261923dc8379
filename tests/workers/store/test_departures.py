"""What an owner leaves behind is destroyed a little at a time, all of it, and its end is told once."""

from __future__ import annotations

from tests.workers.fakes import make_owner
from workers.frames import Call, Kind
from workers.store.departures import Departures
from workers.store.instances import Instance, Owner

FORGET = Call(7, Kind.FORGET, "", "", b"", 0, 3, 0.0)


def take(departures: Departures) -> list[Instance[object]]:
    """Begin to destroy what is to be destroyed in one turn."""
    taken = []
    for _, instance in departures.next():
        if instance is None:
            continue
        del instance.owner.instances[instance]
        taken.append(instance)
    return taken


def test_everything_goes_oldest_first_in_turns_of_limited_length() -> None:
    departures = Departures(lambda name: 50_000)
    owner = make_owner(25)
    all_of_it = [*owner.instances]
    departures.begin(owner, FORGET)
    turns = []
    while departures.can_go_on:
        turns.append(take(departures))
    assert [len(turn) for turn in turns if turn] == [10, 10, 5]
    assert [instance for turn in turns for instance in turn] == all_of_it
    assert departures.left == 0


def test_what_takes_long_to_destroy_goes_one_by_one() -> None:
    departures = Departures(lambda name: 5_000_000)
    departures.begin(make_owner(3), FORGET)
    assert [len(take(departures)) for _ in range(3)] == [1, 1, 1]


def test_while_too_many_are_being_destroyed_the_rest_waits() -> None:
    departures = Departures(lambda name: 1)
    departures.begin(make_owner(150), FORGET)
    assert len(take(departures)) == 100
    assert not departures.can_go_on
    assert departures.next() == []
    departures.done()
    assert len(take(departures)) == 1
    departures.in_haste = True
    assert len(take(departures)) == 49


def test_a_departure_is_settled_with_the_last_of_its_objects() -> None:
    departures = Departures(lambda name: 300_000)
    departure = departures.begin(make_owner(3), FORGET)
    take(departures)
    assert departure.settle() is False
    assert departure.settle() is False
    take(departures)
    assert departure.settle() is True


def test_a_departure_whose_objects_clients_have_destroyed_is_over_all_the_same() -> None:
    departures = Departures(lambda name: 1)
    owner = make_owner(1)
    departure = departures.begin(owner, FORGET)
    owner.instances.clear()
    assert departures.next() == [(departure, None)]
    assert departures.next() == []


def test_the_end_of_a_departure_is_told_once_if_clients_destroy_its_last_object_meanwhile() -> None:
    departures = Departures(lambda name: 5_000_000)
    owner = make_owner(2)
    departure = departures.begin(owner, FORGET)
    take(departures)
    owner.instances.clear()
    assert departure.settle() is True
    assert departures.next() == []


def test_owners_go_in_the_order_in_which_they_left() -> None:
    departures = Departures(lambda name: 1)
    first, second = make_owner(2), make_owner(2)
    departures.begin(first, FORGET)
    departures.begin(Owner(9), FORGET)
    departures.begin(second, FORGET)
    expected = [*first.instances, *second.instances]
    assert take(departures) == expected
    assert take(departures) == []
    assert departures.left == 0
