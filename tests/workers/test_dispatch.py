"""Every accepted call is in one place, is handed out fairly and in small portions, and is answered once."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.workers.fakes import Listener, make_reply, make_ticket
from workers.dispatch import HORIZON, MOST_AHEAD, STALL, TICKET, Dispatcher, Lane, Ticket
from workers.frames import Reply


def make_dispatcher(*lanes: str, cap: int = 100) -> Dispatcher:
    dispatcher = Dispatcher(cap)
    for name in lanes:
        dispatcher.add_lane(name)
    return dispatcher


def submit(dispatcher: Dispatcher, count: int, target: str = "add") -> list[Ticket]:
    tickets = [make_ticket(dispatcher.next_seq(), target) for _ in range(count)]
    for ticket in tickets:
        dispatcher.submit(ticket)
    return tickets


def measure(dispatcher: Dispatcher, target: str, elapsed: int) -> None:
    """Have a handler measured by one call on a lane that has nothing else to do."""
    (ticket,) = submit(dispatcher, 1, target)
    ((lane, _),) = dispatcher.assign()
    dispatcher.done(lane, [make_reply(ticket.seq, elapsed)])


def handed_out(dispatcher: Dispatcher) -> dict[str, list[int]]:
    return {lane.name: [ticket.seq for ticket in batch] for lane, batch in dispatcher.assign()}


# Handing out


def test_numbers_begin_above_zero_which_means_no_call() -> None:
    assert Dispatcher(1).next_seq() == 1


def test_a_handler_that_was_never_measured_gets_an_idle_worker_to_itself() -> None:
    dispatcher = make_dispatcher("a", "b")
    first, second, third = submit(dispatcher, 3)
    assert handed_out(dispatcher) == {"a": [first.seq], "b": [second.seq]}
    assert handed_out(dispatcher) == {}
    assert [*dispatcher.queue] == [third]


def test_quick_calls_are_shared_out_equally_and_in_order() -> None:
    dispatcher = make_dispatcher("a", "b", "c")
    measure(dispatcher, "add", 1000)
    seqs = [ticket.seq for ticket in submit(dispatcher, 10)]
    assert sorted(map(len, handed_out(dispatcher).values())) == [3, 3, 4]
    assert sorted(seq for lane in dispatcher.lanes.values() for seq in lane.assigned) == seqs
    assert all([*lane.assigned] == sorted(lane.assigned) for lane in dispatcher.lanes.values())


def test_the_least_loaded_worker_comes_first() -> None:
    dispatcher = make_dispatcher("a", "b")
    measure(dispatcher, "add", 1000)
    submit(dispatcher, 1)
    (busy,) = handed_out(dispatcher)
    submit(dispatcher, 1)
    (idle,) = handed_out(dispatcher)
    assert {busy, idle} == {"a", "b"}


def test_no_more_than_the_horizon_lies_ahead_of_a_worker() -> None:
    dispatcher = make_dispatcher("a")
    measure(dispatcher, "add", HORIZON // 4)
    submit(dispatcher, 9)
    assert len(handed_out(dispatcher)["a"]) == 4
    assert handed_out(dispatcher) == {}


def test_a_slow_call_is_never_put_behind_others() -> None:
    dispatcher = make_dispatcher("a")
    measure(dispatcher, "add", 1000)
    measure(dispatcher, "slow", HORIZON * 5)
    (quick,) = submit(dispatcher, 1)
    (slow,) = submit(dispatcher, 1, "slow")
    assert handed_out(dispatcher) == {"a": [quick.seq]}
    dispatcher.done(dispatcher.lanes["a"], [make_reply(quick.seq)])
    assert handed_out(dispatcher) == {"a": [slow.seq]}


def test_calls_that_take_no_time_are_bounded_by_number() -> None:
    dispatcher = make_dispatcher("a")
    measure(dispatcher, "add", 0)
    submit(dispatcher, MOST_AHEAD + 5)
    assert len(handed_out(dispatcher)["a"]) == MOST_AHEAD
    assert handed_out(dispatcher) == {}


def test_what_a_handler_took_is_followed_slowly() -> None:
    dispatcher = make_dispatcher("a")
    measure(dispatcher, "add", 80_000)
    measure(dispatcher, "add", 0)
    submit(dispatcher, 1)
    dispatcher.assign()
    assert dispatcher.lanes["a"].ahead == 70_000


def test_a_retired_worker_gets_nothing_more() -> None:
    dispatcher = make_dispatcher("a")
    dispatcher.lanes["a"].retired = True
    submit(dispatcher, 1)
    assert dispatcher.assign() == []
    assert not dispatcher.free
    assert dispatcher.serving == 0


# Being stuck, and waiting


def stuck_lane(dispatcher: Dispatcher, behind: int) -> tuple[Lane, list[int]]:
    """Return a lane whose first call runs, and the seqs of all that it was given."""
    measure(dispatcher, "add", 1000)
    seqs = [ticket.seq for ticket in submit(dispatcher, behind + 1)]
    ((lane, _),) = dispatcher.assign()
    return lane, seqs


def test_what_a_stuck_worker_has_not_begun_runs_elsewhere_before_anything_newer() -> None:
    dispatcher = make_dispatcher("a")
    lane, (running, *behind) = stuck_lane(dispatcher, 3)
    (newer,) = submit(dispatcher, 1)
    dispatcher.give_back(lane, behind)
    dispatcher.add_lane("b")
    assert handed_out(dispatcher) == {"b": [*behind, newer.seq]}
    assert [*lane.assigned] == [running]


def test_a_stuck_worker_gets_nothing_until_it_has_answered() -> None:
    dispatcher = make_dispatcher("a")
    lane, (running, *behind) = stuck_lane(dispatcher, 2)
    dispatcher.give_back(lane, behind)
    assert dispatcher.assign() == []
    dispatcher.done(lane, [make_reply(running)])
    assert handed_out(dispatcher) == {"a": behind}


def test_a_worker_that_answered_all_it_had_before_the_rest_was_taken_back_goes_on() -> None:
    dispatcher = make_dispatcher("a")
    lane, (running,) = stuck_lane(dispatcher, 0)
    dispatcher.done(lane, [make_reply(running)])
    dispatcher.give_back(lane, [])
    (next_one,) = submit(dispatcher, 1)
    assert handed_out(dispatcher) == {"a": [next_one.seq]}


def test_a_worker_that_waits_for_the_host_is_held_until_its_call_is_done() -> None:
    dispatcher = make_dispatcher("a")
    lane, (running,) = stuck_lane(dispatcher, 0)
    dispatcher.wait(lane)
    submit(dispatcher, 1)
    assert (dispatcher.waiting, dispatcher.serving, dispatcher.free) == (1, 0, False)
    dispatcher.resume(lane)
    assert dispatcher.waiting == 0
    assert dispatcher.assign() == []
    dispatcher.done(lane, [make_reply(running)])
    assert dispatcher.assign() != []


def test_a_question_that_outlives_its_call_does_not_keep_the_worker() -> None:
    dispatcher = make_dispatcher("a")
    lane, (running,) = stuck_lane(dispatcher, 0)
    dispatcher.wait(lane)
    dispatcher.done(lane, [make_reply(running)])
    assert not dispatcher.free
    dispatcher.resume(lane)
    assert dispatcher.free


def test_past_the_cap_on_depth_nothing_is_handed_out() -> None:
    dispatcher = make_dispatcher("a", "b", cap=1)
    lane, _ = stuck_lane(dispatcher, 0)
    dispatcher.wait(lane)
    assert dispatcher.too_deep
    submit(dispatcher, 1)
    assert dispatcher.assign() == []
    dispatcher.resume(lane)
    assert dispatcher.assign() != []


# Settling


def test_an_answer_that_comes_twice_counts_once() -> None:
    dispatcher = make_dispatcher("a")
    lane, (running,) = stuck_lane(dispatcher, 0)
    reply = make_reply(running)
    assert [ticket.seq for ticket, _ in dispatcher.done(lane, [reply, reply])] == [running]
    assert dispatcher.done(lane, [reply]) == []
    assert dispatcher.pending == 0


def test_a_dead_worker_is_forgotten_with_what_it_had() -> None:
    dispatcher = make_dispatcher("a", "b")
    (died,) = submit(dispatcher, 1)
    ((lane, _),) = dispatcher.assign()
    assert dispatcher.gone(lane) == [died]
    assert lane.name not in dispatcher.lanes
    assert (dispatcher.pending, dispatcher.held_bytes) == (0, 0)


def test_what_a_dead_store_was_not_sent_waits_for_its_successor() -> None:
    dispatcher = make_dispatcher()
    sent, unsent = make_ticket(1), make_ticket(2)
    dispatcher.submit_to_store(sent)
    dispatcher.for_store.clear()
    dispatcher.submit_to_store(unsent)
    assert dispatcher.store_gone() == [sent]
    assert dispatcher.for_store == [unsent]
    assert dispatcher.done_in_store([make_reply(1), make_reply(2)]) == [(unsent, make_reply(2))]


# Every order of events


@dataclass
class Process:
    """A worker that honours its claims, without a process."""

    lane: Lane
    claims: deque[int] = field(default_factory=deque)
    running: int = 0
    done: list[Reply] = field(default_factory=list)
    settled: list[Reply] = field(default_factory=list)
    pinged: bool = False


class AnyOrder(RuleBasedStateMachine):
    """The dispatcher between a host that submits, workers that live and die, and a store likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = Dispatcher(callback_cap=2)
        self.callers = [Listener(), Listener()]
        self.tickets: dict[int, Ticket] = {}
        self.answered: Counter[int] = Counter()
        self.begun: Counter[int] = Counter()
        self.processes: list[Process] = []
        self.in_store: set[int] = set()
        self.births = 0
        self.abandoned = False

    @initialize(count=st.integers(1, 3))
    def start(self, count: int) -> None:
        for _ in range(count):
            self.add_lane()

    def _pick(self, data: Any, processes: list[Process]) -> Process:
        picked: int = data.draw(st.sampled_from(range(len(processes))))
        return processes[picked]

    def _new_ticket(self, target: str, caller: int, size: int) -> Ticket:
        seq = self.dispatcher.next_seq()
        assert seq not in self.tickets
        self.tickets[seq] = make_ticket(seq, target, self.callers[caller], params=b"x" * size)
        return self.tickets[seq]

    def _answer(self, tickets: list[Ticket]) -> None:
        self.answered.update(ticket.seq for ticket in tickets)

    def _settle(self, process: Process, replies: list[Reply]) -> None:
        self._answer([ticket for ticket, _ in self.dispatcher.done(process.lane, replies)])
        process.settled += replies

    @rule(handler=st.sampled_from("abc"), caller=st.integers(0, 1), size=st.integers(0, 9), count=st.integers(1, 20))
    def submit(self, handler: str, caller: int, size: int, count: int) -> None:
        for _ in range(count):
            self.dispatcher.submit(self._new_ticket(handler, caller, size))

    @rule()
    def assign(self) -> None:
        open_before = {process.lane.name: process.lane.ahead for process in self.processes if process.lane.has_room}
        queued = len(self.dispatcher.queue)
        for lane, batch in self.dispatcher.assign():
            assert lane.name in open_before
            assert open_before[lane.name] == min(open_before.values())
            assert len(batch) <= -(-queued // len(open_before))
            del open_before[lane.name]
            queued -= len(batch)
            process = next(each for each in self.processes if each.lane is lane)
            process.claims += [ticket.seq for ticket in batch]

    @precondition(lambda self: any(process.claims and not process.running for process in self.processes))
    @rule(data=st.data())
    def begin(self, data: Any) -> None:
        process = self._pick(data, [each for each in self.processes if each.claims and not each.running])
        process.running = process.claims.popleft()
        self.begun[process.running] += 1

    @precondition(lambda self: any(process.running for process in self.processes))
    @rule(data=st.data(), elapsed=st.sampled_from([0, 100, HORIZON // 3, HORIZON, HORIZON * 9]))
    def finish(self, data: Any, elapsed: int) -> None:
        process = self._pick(data, [each for each in self.processes if each.running])
        process.done.append(make_reply(process.running, elapsed))
        process.running = 0

    @precondition(lambda self: any(process.done for process in self.processes))
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: Any, again: bool) -> None:
        process = self._pick(data, [each for each in self.processes if each.done])
        replies, process.done = process.done, []
        before = self.answered.copy()
        self._settle(process, replies)
        assert self.answered - before == Counter(
            reply.seq for reply in replies if reply.seq in self.tickets and not before[reply.seq]
        )
        if again:
            assert self.dispatcher.done(process.lane, process.settled) == []

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def take_back(self, data: Any) -> None:
        process = self._pick(data, self.processes)
        is_dumb = bool(process.claims) and not process.running and not process.done
        self._take_back(process)
        if is_dumb:
            process.lane.held = process.pinged = True

    def _take_back(self, process: Process) -> None:
        replies, process.done = process.done, []
        self._settle(process, replies)
        self.dispatcher.give_back(process.lane, [*process.claims])
        process.claims.clear()

    @precondition(lambda self: any(process.pinged for process in self.processes))
    @rule(data=st.data())
    def hello(self, data: Any) -> None:
        process = self._pick(data, [each for each in self.processes if each.pinged])
        process.pinged = False
        process.lane.held = process.lane.waiting > 0

    @precondition(lambda self: any(process.running for process in self.processes))
    @rule(data=st.data())
    def ask(self, data: Any) -> None:
        process = self._pick(data, [each for each in self.processes if each.running])
        if process.running in process.lane.assigned:
            self.dispatcher.wait(process.lane)
            self._take_back(process)

    @precondition(lambda self: any(process.lane.waiting for process in self.processes))
    @rule(data=st.data())
    def host_answers(self, data: Any) -> None:
        self.dispatcher.resume(self._pick(data, [each for each in self.processes if each.lane.waiting]).lane)

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def retire(self, data: Any) -> None:
        process = self._pick(data, self.processes)
        process.lane.retired = True
        self._take_back(process)

    @precondition(lambda self: self.processes)
    @rule(data=st.data())
    def die(self, data: Any) -> None:
        process = self._pick(data, self.processes)
        self._take_back(process)
        died = self.dispatcher.gone(process.lane)
        assert [ticket.seq for ticket in died] in ([], [process.running])
        self._answer(died)
        self.processes.remove(process)

    @precondition(lambda self: len(self.processes) < 4)
    @rule()
    def add_lane(self) -> None:
        self.births += 1
        self.processes.append(Process(self.dispatcher.add_lane(f"worker-{self.births}")))

    @rule(caller=st.integers(0, 1), size=st.integers(0, 9))
    def submit_to_store(self, caller: int, size: int) -> None:
        self.dispatcher.submit_to_store(self._new_ticket("object", caller, size))

    @rule()
    def send_to_store(self) -> None:
        self.in_store.update(ticket.seq for ticket in self.dispatcher.for_store)
        self.dispatcher.for_store.clear()

    @precondition(lambda self: self.in_store)
    @rule(data=st.data(), again=st.booleans())
    def store_answers(self, data: Any, again: bool) -> None:
        replies = [make_reply(data.draw(st.sampled_from(sorted(self.in_store))))]
        self._answer([ticket for ticket, _ in self.dispatcher.done_in_store(replies)])
        if again:
            assert self.dispatcher.done_in_store(replies) == []
        self.in_store.difference_update(reply.seq for reply in replies)

    @rule()
    def store_gone(self) -> None:
        died = self.dispatcher.store_gone()
        assert {ticket.seq for ticket in died} == {seq for seq in self.in_store if not self.answered[seq]}
        self._answer(died)
        self.in_store.clear()

    @precondition(lambda self: len(self.tickets) > 30)
    @rule()
    def abandon(self) -> None:
        self._answer(self.dispatcher.abandon())
        self.abandoned = True
        assert self.dispatcher.pending == 0

    @invariant()
    def each_call_is_in_one_place_until_it_is_answered_and_then_nowhere(self) -> None:
        dispatcher = self.dispatcher
        places = Counter(ticket.seq for ticket in dispatcher.queue)
        places.update(dispatcher.in_store.keys())
        for lane in dispatcher.lanes.values():
            places.update(lane.assigned.keys())
        assert places == Counter(seq for seq in self.tickets if not self.answered[seq])
        assert dispatcher.pending == places.total()
        assert {ticket.seq for ticket in dispatcher.for_store} <= dispatcher.in_store.keys()
        assert dispatcher.held_bytes == sum(len(self.tickets[seq].params) + TICKET for seq in places)

    @invariant()
    def nothing_is_answered_or_begun_twice(self) -> None:
        assert max(self.answered.values(), default=0) <= 1
        assert max(self.begun.values(), default=0) <= 1

    @invariant()
    def the_horizon_is_respected(self) -> None:
        for process in self.processes:
            lane = process.lane
            assert len(lane.assigned) <= MOST_AHEAD
            behind = [ticket.estimate for ticket in lane.assigned.values()][1:]
            assert sum(behind) <= (2 * HORIZON if len(behind) == 1 else HORIZON)

    @invariant()
    def a_worker_without_work_is_free_unless_something_is_expected_of_it(self) -> None:
        for process in self.processes:
            lane = process.lane
            if lane.held and lane.idle and not lane.retired:
                assert lane.waiting or process.pinged or self.abandoned


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(stateful_step_count=60, max_examples=150, deadline=None)


def test_calls_behind_as_many_waiting_ones_as_may_wait_are_given_up_after_a_while() -> None:
    dispatcher = Dispatcher(1)
    lane = dispatcher.add_lane("worker-1")
    first, second = submit(dispatcher, 2)
    dispatcher.assign()
    dispatcher.wait(lane)
    assert dispatcher.give_up_stalled(1) == []
    assert dispatcher.give_up_stalled(STALL) == []
    assert dispatcher.give_up_stalled(STALL + 1) == [second]
    assert list(lane.assigned.values()) == [first]


def test_an_answer_of_the_host_gives_queued_calls_more_time() -> None:
    dispatcher = Dispatcher(1)
    lane = dispatcher.add_lane("worker-1")
    _, second = submit(dispatcher, 2)
    dispatcher.assign()
    dispatcher.wait(lane)
    assert dispatcher.give_up_stalled(1) == []
    dispatcher.resume(lane)
    dispatcher.wait(lane)
    assert dispatcher.give_up_stalled(STALL + 1) == []
    assert dispatcher.give_up_stalled(2 * STALL + 1) == [second]


def test_workers_in_long_calls_count_as_hogged_only_while_short_calls_wait() -> None:
    dispatcher = Dispatcher(1)
    lane = dispatcher.add_lane("worker-1")
    measure(dispatcher, "short", 1000)
    submit(dispatcher, 1, "long")
    dispatcher.assign()
    lane.held = True
    assert dispatcher.hogged == 0
    submit(dispatcher, 1, "long")
    assert dispatcher.hogged == 0
    submit(dispatcher, 1, "short")
    assert dispatcher.hogged == 1


def test_a_worker_that_is_given_a_long_call_has_no_room_from_then_on() -> None:
    dispatcher = Dispatcher(1)
    dispatcher.add_lane("worker-1")
    measure(dispatcher, "long", 50 * HORIZON)
    measure(dispatcher, "short", 1000)
    had_room = dispatcher.free
    submit(dispatcher, 1, "long")
    submit(dispatcher, 1, "short")
    dispatcher.assign()
    assert (had_room, dispatcher.free) == (True, False)
    assert dispatcher.hogged == 1


def test_one_call_of_ordinary_length_lies_behind_the_running_one_and_no_more() -> None:
    dispatcher = Dispatcher(1)
    lane = dispatcher.add_lane("worker-1")
    measure(dispatcher, "some", HORIZON * 3 // 2)
    submit(dispatcher, 4, "some")
    for _ in range(3):
        dispatcher.assign()
    assert len(lane.assigned) == 2
