"""Queues and wait groups by name: served in order, bounded, and nothing that the dead had keeps the living."""

from __future__ import annotations

import pytest

from scriptling import rendezvous
from scriptling.rendezvous import Params, Rendezvous, Status


class Meeting(Rendezvous[str]):
    """A rendezvous whose waiters are names; keeps how each was settled, in order."""

    def __init__(self, most_bytes: int = 1 << 20) -> None:
        super().__init__(self._take, most_bytes)
        self.settled: list[tuple[str, Status, bytes]] = []

    def _take(self, waiter: str, status: Status, value: bytes) -> None:
        self.settled.append((waiter, status, value))

    def do(self, waiter: str, operation: str, number: int = 0, value: bytes = b"", name: str = "jobs") -> None:
        self.ask(waiter, operation, name, Params(number, value), waiter)

    def put(self, waiter: str, value: bytes, maxsize: int = 0) -> None:
        self.do(waiter, "queue.put", maxsize, value)

    def get(self, *waiters: str) -> None:
        for waiter in waiters:
            self.do(waiter, "queue.get")

    def got(self) -> list[tuple[str, bytes]]:
        """Return what was settled with a value, since the last time."""
        found = [(waiter, value) for waiter, status, value in self.settled if status == Status.DONE and value]
        self.settled.clear()
        return found

    @property
    def is_as_new(self) -> bool:
        return not (self._queues or self._groups or self._blocked or self._bytes)


def test_items_come_in_the_order_in_which_they_were_put() -> None:
    meeting = Meeting()
    for value in (b"1", b"2", b"3"):
        meeting.put("putter", value)
    meeting.get("a", "b", "c")
    assert meeting.got() == [("a", b"1"), ("b", b"2"), ("c", b"3")]
    assert meeting.is_as_new


def test_getters_are_served_in_the_order_in_which_they_came() -> None:
    meeting = Meeting()
    meeting.get("a", "b", "c")
    assert meeting.settled == []
    for value in (b"1", b"2", b"3"):
        meeting.put("putter", value)
    assert meeting.got() == [("a", b"1"), ("b", b"2"), ("c", b"3")]
    assert meeting.is_as_new


def test_a_getter_that_waits_no_more_is_passed_over() -> None:
    meeting = Meeting()
    meeting.get("a", "b")
    meeting.withdraw("a")
    meeting.put("putter", b"1")
    assert meeting.got() == [("b", b"1")]
    assert meeting.is_as_new


def test_putters_wait_while_the_queue_is_full_and_are_let_in_in_order() -> None:
    meeting = Meeting()
    for name in "abc":
        meeting.put(name, name.encode(), maxsize=1)
    assert [waiter for waiter, _, _ in meeting.settled] == ["a"]
    meeting.settled.clear()
    meeting.get("getter")
    assert meeting.settled == [("b", Status.DONE, b""), ("getter", Status.DONE, b"a")]
    meeting.withdraw("c")
    meeting.get("getter", "getter")
    assert meeting.got() == [("getter", b"a"), ("getter", b"b")]
    meeting.withdraw("getter")
    assert meeting.is_as_new


def test_a_queue_whose_bound_was_raised_lets_all_in_for_whom_there_is_room() -> None:
    meeting = Meeting()
    for name in "abcd":
        meeting.put(name, name.encode(), maxsize=1)
    meeting.put("e", b"e", maxsize=5)
    meeting.get("getter")
    assert {waiter for waiter, _, _ in meeting.settled} == {"a", "b", "c", "d", "e", "getter"}


def test_a_closed_queue_is_emptied_and_then_tells_that_it_is_closed() -> None:
    meeting = Meeting()
    meeting.put("putter", b"1")
    meeting.do("closer", "queue.close")
    meeting.put("late", b"2")
    meeting.get("a", "b")
    assert meeting.settled[1:] == [
        ("closer", Status.DONE, b""), ("late", Status.CLOSED, b""), ("a", Status.DONE, b"1"), ("b", Status.CLOSED, b""),
    ]  # fmt: skip


@pytest.mark.parametrize("maxsize", [0, 1])
def test_all_who_wait_are_told_that_the_queue_is_closed(maxsize: int) -> None:
    meeting = Meeting()
    waiting = ["a", "b"]
    if maxsize:
        meeting.put("first", b"0", maxsize)
        for name in waiting:
            meeting.put(name, b"1", maxsize)
    else:
        meeting.get(*waiting)
    meeting.do("closer", "queue.close")
    assert [waiter for waiter, status, _ in meeting.settled if status == Status.CLOSED] == waiting
    assert not meeting._blocked


def test_size_is_what_it_holds_and_makes_no_queue() -> None:
    meeting = Meeting()
    meeting.do("a", "queue.size")
    assert meeting.is_as_new
    meeting.put("putter", b"x")
    meeting.do("a", "queue.size")
    assert meeting.got() == [("a", b"0"), ("a", b"1")]


def test_queues_hold_so_many_bytes_and_the_putter_is_told() -> None:
    meeting = Meeting(most_bytes=1000)
    meeting.put("a", b"x" * 500)
    meeting.put("b", b"x" * 500)
    assert meeting.settled[0][1] == Status.DONE
    assert meeting.settled[1][1] == Status.REFUSED
    assert b"all queues together hold" in meeting.settled[1][2]
    meeting.get("c")
    meeting.put("d", b"x" * 500)
    assert meeting.settled[-1] == ("d", Status.DONE, b"")


def test_bytes_of_putters_that_wait_count_and_are_given_back() -> None:
    meeting = Meeting(most_bytes=1000)
    meeting.put("a", b"x" * 200, maxsize=1)
    meeting.put("b", b"x" * 300, maxsize=1)
    meeting.put("c", b"x" * 300, maxsize=1)
    assert [status for _, status, _ in meeting.settled] == [Status.DONE, Status.REFUSED]
    meeting.withdraw("b")
    meeting.get("d")
    assert meeting.is_as_new


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "MOST_NAMES", 1)
    meeting = Meeting()
    meeting.put("a", b"1")
    for operation in ("queue.put", "queue.get", "queue.close"):
        meeting.do("b", operation, name="other")
        assert meeting.settled[-1][1] == Status.REFUSED
    meeting.do("b", "group.add", 1)
    meeting.do("b", "group.add", 1, name="other")
    assert [status for _, status, _ in meeting.settled[-2:]] == [Status.DONE, Status.REFUSED]


def test_queues_that_were_closed_and_emptied_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "MOST_CLOSED", 2)
    monkeypatch.setattr(rendezvous, "MOST_NAMES", 5)
    meeting = Meeting()
    meeting.do("a", "queue.put", value=b"1", name="kept")
    for number in range(10):
        meeting.do("a", "queue.put", value=b"1", name=str(number))
        meeting.do("a", "queue.close", name=str(number))
        meeting.do("a", "queue.get", name=str(number))
    assert {status for _, status, _ in meeting.settled} == {Status.DONE}
    assert sorted(meeting._queues) == ["8", "9", "kept"]
    meeting.do("b", "queue.get", name="9")
    assert meeting.settled[-1] == ("b", Status.CLOSED, b"")


def test_a_closed_queue_that_gets_an_item_back_is_kept_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "MOST_CLOSED", 1)
    meeting = Meeting()
    meeting.do("a", "queue.close")
    meeting.put_back("jobs", b"1")
    meeting.do("a", "queue.close", name="other")
    meeting.do("a", "queue.close", name="third")
    meeting.get("b")
    assert meeting.settled[-1] == ("b", Status.DONE, b"1")


def test_who_waits_to_put_comes_before_who_raises_the_bound() -> None:
    meeting = Meeting()
    meeting.put("a", b"a", maxsize=1)
    meeting.put("b", b"b", maxsize=1)
    meeting.put("c", b"c", maxsize=3)
    meeting.get("x", "y", "z")
    assert meeting.got() == [("x", b"a"), ("y", b"b"), ("z", b"c")]


def test_what_did_not_arrive_is_the_first_again() -> None:
    meeting = Meeting()
    meeting.put("putter", b"1")
    meeting.put("putter", b"2")
    meeting.get("dead")
    meeting.put_back("jobs", b"1")
    meeting.get("a", "b")
    assert meeting.got() == [("dead", b"1"), ("a", b"1"), ("b", b"2")]
    meeting.get("c")
    meeting.put_back("jobs", b"3")
    assert meeting.got() == [("c", b"3")]
    assert meeting.is_as_new


def test_an_operation_that_does_not_exist_is_refused() -> None:
    meeting = Meeting()
    meeting.do("a", "queue.turn")
    assert meeting.settled == [("a", Status.REFUSED, b"there is no operation queue.turn")]


# Wait groups


def test_whoever_waits_goes_on_when_all_is_done() -> None:
    meeting = Meeting()
    meeting.do("a", "group.wait")
    meeting.do("adder", "group.add", 2)
    meeting.do("b", "group.wait")
    meeting.do("c", "group.wait")
    meeting.do("worker", "group.add", -1)
    assert [waiter for waiter, _, _ in meeting.settled] == ["a", "adder", "worker"]
    meeting.do("worker", "group.add", -1)
    assert [waiter for waiter, _, _ in meeting.settled[3:]] == ["worker", "b", "c"]
    assert meeting.is_as_new


def test_more_done_than_added_is_refused() -> None:
    meeting = Meeting()
    meeting.do("a", "group.add", -1)
    meeting.do("a", "group.add", 1)
    meeting.do("a", "group.add", -2)
    assert [status for _, status, _ in meeting.settled] == [Status.REFUSED, Status.DONE, Status.REFUSED]


def test_what_the_killed_had_added_is_taken_off_and_may_still_be_done() -> None:
    meeting = Meeting()
    meeting.do("killed", "group.add", 2)
    meeting.do("other", "group.add", 1)
    meeting.do("waiter", "group.wait")
    meeting.do("worker", "group.add", -1)  # of the first that was added
    meeting.release("killed")
    assert "waiter" not in [waiter for waiter, _, _ in meeting.settled]
    meeting.do("other", "group.add", -1)
    assert meeting.settled[-1] == ("waiter", Status.DONE, b"")
    meeting.do("worker", "group.add", -1)
    assert meeting.settled[-1] == ("worker", Status.DONE, b"")
    assert meeting.is_as_new


def test_groups_of_the_killed_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "MOST_FORGIVEN", 2)
    monkeypatch.setattr(rendezvous, "MOST_NAMES", 5)
    meeting = Meeting()
    meeting.do("living", "group.add", 1, name="kept")
    for number in range(10):
        meeting.do("killed", "group.add", 2, name=str(number))
        meeting.release("killed")
    assert {status for _, status, _ in meeting.settled} == {Status.DONE}
    assert sorted(meeting._groups) == ["8", "9", "kept"]
    meeting.do("worker", "group.add", -1, name="8")  # now "9" is the one that was used longest ago
    meeting.do("killed", "group.add", 1, name="new")
    meeting.release("killed")
    assert sorted(meeting._groups) == ["8", "kept", "new"]
    meeting.do("worker", "group.add", -1, name="8")
    meeting.do("worker", "group.add", -1, name="new")
    meeting.do("living", "group.add", -1, name="kept")
    assert meeting.is_as_new
    assert not meeting._forgiven


def test_a_group_of_the_killed_that_is_used_again_is_kept_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "MOST_FORGIVEN", 1)
    meeting = Meeting()
    meeting.do("killed", "group.add", 1)
    meeting.release("killed")
    meeting.do("living", "group.add", 1)
    meeting.do("waiter", "group.wait")
    for name in ("other", "third"):
        meeting.do("killed", "group.add", 1, name=name)
        meeting.release("killed")
    meeting.do("living", "group.add", -1)
    assert meeting.settled[-1] == ("waiter", Status.DONE, b"")


def test_each_is_done_first_with_what_it_has_added_itself() -> None:
    meeting = Meeting()
    meeting.do("first", "group.add", 1)
    meeting.do("second", "group.add", 1)
    meeting.do("second", "group.add", -1)
    meeting.do("waiter", "group.wait")
    meeting.release("second")
    assert meeting.settled[-1][0] != "waiter"
    meeting.release("first")
    assert meeting.settled[-1] == ("waiter", Status.DONE, b"")


def test_it_is_forgotten_who_has_added_what_before_that_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "_MOST_HOLDERS", 2)
    meeting = Meeting()
    for holder in "abcd":
        meeting.do(holder, "group.add", 1)
    meeting.release("a")
    meeting.do("waiter", "group.wait")
    for _ in range(4):
        assert "waiter" not in [waiter for waiter, _, _ in meeting.settled]
        meeting.do("worker", "group.add", -1)
    assert meeting.settled[-1][0] == "waiter"


def test_a_wait_that_is_withdrawn_leaves_the_group() -> None:
    meeting = Meeting()
    meeting.do("a", "group.add", 1)
    meeting.do("b", "group.wait")
    meeting.withdraw("b")
    meeting.withdraw("b")
    meeting.do("a", "group.add", -1)
    assert [waiter for waiter, _, _ in meeting.settled] == ["a", "a"]
    assert meeting.is_as_new
