"""Whatever happens in whatever order: each call is in one place, begun by one worker, and answered once."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.workers.fakes import Listener, make_reply, make_ticket
from workers.calls.dispatch import MOST_AHEAD, STALL, TICKET, Dispatcher
from workers.calls.lanes import HORIZON, Lane
from workers.calls.shards import Everywhere
from workers.calls.tickets import Ticket
from workers.frames import Kind, Reply


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
        self.dispatcher = Dispatcher(callback_cap=2, object_stores=2)
        for birth, shard in enumerate(self.dispatcher.shards.all, 1):
            self.dispatcher.shards.born(shard, birth)
        self.callers = [Listener(), Listener()]
        self.tickets: dict[int, Ticket] = {}
        self.answered: Counter[int] = Counter()
        self.begun: Counter[int] = Counter()
        self.processes: list[Process] = []
        self.in_stores: list[set[int]] = [set(), set()]
        self.forgets: list[list[int]] = []
        self.births = 0
        self.now = 0
        self.abandoned = False

    @initialize(count=st.integers(1, 3))
    def start(self, count: int) -> None:
        for _ in range(count):
            self.add_lane()

    def _pick(self, data: Any, processes: list[Process]) -> Process:
        picked: int = data.draw(st.sampled_from(range(len(processes))))
        return processes[picked]

    def _new_ticket(self, target: str, caller: int, size: int, kind: Kind = Kind.FUNCTION) -> Ticket:
        seq = self.dispatcher.next_seq()
        assert seq not in self.tickets
        self.tickets[seq] = make_ticket(seq, target, self.callers[caller], params=b"x" * size, kind=kind)
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
        process.lane.held = process.lane.asks

    @precondition(lambda self: any(process.running for process in self.processes))
    @rule(data=st.data())
    def ask(self, data: Any) -> None:
        process = self._pick(data, [each for each in self.processes if each.running])
        if process.running in process.lane.assigned:
            self.dispatcher.wait(process.lane)
            self._take_back(process)

    @precondition(lambda self: any(process.running for process in self.processes))
    @rule(data=st.data())
    def block(self, data: Any) -> None:
        process = self._pick(data, [each for each in self.processes if each.running])
        if process.running in process.lane.assigned:
            self.now += 1
            self.dispatcher.park(process.lane, process.running, self.now)
            self._take_back(process)

    @precondition(lambda self: any(process.lane.parked for process in self.processes))
    @rule(data=st.data())
    def go_on(self, data: Any) -> None:
        self.now += 1
        self.dispatcher.unpark(self._pick(data, [each for each in self.processes if each.lane.parked]).lane, self.now)

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
        self._bury(self._pick(data, self.processes))

    def _bury(self, process: Process) -> None:
        owes = process.running in process.lane.assigned
        self._take_back(process)
        died = self.dispatcher.gone(process.lane)
        assert [ticket.seq for ticket in died] == ([process.running] if owes else [])
        self._answer(died)
        self.processes.remove(process)

    @precondition(lambda self: any(process.running for process in self.processes))
    @rule(data=st.data())
    def time_out(self, data: Any) -> None:
        process = self._pick(data, [each for each in self.processes if each.running])
        too_late = make_reply(process.running)
        self._bury(process)
        assert self.dispatcher.done(process.lane, [too_late, *process.settled]) == []

    @rule(long=st.booleans())
    def give_up_what_is_stalled(self, long: bool) -> None:
        self.now += STALL if long else 1
        queued, deep = [ticket.seq for ticket in self.dispatcher.queue], self.dispatcher.too_deep
        if self.dispatcher.stalls(self.now):
            assert deep
            assert [ticket.seq for ticket in self.dispatcher.give_up_queued()] == queued
            self.answered.update(queued)

    @precondition(lambda self: len(self.processes) < 4)
    @rule()
    def add_lane(self) -> None:
        self.births += 1
        self.processes.append(Process(self.dispatcher.add_lane(f"worker-{self.births}")))

    @rule(caller=st.integers(0, 1), size=st.integers(0, 9), name=st.sampled_from(("1.a", "2.a", "3.a", "?")))
    def submit_to_store(self, caller: int, size: int, name: str) -> None:
        self.dispatcher.submit_to_store(self._new_ticket(name, caller, size, Kind.METHOD))

    @rule(caller=st.integers(0, 1))
    def submit_to_all_stores(self, caller: int) -> None:
        """Accept one call, which becomes one for each store, and is answered once."""
        self.dispatcher.submit_to_all_stores(make_ticket(0, "", self.callers[caller], kind=Kind.FORGET))
        parts = [shard.unsent[-1] for shard in self.dispatcher.shards.all]
        self.tickets.update((part.seq, part) for part in parts)
        self.forgets.append([part.seq for part in parts])

    def _answer_in_store(self, tickets: list[Ticket]) -> None:
        self._answer(tickets)
        for ticket in tickets:
            if isinstance(ticket.caller, Everywhere):
                ticket.caller.answer(ticket, False, b"null")

    @rule(store=st.integers(0, 1))
    def send_to_store(self, store: int) -> None:
        unsent = self.dispatcher.shards.all[store].unsent
        self.in_stores[store].update(ticket.seq for ticket in unsent)
        unsent.clear()

    @precondition(lambda self: any(self.in_stores))
    @rule(data=st.data(), again=st.booleans())
    def store_answers(self, data: Any, again: bool) -> None:
        store = data.draw(st.sampled_from([index for index, sent in enumerate(self.in_stores) if sent]))
        shard, sent = self.dispatcher.shards.all[store], self.in_stores[store]
        replies = [make_reply(data.draw(st.sampled_from(sorted(sent))))]
        self._answer_in_store([ticket for ticket, _ in self.dispatcher.done_in_store(shard, replies)])
        if again:
            assert self.dispatcher.done_in_store(shard, replies) == []
        sent.difference_update(reply.seq for reply in replies)

    @rule(store=st.integers(0, 1))
    def store_gone(self, store: int) -> None:
        died = self.dispatcher.store_gone(self.dispatcher.shards.all[store])
        assert {ticket.seq for ticket in died} == {seq for seq in self.in_stores[store] if not self.answered[seq]}
        self._answer_in_store(died)
        self.in_stores[store].clear()

    @rule(caller=st.integers(0, 1), from_workers=st.booleans())
    def caller_goes_away(self, caller: int, from_workers: bool) -> None:
        gone = self.callers[caller]
        for process in self.processes if from_workers else ():
            if any(ticket.caller is gone for ticket in process.lane.assigned.values()):
                self._take_back(process)
        unsent = {ticket.seq for shard in self.dispatcher.shards.all for ticket in shard.unsent}
        others = [ticket.seq for ticket in self.dispatcher.queue if ticket.caller is not gone]
        withdrawn = self.dispatcher.withdraw(gone)
        assert all(ticket.caller is gone for ticket in withdrawn)
        assert not any(self.begun[ticket.seq] for ticket in withdrawn)
        assert {ticket.seq for ticket in withdrawn}.isdisjoint(self.in_stores[0] | self.in_stores[1])
        assert [ticket.seq for ticket in self.dispatcher.queue] == others
        assert not any(self.tickets[seq].caller is gone for seq in unsent if self.dispatcher.shards.find(seq))
        if from_workers:
            left = [seq for lane in self.dispatcher.lanes.values() for seq in lane.assigned]
            assert all(self.begun[seq] for seq in left if self.tickets[seq].caller is gone)
        self._answer(withdrawn)

    @precondition(lambda self: len(self.tickets) > 30)
    @rule()
    def abandon(self) -> None:
        self._answer_in_store(self.dispatcher.abandon())
        self.abandoned = True
        assert self.dispatcher.pending == 0

    @invariant()
    def each_call_is_in_one_place_until_it_is_answered_and_then_nowhere(self) -> None:
        dispatcher = self.dispatcher
        places = Counter(ticket.seq for ticket in dispatcher.queue)
        for shard in dispatcher.shards.all:
            places.update(shard.calls.keys())
        for lane in dispatcher.lanes.values():
            places.update(lane.assigned.keys())
        assert places == Counter(seq for seq in self.tickets if not self.answered[seq])
        assert dispatcher.pending == places.total()
        for shard in dispatcher.shards.all:
            assert {ticket.seq for ticket in shard.unsent} <= shard.calls.keys()
        assert dispatcher.held_bytes == sum(len(self.tickets[seq].params) + TICKET for seq in places)

    @invariant()
    def what_all_stores_do_is_answered_when_the_last_has_done_it(self) -> None:
        done = sum(all(self.answered[seq] for seq in parts) for parts in self.forgets)
        assert sum(len(caller.answers) for caller in self.callers) == done

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
                assert lane.asks or process.pinged or self.abandoned

    @invariant()
    def lanes_are_counted_by_what_they_wait_for(self) -> None:
        dispatcher = self.dispatcher
        lanes = dispatcher.lanes.values()
        assert dispatcher.waiting == sum(lane.waiting > 0 for lane in lanes)
        assert dispatcher.parked == sum(lane.parked > 0 for lane in lanes)
        assert {*dispatcher.active} == {lane.name for lane in lanes if not lane.parked}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(stateful_step_count=60, max_examples=150, deadline=None)
