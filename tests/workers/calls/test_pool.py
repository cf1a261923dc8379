"""What workers are given, and what is taken from them when they are stuck."""

from __future__ import annotations

import signal

from scriptling.errors import ErrorCode
from tests.workers.calls.setting import MS, SECOND, START, Process, Setting
from tests.workers.fakes import make_reply
from workers import frames
from workers.calls.pool import STUCK
from workers.frames import Calls, Ping, Replies
from workers.nursery import Role

# In service


def test_a_worker_is_told_what_is_served_before_anything_else() -> None:
    made = Setting(0)
    early = made.be_born()
    late = made.be_born()
    assert [type(frame) for frame in made.sent_to(early)] == [frames.Started]
    assert [type(frame) for frame in made.sent_to(late)] == [frames.Started]
    made.close()


def test_workers_that_are_not_ready_get_nothing() -> None:
    made = Setting(0)
    child = made.supervisor.start(Role.WORKER, 0.0)
    made.processes.append(Process(child, made.nursery.descriptors[-1]))
    made.submit(1)
    assert made.pool.starting == 1
    assert made.sent == []
    made.close()


def test_a_call_is_allowed_before_it_is_sent(setting: Setting) -> None:
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    assert isinstance(setting.sent[-1][1], Calls)
    assert [call.seq for call in setting.sent[-1][1].calls] == [seq]
    assert process.claim() == seq


def test_answers_by_frame_and_from_the_memory_count_once(setting: Setting) -> None:
    setting.measure()
    (process,) = setting.workers
    first, second = setting.submit(2)
    for seq in (first, second):
        process.begin(START)
        process.finish(seq)
    setting.pool.waits(setting.lane(process))
    setting.pool.receive(process.child.name, process.frame())
    assert setting.host.seqs == [first, second]
    assert setting.dispatcher.pending == 0


def test_frames_of_the_dead_are_ignored(setting: Setting) -> None:
    setting.pool.receive("worker-99", Replies(0, [make_reply(1)]))
    setting.pool.ready("worker-99")


# Stuck


def test_what_lies_behind_a_long_call_is_run_by_others(pair: Setting) -> None:
    pair.measure()
    first, second = pair.workers
    seqs = pair.submit(6)
    running = first.begin(START)
    while seq := second.claim():
        second.finish(seq)
    pair.pool.receive(second.child.name, second.frame())
    pair.look(START + STUCK + 1)
    pair.pool.hand_out(START + STUCK + 1)
    assert [*pair.lane(first).assigned] == [running]
    assert len(pair.lane(second).assigned) == 2
    assert first.claim() == 0
    assert sorted([*pair.host.seqs, running, *pair.lane(second).assigned]) == seqs


def test_nothing_is_taken_from_a_worker_that_is_not_stuck(setting: Setting) -> None:
    setting.measure()
    (process,) = setting.workers
    seqs = setting.submit(3)
    process.begin(START)
    setting.look(START + STUCK - 1)
    assert [*setting.lane(process).assigned] == seqs
    assert setting.dispatcher.backed_up


def test_a_call_that_ends_while_its_worker_is_looked_at_leaves_the_worker_free(setting: Setting) -> None:
    """The memory says that the call runs, and a moment later that it is done."""
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    process.begin(START)
    process.finish(seq)
    setting.look(START + STUCK + 1)
    assert setting.host.seqs == [seq]
    (after,) = setting.submit(1)
    assert process.claim() == after


def test_what_lies_behind_a_call_that_waits_for_the_host_is_run_by_others(setting: Setting) -> None:
    setting.measure()
    (process,) = setting.workers
    running, *behind = setting.submit(3)
    process.begin(START)
    setting.dispatcher.wait(setting.lane(process))
    setting.pool.waits(setting.lane(process))
    assert [ticket.seq for ticket in setting.dispatcher.queue] == behind
    assert [*setting.lane(process).assigned] == [running]


# Time-outs


def test_the_clock_of_a_parked_call_stands_still(setting: Setting) -> None:
    (process,) = setting.workers
    (seq,) = setting.submit(1, timeout=2.0)
    process.begin(START)
    lane = setting.lane(process)
    setting.dispatcher.park(lane, seq, START + 1 * SECOND)
    setting.look(START + 100 * SECOND)
    assert setting.nursery.kills == []
    setting.dispatcher.unpark(lane, START + 100 * SECOND)
    setting.look(START + 100 * SECOND + SECOND // 2)
    assert setting.nursery.kills == []
    setting.look(START + 101 * SECOND + 1)
    assert [name for name, _ in setting.nursery.kills] == [process.child.name]


def test_a_call_that_takes_too_long_costs_its_worker(setting: Setting) -> None:
    (process,) = setting.workers
    (seq,) = setting.submit(1, timeout=2.0)
    process.begin(START)
    setting.look(START + 2 * SECOND - MS)
    assert setting.nursery.kills == []
    setting.look(START + 2 * SECOND + MS)
    setting.look(START + 2 * SECOND + 2 * MS)
    assert setting.nursery.kills == [(process.child.name, signal.SIGKILL)]
    assert setting.host.answers == []
    setting.die(process, -signal.SIGKILL)
    error = setting.errors()[seq]
    assert error["code"] == ErrorCode.TIMED_OUT
    assert error["message"].startswith("add did not return within 2 s")


def test_waiting_in_the_queue_is_not_execution(setting: Setting) -> None:
    setting.measure()
    (process,) = setting.workers
    setting.submit(2, timeout=2.0)
    first = process.begin(START)
    process.finish(first)
    process.begin(START + SECOND)
    setting.look(START + 2 * SECOND + MS)
    assert setting.nursery.kills == []


def test_without_time_out_a_call_may_take_for_ever(setting: Setting) -> None:
    (process,) = setting.workers
    setting.submit(1)
    process.begin(START)
    setting.look(START + 10**6 * SECOND)
    assert setting.nursery.kills == []


# Workers that do not begin


def test_a_worker_that_begins_nothing_is_asked_and_loses_its_work(setting: Setting) -> None:
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    setting.look(START + 60 * MS)
    assert [ticket.seq for ticket in setting.dispatcher.queue] == [seq]
    assert setting.sent[-1] == (process.child.name, Ping())
    setting.pool.hand_out(START + 60 * MS)
    assert setting.lane(process).idle
    setting.pool.ready(process.child.name)
    setting.pool.hand_out(START + 70 * MS)
    assert process.claim() == seq


def test_a_worker_that_does_not_answer_is_replaced(setting: Setting) -> None:
    (process,) = setting.workers
    setting.submit(1)
    setting.look(START + 60 * MS)
    assert setting.pool.watched(1)
    setting.look(START + 4 * SECOND)
    assert setting.nursery.kills == []
    setting.look(START + 6 * SECOND)
    assert setting.nursery.kills == [(process.child.name, signal.SIGKILL)]


def test_a_call_that_was_claimed_by_a_worker_that_stopped_then_is_answered(setting: Setting) -> None:
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    assert process.claim() == seq
    setting.look(START + 60 * MS)
    setting.look(START + 6 * SECOND)
    assert setting.nursery.kills == [(process.child.name, signal.SIGKILL)]
    setting.die(process, -signal.SIGKILL)
    assert setting.errors()[seq]["code"] == ErrorCode.WORKER_DIED


def test_a_worker_that_began_late_is_not_taken_for_a_dumb_one(setting: Setting) -> None:
    """It reads no ping before its call is done."""
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    assert process.claim() == seq
    setting.look(START + 60 * MS)
    process.journal.begin(seq, START + 70 * MS)
    setting.look(START + 80 * MS)
    setting.look(START + 60 * SECOND)
    assert setting.nursery.kills == []
    process.finish(seq)
    process.journal.end()
    setting.pool.receive(process.child.name, process.frame())
    setting.pool.ready(process.child.name)
    (after,) = setting.submit(1, START + 61 * SECOND)
    assert process.claim() == after
