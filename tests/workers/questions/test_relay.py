"""Questions of running calls reach the host or the store, answers the thread that asked; strangers get nothing."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import msgspec
import pytest

from scriptling.errors import ErrorCode, RpcError
from scriptling.protocol.jsonrpc import parse
from tests.workers.fakes import make_reply
from workers import frames
from workers.calls.dispatch import Dispatcher
from workers.calls.lanes import Lane
from workers.calls.tickets import Ticket
from workers.frames import Answer, Ask, Flag, Kind, Log, Reply, Want
from workers.front_end.service import Gone, Service
from workers.front_end.session import Session
from workers.questions.relay import Loss, Question, Relay
from workers.questions.responders import HostResponder, StoreResponder

KEY = "0123456789abcdef"
VALUE = b'{"type":"int","value":5}'


class Others:
    """What calls block on: keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.withdrawn: list[Question] = []
        self.dropped: list[str] = []

    def ask(self, question: Question, ask: Ask) -> None:
        if ask.target == "raise":
            raise LookupError(ask.target)
        self.asked.append(question)

    def withdraw(self, question: Question) -> None:
        self.withdrawn.append(question)

    def drop(self, loss: Loss) -> None:
        self.dropped.append(loss.child)


class Setting:
    """A relay between one worker with a running call, a store with one, and a host."""

    def __init__(self, cap: int = 10) -> None:
        self.dispatcher = Dispatcher(cap)
        self.told: list[Any] = []
        self.answers: list[tuple[bytes, Answer]] = []
        self.session = self.another_session()
        self.session.open()
        self.logged: list[tuple[int, bytes]] = []
        self.now = 0
        self.relay = Relay(
            self.dispatcher, KEY, self._take, lambda *record: self.logged.append(record), lambda: self.now, 3
        )
        store = StoreResponder(self.relay, self.dispatcher)
        self.others = Others()
        self.relay.responders.update({
            Want.CALLBACK: HostResponder(self.relay), Want.METHOD: store, Want.ADOPT: store, Want.SYNC: self.others,
        })  # fmt: skip
        for child in ("worker-1", "worker-2", "store-1", "setup-1"):
            self.relay.admit(child)
        self.lane = self.run_in("worker-1")
        self.seq = next(iter(self.lane.assigned))

    def another_session(self) -> Session:
        service = Service(self.dispatcher, lambda: None, 0.0)
        return Session(service, lambda message: self.told.append(json.loads(message)), Flag.CALLBACKS)

    def _take(self, route: bytes, frame: bytes) -> None:
        self.answers.append((route, frames.decode_answer(frame)))

    def run_in(self, name: str) -> Lane:
        lane = self.dispatcher.add_lane(name)
        self.dispatcher.submit(self.ticket())
        self.dispatcher.assign()
        return lane

    def run_in_store(self) -> int:
        ticket = self.ticket()
        self.dispatcher.submit_to_store(ticket)
        self.dispatcher.shards.all[0].unsent.clear()
        return ticket.seq

    def ticket(self) -> Ticket:
        seq = self.dispatcher.next_seq()
        return Ticket(seq, self.session, Kind.FUNCTION, "f", "", b"{}", Flag.CALLBACKS | Flag.BIG_INTEGERS, 2.5, b"1")

    def ask(
        self,
        want: Want = Want.CALLBACK,
        target: str = "cb-1",
        route: bytes = b"route",
        child: str = "worker-1",
        seq: int | None = None,
        key: str = KEY,
        patience: float | None = None,
    ) -> Lane | None:
        ask = Ask(key, child, self.seq if seq is None else seq, want, target, "get", b'{"id":"cb-1"}', patience)
        return self.relay.receive(route, frames.encode(ask))

    def host_says(self, message: dict[str, Any]) -> None:
        self.session.receive(parse(json.dumps({"jsonrpc": "2.0", **message}).encode()))

    def store_answers(self, failed: bool = False) -> None:
        (ticket,) = self.dispatcher.shards.all[0].unsent
        self.dispatcher.shards.all[0].unsent.clear()
        for settled, reply in self.dispatcher.done_in_store(
            self.dispatcher.shards.all[0], [Reply(ticket.seq, failed, VALUE, 1)]
        ):
            settled.caller.answer(settled, reply.failed, reply.payload)


def failure(answer: Answer) -> Any:
    assert answer.failed
    return json.loads(answer.payload)


def test_a_callback_goes_to_the_host_and_its_result_to_the_thread_that_asked() -> None:
    setting = Setting()
    assert setting.ask() is setting.lane
    assert setting.told == [{"jsonrpc": "2.0", "id": 1, "method": "callback.call", "params": {"id": "cb-1"}}]
    assert (setting.lane.waiting, setting.lane.held) == (1, True)
    setting.host_says({"id": 1, "result": {"type": "int", "value": 5}})
    assert [route for route, _ in setting.answers] == [b"route"]
    assert msgspec.json.decode(setting.answers[0][1].payload) == {"type": "int", "value": 5}
    assert setting.lane.waiting == 0


@pytest.mark.parametrize("answer", [{"id": 1}, {"id": 1, "result": None}])
def test_no_result_is_none(answer: dict[str, Any]) -> None:
    setting = Setting()
    setting.ask()
    setting.host_says(answer)
    assert setting.answers == [(b"route", Answer(False, b'{"type":"null"}'))]


def test_an_error_of_the_host_goes_to_the_thread_that_asked() -> None:
    setting = Setting()
    setting.ask()
    setting.host_says({"id": 1, "error": {"code": -32000, "message": "no"}})
    assert failure(setting.answers[0][1]) == {"code": -32000, "message": "no"}


def test_several_questions_of_one_call_are_told_apart() -> None:
    setting = Setting()
    for route in (b"a", b"b", b"c"):
        setting.ask(route=route)
    assert setting.lane.waiting == 3
    for number in (3, 1, 2):
        setting.host_says({"id": number, "result": {"type": "int", "value": number}})
    assert [route for route, _ in setting.answers] == [b"c", b"a", b"b"]
    assert setting.lane.waiting == 0


def test_a_second_answer_is_ignored() -> None:
    setting = Setting()
    setting.ask()
    for _ in range(2):
        setting.host_says({"id": 1, "result": None})
    assert len(setting.answers) == 1
    assert setting.lane.waiting == 0


@pytest.mark.parametrize(("target", "patience"), [("raise", None), ("wait", math.nan)])
def test_a_forged_question_that_makes_no_sense_is_refused(target: str, patience: float | None) -> None:
    setting = Setting()
    assert setting.ask(Want.SYNC, target, patience=patience) is None
    assert failure(setting.answers[0][1])["code"] == ErrorCode.INTERNAL_ERROR
    assert (setting.dispatcher.parked, setting.dispatcher.waiting, setting.dispatcher.asking) == (0, 0, set())
    assert setting.ask() is setting.lane


def test_a_callback_that_outlives_its_call_is_an_error() -> None:
    setting = Setting()
    setting.dispatcher.done(setting.lane, [make_reply(setting.seq)])
    assert setting.ask() is None
    error = failure(setting.answers[0][1])
    assert error["code"] == ErrorCode.HANDLER_ERROR
    assert error["message"] == "callback cb-1 is not attached to an active plugin call"
    assert setting.told == []


def test_a_host_that_has_gone_away_answers_at_once() -> None:
    setting = Setting()
    setting.session.close()
    setting.ask()
    assert failure(setting.answers[0][1])["code"] == ErrorCode.SHUTTING_DOWN
    assert setting.lane.waiting == 0


# The store as who is asked, and as who asks


@pytest.mark.parametrize(("want", "kind"), [(Want.METHOD, Kind.METHOD), (Want.ADOPT, Kind.ADOPT)])
def test_the_store_is_asked_like_by_a_host(want: Want, kind: Kind) -> None:
    setting = Setting()
    assert setting.ask(want, "1.abc") is setting.lane
    (ticket,) = setting.dispatcher.shards.all[0].unsent
    assert (ticket.kind, ticket.target, ticket.method, ticket.params) == (kind, "1.abc", "get", b'{"id":"cb-1"}')
    assert ticket.flags == Flag.CALLBACKS | Flag.BIG_INTEGERS
    assert ticket.timeout == 2.5
    setting.store_answers()
    assert setting.answers == [(b"route", Answer(False, VALUE))]
    assert setting.lane.waiting == 0
    assert setting.told == []


def test_an_error_of_the_store_comes_back() -> None:
    setting = Setting()
    setting.ask(Want.METHOD)
    setting.store_answers(failed=True)
    assert setting.answers == [(b"route", Answer(True, VALUE))]


def test_a_method_that_was_called_by_a_handler_may_ask_the_handlers_host() -> None:
    setting = Setting()
    setting.ask(Want.METHOD, "1.abc")
    (method,) = setting.dispatcher.shards.all[0].unsent
    assert setting.ask(child="store-1", seq=method.seq, route=b"store") is None
    setting.host_says({"id": 1, "result": None})
    assert setting.answers == [(b"store", Answer(False, b'{"type":"null"}'))]


def test_past_the_cap_on_depth_methods_are_refused_at_once() -> None:
    setting = Setting(cap=2)
    seqs = [setting.run_in_store() for _ in range(3)]
    for seq in seqs:
        setting.ask(child="store-1", seq=seq)
    assert len(setting.told) == 2
    assert failure(setting.answers[0][1])["code"] == ErrorCode.TOO_DEEP
    setting.host_says({"id": 1, "result": None})
    setting.ask(child="store-1", seq=seqs[2])
    assert len(setting.told) == 3


def test_threads_of_one_call_may_ask_any_number_of_things_at_once() -> None:
    setting = Setting(cap=2)
    for _ in range(50):
        setting.ask()
    assert len(setting.told) == 50
    assert setting.answers == []


def keep_waiting(setting: Setting, calls: int) -> None:
    """Have as many workers wait for the host, each in a call of its own."""
    setting.ask()
    for number in range(2, calls + 1):
        name = f"worker-{number}"
        setting.relay.admit(name)
        setting.ask(child=name, seq=next(iter(setting.run_in(name).assigned)))


def queue_call_of(setting: Setting, session: Session) -> None:
    setting.dispatcher.submit(Ticket(setting.dispatcher.next_seq(), session, Kind.FUNCTION, "f", "", b"{}"))


def test_a_host_that_has_most_of_those_that_wait_makes_way_for_others() -> None:
    setting = Setting(cap=4)
    keep_waiting(setting, 3)
    queue_call_of(setting, setting.another_session())
    assert setting.session.owes == 3
    assert setting.relay.make_way()
    assert [failure(answer)["code"] for _, answer in setting.answers] == [ErrorCode.TOO_DEEP] * 3
    assert (setting.dispatcher.waiting, setting.session.owes) == (0, 0)


@pytest.mark.parametrize(("waiting", "of_others"), [(3, False), (2, True)])
def test_nobody_makes_way_for_calls_of_its_own_or_without_having_most(waiting: int, of_others: bool) -> None:
    setting = Setting(cap=4)
    keep_waiting(setting, waiting)
    queue_call_of(setting, setting.another_session() if of_others else setting.session)
    assert not setting.relay.make_way()
    assert setting.answers == []


# Death


def test_late_answers_to_a_dead_worker_are_dropped() -> None:
    setting = Setting()
    setting.ask()
    setting.ask(Want.METHOD, "1.abc")
    setting.relay.drop(Loss("worker-1"))
    setting.dispatcher.gone(setting.lane)
    setting.host_says({"id": 1, "result": None})
    setting.store_answers()
    assert setting.answers == []


def test_only_the_questions_of_the_dead_are_dropped() -> None:
    setting = Setting()
    other = setting.run_in("worker-2")
    setting.ask()
    setting.ask(child="worker-2", seq=next(iter(other.assigned)), route=b"other")
    setting.relay.drop(Loss("worker-1"))
    setting.host_says({"id": 2, "result": None})
    assert [route for route, _ in setting.answers] == [b"other"]


# Questions that block on other calls


def test_a_question_that_blocks_parks_the_worker_and_does_not_count_towards_the_depth() -> None:
    setting = Setting()
    assert setting.ask(Want.SYNC, "jobs") is setting.lane
    assert (setting.lane.parked, setting.lane.waiting, setting.dispatcher.parked) == (1, 0, 1)
    setting.now = 500
    (question,) = setting.others.asked
    setting.relay.settle(question, False, b"x")
    assert setting.answers == [(b"route", Answer(False, b"x"))]
    assert (setting.dispatcher.parked, setting.lane.parked_for) == (0, 500)


def test_a_question_that_is_answered_at_once_costs_the_worker_nothing() -> None:
    setting = Setting()
    setting.others.ask = lambda question, ask: setting.relay.settle(question, False, b"x")  # type: ignore[method-assign]
    assert setting.ask(Want.SYNC, "jobs") is None
    assert setting.answers == [(b"route", Answer(False, b"x"))]
    assert setting.dispatcher.asking == set()


def test_a_question_whose_time_is_over_is_withdrawn_and_fails() -> None:
    setting = Setting()
    setting.ask(Want.SYNC, "jobs", patience=2)
    assert setting.relay.next_deadline == 2.0
    setting.relay.expire(int(1.9e9))
    assert setting.answers == []
    setting.relay.expire(int(2e9))
    assert failure(setting.answers[0][1])["code"] == ErrorCode.TIMED_OUT
    assert setting.others.withdrawn == setting.others.asked
    assert setting.dispatcher.parked == 0
    assert setting.relay.next_deadline is None


def test_no_patience_at_all_is_an_answer_at_once() -> None:
    setting = Setting()
    assert setting.ask(Want.SYNC, "jobs", patience=0) is None
    assert failure(setting.answers[0][1])["code"] == ErrorCode.TIMED_OUT


def test_a_call_without_a_host_may_ask_what_is_shared_but_no_host() -> None:
    """What ends what an owner has left runs user code too: ``__del__``."""
    made = Setting()
    made.dispatcher.submit_to_all_stores(Ticket(0, Gone(3), Kind.FORGET, "", "", b""))
    (seq,) = made.dispatcher.shards.all[0].calls
    made.ask(Want.METHOD, "1.ab", child="store-1", seq=seq)
    assert "not attached" in failure(made.answers[-1][1])["message"]
    made.ask(Want.SYNC, "queue", child="store-1", seq=seq)
    assert [question.seq for question in made.others.asked] == [seq]


def test_patience_beyond_what_a_clock_counts_is_for_ever() -> None:
    setting = Setting()
    assert setting.ask(Want.SYNC, "jobs", patience=1e300) is setting.lane
    assert setting.relay.next_deadline == pytest.approx(1e9)


def test_deadlines_of_questions_that_were_answered_are_cleared_away() -> None:
    setting = Setting()
    for _ in range(1000):
        setting.ask(Want.SYNC, "jobs", patience=100)
        setting.relay.settle(setting.others.asked[-1], False, b"")
    assert len(setting.relay._deadlines) < 100


def test_past_the_bound_the_operation_that_would_block_fails_and_nothing_else_does() -> None:
    setting = Setting()
    lanes = [setting.lane, *(setting.run_in(f"worker-{number}") for number in range(2, 5))]
    for lane in lanes:
        setting.relay.admit(lane.name)
        setting.ask(Want.SYNC, "jobs", child=lane.name, seq=next(iter(lane.assigned)))
    assert failure(setting.answers[0][1])["code"] == ErrorCode.OVERLOADED
    assert "--max-parked" in failure(setting.answers[0][1])["message"]
    assert setting.others.withdrawn == setting.others.asked[3:]
    assert setting.dispatcher.parked == 3
    assert setting.ask(Want.SYNC, "jobs") is setting.lane  # another thread of a call that is parked already


def test_the_open_question_of_a_call_that_was_answered_is_refused() -> None:
    setting = Setting()
    setting.ask(Want.SYNC, "jobs")
    setting.ask()
    setting.dispatcher.done(setting.lane, [make_reply(setting.seq)])
    setting.relay.end_orphans()
    assert [failure(answer)["code"] for _, answer in setting.answers] == [ErrorCode.HANDLER_ERROR] * 2
    assert setting.others.withdrawn == setting.others.asked
    assert (setting.dispatcher.parked, setting.dispatcher.waiting, setting.dispatcher.asking) == (0, 0, set())


def test_a_script_without_a_call_may_ask_what_is_shared_but_no_host() -> None:
    setting = Setting()
    assert setting.ask(Want.SYNC, "jobs", child="setup-1", seq=0) is None
    (question,) = setting.others.asked
    setting.relay.settle(question, False, b"x")
    setting.ask(Want.CALLBACK, child="setup-1", seq=0)
    assert setting.answers[0] == (b"route", Answer(False, b"x"))
    assert failure(setting.answers[1][1])["code"] == ErrorCode.HANDLER_ERROR


def test_one_process_may_have_so_many_threads_that_wait() -> None:
    setting = Setting()
    for _ in range(300):
        setting.ask(Want.SYNC, "jobs", child="setup-1", seq=0)
    assert len(setting.others.asked) == 256
    assert {failure(answer)["code"] for _, answer in setting.answers} == {ErrorCode.OVERLOADED}


def test_a_process_that_is_dead_or_unknown_holds_and_asks_nothing() -> None:
    setting = Setting()
    setting.ask(Want.SYNC, "jobs", child="setup-1", seq=0)
    setting.relay.drop(Loss("setup-1"))
    assert setting.others.withdrawn == setting.others.asked
    assert setting.others.dropped == ["setup-1"]
    for child in ("setup-1", "setup-2"):
        setting.ask(Want.SYNC, "jobs", child=child, seq=0)
    assert len(setting.others.asked) == 1
    assert len(setting.answers) == 2


# Log records


def test_log_records_go_to_the_host_even_if_the_call_is_over() -> None:
    setting = Setting()
    assert setting.relay.receive(b"route", frames.encode(Log(KEY, 3, b'{"message":"hello"}'))) is None
    assert setting.logged == [(3, b'{"message":"hello"}')]
    assert setting.answers == []


def test_log_records_without_the_runs_key_are_ignored() -> None:
    setting = Setting()
    setting.relay.receive(b"route", frames.encode(Log("another", 3, b"{}")))
    assert setting.logged == []


# Strangers


@pytest.mark.parametrize("key", ["", "0123456789abcdee", "schlüssel"])
def test_a_question_without_the_runs_key_is_ignored(key: str, caplog: pytest.LogCaptureFixture) -> None:
    setting = Setting()
    with caplog.at_level(logging.WARNING):
        assert setting.ask(key=key) is None
    assert (setting.told, setting.answers) == ([], [])
    assert "not a process of ours" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("data", [b"", b"\x91", b"\x98" + b"\xa3ask" + b"\xa2\xc3\x28" * 7, b"\x91" * 100_000])
def test_bytes_that_are_no_question_are_ignored(data: bytes) -> None:
    setting = Setting()
    assert setting.relay.receive(b"route", data) is None
    assert (setting.told, setting.answers) == ([], [])


def test_a_question_of_an_unknown_kind_is_ignored() -> None:
    setting = Setting()
    fields = ["ask", KEY, "worker-1", setting.seq, 99, "cb-1", "", b""]
    assert setting.relay.receive(b"route", msgspec.msgpack.encode(fields)) is None
    assert setting.lane.waiting == 0


def test_an_error_object_can_be_raised_where_the_question_came_from() -> None:
    setting = Setting()
    setting.ask(seq=999)
    error = failure(setting.answers[0][1])
    assert str(RpcError(error["code"], error["message"])) == error["message"]


def test_what_is_made_for_a_session_that_has_ended_is_left_to_a_lease() -> None:
    setting = Setting()
    setting.session.leave()
    setting.ask(Want.ADOPT, "Thing")
    (ticket,) = setting.dispatcher.shards.all[0].unsent
    assert ticket.flags & Flag.LEASED
