"""Every accepted call is in one place, is handed out fairly and in small portions, and is answered once."""

from __future__ import annotations

from tests.workers.fakes import make_reply, make_ticket
from workers.calls.dispatch import MOST_AHEAD, STALL, Dispatcher
from workers.calls.lanes import HORIZON, Lane
from workers.calls.tickets import Ticket


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


def test_a_parked_worker_is_out_of_all_that_is_looked_at_and_counts_towards_no_depth() -> None:
    dispatcher = make_dispatcher("a", "b", cap=1)
    lane, (running,) = stuck_lane(dispatcher, 0)
    dispatcher.park(lane, running, 100)
    assert (dispatcher.parked, dispatcher.waiting, dispatcher.too_deep) == (1, 0, False)
    assert {*dispatcher.active} == {*dispatcher.lanes} - {lane.name}
    assert dispatcher.serving == 1
    (other,) = submit(dispatcher, 1)
    ((taken, _),) = dispatcher.assign()
    assert taken is not lane
    dispatcher.done(taken, [make_reply(other.seq)])


def test_the_time_for_which_a_call_was_parked_is_not_part_of_its_measured_time() -> None:
    dispatcher = make_dispatcher("a")
    lane, (running,) = stuck_lane(dispatcher, 0)
    for since, until in ((100, 300), (400, 450)):
        dispatcher.park(lane, running, since)
        dispatcher.park(lane, running, since + 10)
        dispatcher.unpark(lane, until - 10)
        dispatcher.unpark(lane, until)
    assert (dispatcher.parked, lane.parked_for, {*dispatcher.active}) == (0, 250, {"a"})
    assert dispatcher.assign() == []
    dispatcher.done(lane, [make_reply(running, 1250)])
    assert lane.parked_for == 0
    submit(dispatcher, 1)
    dispatcher.assign()
    assert lane.ahead < HORIZON


def test_a_parked_call_needs_its_parameters_no_more() -> None:
    dispatcher = make_dispatcher("a")
    ticket = make_ticket(dispatcher.next_seq(), params=b"x" * 1000)
    dispatcher.submit(ticket)
    ((lane, _),) = dispatcher.assign()
    held = dispatcher.held_bytes
    dispatcher.park(lane, ticket.seq, 1)
    assert dispatcher.held_bytes == held - 1000
    dispatcher.done(lane, [make_reply(ticket.seq)])
    assert dispatcher.held_bytes == 0


def test_a_parked_worker_that_dies_is_not_counted_any_more() -> None:
    dispatcher = make_dispatcher("a")
    lane, (running,) = stuck_lane(dispatcher, 0)
    dispatcher.park(lane, running, 1)
    assert [ticket.seq for ticket in dispatcher.gone(lane)] == [running]
    assert (dispatcher.parked, dispatcher.active, dispatcher.lanes) == (0, {}, {})
    dispatcher.unpark(lane, 2)
    assert (dispatcher.parked, dispatcher.active) == (0, {})


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
    (shard,) = dispatcher.shards.all
    sent, unsent = make_ticket(1), make_ticket(2)
    dispatcher.submit_to_store(sent)
    shard.unsent.clear()
    dispatcher.submit_to_store(unsent)
    assert dispatcher.store_gone(shard) == [sent]
    assert shard.unsent == [unsent]
    assert dispatcher.done_in_store(shard, [make_reply(1), make_reply(2)]) == [(unsent, make_reply(2))]


def stalled() -> tuple[Dispatcher, Lane, Ticket, Ticket]:
    """Return a call that waits, as many as may, and one behind it, whose time begins now."""
    dispatcher = Dispatcher(1)
    lane = dispatcher.add_lane("worker-1")
    first, second = submit(dispatcher, 2)
    dispatcher.assign()
    dispatcher.wait(lane)
    assert not dispatcher.stalls(1)
    return dispatcher, lane, first, second


def test_calls_behind_as_many_waiting_ones_as_may_wait_are_given_up_after_a_while() -> None:
    dispatcher, lane, first, second = stalled()
    assert not dispatcher.stalls(STALL)
    assert dispatcher.stalls(STALL + 1)
    assert dispatcher.give_up_queued() == [second]
    assert list(lane.assigned.values()) == [first]


def test_an_answer_of_the_host_gives_queued_calls_more_time() -> None:
    dispatcher, lane, _, second = stalled()
    dispatcher.resume(lane)
    dispatcher.wait(lane)
    assert not dispatcher.stalls(STALL + 1)
    assert dispatcher.stalls(2 * STALL + 1)
    assert dispatcher.give_up_queued() == [second]


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
