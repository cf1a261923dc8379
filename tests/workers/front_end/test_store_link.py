"""Calls go to the object store that lives; what dies with it is answered, what was not sent waits for the next one."""

from __future__ import annotations

import json

from scriptling.errors import ErrorCode
from scriptling.registry import Declaration
from tests.workers.fakes import FakeNursery, Listener, make_reply, make_ticket, no_descriptors
from workers import frames
from workers.calls.dispatch import Dispatcher
from workers.frames import Calls, Init, Replies, Stop, Withdraw
from workers.front_end.store_link import StoreLink
from workers.front_end.supervisor import Child, Supervisor
from workers.nursery import Role

SECOND = 1_000_000_000
INIT = Init(Declaration("lib", "", "", (), (), ()))


class Setting:
    def __init__(self) -> None:
        self.dispatcher = Dispatcher(10)
        self.sent: list[tuple[str, frames.ToChild]] = []
        (self.shard,) = self.dispatcher.shards.all
        self.link = StoreLink(self.dispatcher, self.shard, self._send, 2.0)
        self.host = Listener()
        self.births = 0

    def _send(self, name: str, frame: bytes) -> None:
        self.sent.append((name, frames.decode_for_child(frame)))

    def be_born(self) -> Child:
        self.births += 1
        child = Child(f"store-{self.births}", Role.STORE, self.births)
        self.greet(child)
        return child

    def greet(self, child: Child) -> None:
        self.link.expect(child)
        self.link.take_hello(INIT)

    def serve_supervised(self) -> tuple[Supervisor, Child]:
        supervisor = Supervisor(FakeNursery(), 1, no_descriptors)
        child = supervisor.start(Role.STORE, 0.0)
        self.greet(child)
        self.link.serve()
        return supervisor, child

    def submit(self, seq: int) -> None:
        self.dispatcher.submit_to_store(make_ticket(seq, "1.abc", self.host))

    def calls(self) -> list[tuple[str, list[int]]]:
        return [(name, [call.seq for call in sent.calls]) for name, sent in self.sent if isinstance(sent, Calls)]


def test_a_new_store_is_told_the_classes() -> None:
    setting = Setting()
    assert setting.link.stopped
    setting.be_born()
    ((name, frame),) = setting.sent
    assert (name, frames.encode(frame)) == ("store-1", frames.encode(INIT))
    assert not setting.link.stopped


def test_a_store_that_comes_when_all_are_told_to_stop_stops_at_once() -> None:
    setting = Setting()
    setting.link.expect(Child("store-1", Role.STORE, 1))
    setting.link.stop()
    assert setting.sent == []
    assert setting.link.stopped
    setting.link.take_hello(INIT)
    assert [(name, type(frame)) for name, frame in setting.sent] == [("store-1", Stop)]
    assert setting.link.stopped


def test_nothing_is_sent_before_the_classes_are_resolved() -> None:
    setting = Setting()
    setting.submit(1)
    setting.link.hand_out()
    setting.be_born()
    setting.submit(2)
    setting.link.hand_out()
    assert setting.calls() == []
    setting.link.serve()
    setting.link.hand_out()
    setting.link.hand_out()
    assert setting.calls() == [("store-1", [1, 2])]


def test_answers_settle_calls_in_whatever_order() -> None:
    setting = Setting()
    setting.be_born()
    setting.link.serve()
    for seq in (1, 2):
        setting.submit(seq)
    setting.link.hand_out()
    setting.link.receive(Replies(0, [make_reply(2)]))
    setting.link.receive(Replies(0, [make_reply(1), make_reply(2)]))
    assert setting.host.seqs == [2, 1]
    assert setting.dispatcher.pending == 0


def test_what_dies_with_a_store_is_lost_and_says_so() -> None:
    setting = Setting()
    child = setting.be_born()
    setting.link.serve()
    setting.submit(1)
    setting.link.hand_out()
    setting.submit(2)
    setting.link.died(child, -9)
    ((seq, failed, payload),) = setting.host.answers
    assert (seq, failed) == (1, True)
    error = json.loads(payload)
    assert error["code"] == ErrorCode.OBJECT_LOST
    assert error["message"].startswith("object lost")
    assert "SIGKILL" in error["message"]
    assert setting.link.stopped


def test_what_was_not_sent_goes_to_the_next_store_once_it_is_ready() -> None:
    setting = Setting()
    first = setting.be_born()
    setting.link.serve()
    setting.link.died(first, -9)
    setting.submit(1)
    setting.link.hand_out()
    setting.be_born()
    setting.link.hand_out()
    assert setting.calls() == []
    setting.link.serve()
    setting.link.hand_out()
    assert setting.calls() == [("store-2", [1])]


def test_a_store_that_lives_is_asked_to_stop_once_it_is_wanted_no_more() -> None:
    setting = Setting()
    setting.be_born()
    setting.link.stop()
    assert setting.sent[-1] == ("store-1", Stop())
    setting.link.stopped = True
    setting.link.stop()
    assert len(setting.sent) == 2


def test_the_store_is_told_what_not_to_begin_for_a_caller_that_has_gone() -> None:
    setting = Setting()
    setting.be_born()
    setting.link.serve()
    other = Listener()
    setting.submit(1)
    setting.dispatcher.submit_to_store(make_ticket(2, "1.def", other))
    setting.submit(3)
    setting.link.hand_out()
    setting.link.recall(setting.host)
    assert setting.sent[-1] == ("store-1", Withdraw([1, 3], ["1.abc", "1.abc"]))
    setting.link.recall(Listener())
    assert len(setting.sent) == 3


def test_a_store_that_does_not_serve_has_nothing_to_withdraw() -> None:
    setting = Setting()
    setting.submit(1)
    setting.link.recall(setting.host)
    assert setting.sent == []


# A store that does not respond


def test_a_store_that_does_not_respond_is_killed_after_the_servers_time_whatever_callers_set() -> None:
    setting = Setting()
    supervisor, child = setting.serve_supervised()
    setting.dispatcher.submit_to_store(make_ticket(1, "1.abc", setting.host, timeout=0.01))
    setting.link.hand_out()
    setting.link.look(SECOND, supervisor)
    setting.link.look(2 * SECOND, supervisor)
    assert child.verdict is None
    setting.link.look(3 * SECOND + 1, supervisor)
    assert child.verdict is not None


def test_a_store_that_responds_or_has_nothing_to_do_is_left_alone() -> None:
    setting = Setting()
    supervisor, child = setting.serve_supervised()
    for now in range(1, 9):
        setting.link.look(now * SECOND, supervisor)
    setting.submit(1)
    setting.link.hand_out()
    for now in range(11, 19):
        setting.link.look(now * SECOND, supervisor)
        setting.link.take_hello(INIT)
    assert child.verdict is None


def test_a_successor_that_hangs_over_its_classes_is_replaced_and_a_first_store_may_take_its_time() -> None:
    setting = Setting()
    supervisor = Supervisor(FakeNursery(), 1, no_descriptors)
    first = supervisor.start(Role.STORE, 0.0)
    setting.greet(first)
    for now in (1, 1000):
        setting.link.look(now * SECOND, supervisor)
    assert first.verdict is None
    setting.link.serve()
    setting.link.died(first, -9)
    second = supervisor.start(Role.STORE, 1001.0)
    setting.greet(second)
    for now in (1001, 1061):
        setting.link.look(now * SECOND, supervisor)
    assert second.verdict is None
    setting.link.look(1062 * SECOND, supervisor)
    assert second.verdict is not None
