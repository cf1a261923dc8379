"""What workers are given, what is taken from them when they are stuck, and what becomes of it when they die."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scriptling.errors import ErrorCode, RpcError
from scriptling.settings import Settings
from tests.workers.fakes import FakeNursery, Listener, make_reply, make_ticket
from workers import frames
from workers.calls import claims
from workers.calls.dispatch import Dispatcher
from workers.calls.journal import Writer
from workers.calls.lanes import Lane
from workers.calls.pool import STUCK, Pool, describe_death
from workers.frames import Calls, Ping, Replies, Reply, Stop
from workers.front_end.supervisor import Child, Supervisor
from workers.nursery import Role

MS = 1_000_000
SECOND = 1000 * MS
START = 1000 * SECOND
INIT = frames.encode(frames.Started())  # any frame: the pool only passes it on


class Process:
    """The other end of a worker's seat."""

    def __init__(self, child: Child, descriptors: list[int]) -> None:
        self.child = child
        self.claims, memory = (os.dup(descriptor) for descriptor in descriptors)
        self.journal = Writer(memory)
        os.close(memory)

    def claim(self) -> int:
        return claims.claim(self.claims) or 0

    def begin(self, now: int) -> int:
        seq = self.claim()
        self.journal.begin(seq, now)
        return seq

    def finish(self, seq: int) -> None:
        self.journal.add(msgspec.msgpack.encode(make_reply(seq)))

    def frame(self) -> Replies:
        received = frames.decode_from_child(self.journal.frame())
        assert isinstance(received, Replies)
        return received

    def close(self) -> None:
        os.close(self.claims)
        self.journal.close()


class Setting:
    """A pool whose workers are played by the test."""

    def __init__(self, workers: int = 1, **settings: Any) -> None:
        self.dispatcher = Dispatcher(10)
        self.nursery = FakeNursery()
        self.sent: list[tuple[str, frames.ToChild]] = []
        self.pool = Pool(Settings(workers=workers, **settings), self.dispatcher, self._send)
        self.supervisor = Supervisor(self.nursery, workers, self.pool.furnish)
        self.host = Listener()
        self.processes: list[Process] = []
        self.workers = [self.be_born() for _ in range(workers)]
        self.pool.open(INIT)
        self._last = 0

    def _send(self, name: str, frame: bytes) -> None:
        self.sent.append((name, frames.decode_for_child(frame)))

    def be_born(self) -> Process:
        child = self.supervisor.start(Role.WORKER, 0.0)
        process = Process(child, self.nursery.descriptors[-1])
        self.processes.append(process)
        self.supervisor.ready(child.name)
        self.pool.ready(child.name)
        return process

    def lane(self, process: Process) -> Lane:
        return self.dispatcher.lanes[process.child.name]

    def measure(self) -> None:
        """Let the handler be known as a quick one."""
        (process, *_) = self.workers
        (seq,) = self.submit(1, START)
        assert process.claim() == seq
        process.finish(seq)
        self.pool.receive(process.child.name, process.frame())
        self.host.answers.clear()

    def submit(self, count: int, now: int = START, timeout: float = 0.0) -> list[int]:
        seqs = []
        for _ in range(count):
            seqs.append(self.dispatcher.next_seq())
            self.dispatcher.submit(make_ticket(seqs[-1], "add", self.host, timeout))
        self.pool.hand_out(now)
        return seqs

    def look(self, now: int) -> None:
        self.pool.look(now, self.supervisor)

    def die(self, process: Process, code: int) -> None:
        self.pool.died(process.child, code)
        self.supervisor.died(process.child.name, 0.0)

    def sent_to(self, process: Process) -> list[frames.ToChild]:
        return [frame for name, frame in self.sent if name == process.child.name]

    def errors(self) -> dict[int, Any]:
        return {seq: json.loads(payload) for seq, failed, payload in self.host.answers if failed}

    def close(self) -> None:
        for process in self.processes:
            process.close()
            self.pool.died(process.child, 0)


@pytest.fixture
def setting() -> Iterator[Setting]:
    made = Setting()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[Setting]:
    """A pool of two."""
    made = Setting(2)
    yield made
    made.close()


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


# Death


def test_a_death_costs_only_the_call_that_ran(pair: Setting) -> None:
    pair.measure()
    first, _ = pair.workers
    pair.submit(8)
    seqs = [*pair.lane(first).assigned]
    done = first.begin(START)
    first.finish(done)
    running = first.begin(START)
    pair.die(first, -signal.SIGSEGV)
    assert pair.host.seqs == [done, running]
    assert pair.errors() == {
        running: {
            "code": ErrorCode.WORKER_DIED,
            "message": "the process that ran add was killed by signal 11 (SIGSEGV)",
        }
    }
    assert [ticket.seq for ticket in pair.dispatcher.queue] == [seq for seq in seqs if seq not in (done, running)]
    assert first.child.name not in pair.dispatcher.lanes


def test_an_idle_worker_may_die_unnoticed(setting: Setting) -> None:
    (process,) = setting.workers
    setting.die(process, -9)
    setting.die(process, -9)
    assert setting.host.answers == []
    assert setting.dispatcher.lanes == {}


def test_a_worker_that_dies_before_it_is_in_service_owes_nothing() -> None:
    made = Setting(0)
    child = made.supervisor.start(Role.WORKER, 0.0)
    process = Process(child, made.nursery.descriptors[-1])
    made.die(process, 1)
    assert made.pool.starting == 0
    process.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "killed by signal 9 (SIGKILL)"),
        (-6, "killed by signal 6 (SIGABRT)"),
        (-40, "killed by signal 40"),
        (0, "exit status 0"),
        (3, "exit status 3"),
    ],
)
def test_a_death_is_named_with_its_cause(code: int, words: str) -> None:
    error = describe_death(Child("worker-1", Role.WORKER, 1), code, make_ticket(1, "add"))
    assert error.code == ErrorCode.WORKER_DIED
    assert "add" in error.message
    assert words in error.message


def test_a_verdict_of_ours_is_the_cause_whatever_the_signal() -> None:
    verdict = RpcError(ErrorCode.TIMED_OUT, "too late")
    child = Child("worker-1", Role.WORKER, 1, verdict=verdict)
    assert describe_death(child, -9, make_ticket(1)) is verdict


# Retirement


def test_a_worker_retires_after_its_last_request() -> None:
    made = Setting(1, max_requests=2)
    (process,) = made.workers
    made.measure()
    assert not made.lane(process).retired
    first, second = made.submit(2)
    assert process.begin(START) == first
    process.finish(first)
    made.pool.receive(process.child.name, process.frame())
    assert made.lane(process).retired
    assert process.child.stopping
    assert made.sent[-1] == (process.child.name, Stop())
    assert process.claim() == 0
    assert [ticket.seq for ticket in made.dispatcher.queue] == [second]
    made.close()


def test_recycling_lets_every_worker_finish_what_it_does(pair: Setting) -> None:
    first, second = pair.workers
    (seq,) = pair.submit(1)
    busy = first if first.begin(START) else second
    pair.pool.recycle()
    pair.pool.recycle()
    for process in pair.workers:
        assert pair.sent_to(process).count(Stop()) == 1
        assert process.child.stopping
    assert [*pair.lane(busy).assigned] == [seq]
    assert not pair.dispatcher.free


def test_a_surplus_worker_is_dismissed_after_a_while() -> None:
    made = Setting(1)
    made.look(START)
    extra = made.be_born()
    made.look(START)
    assert made.pool.watched(1)
    made.look(START + SECOND)
    assert Stop() not in [frame for _, frame in made.sent]
    made.look(START + 3 * SECOND)
    assert [frame for _, frame in made.sent].count(Stop()) == 1
    made.look(START + 9 * SECOND)
    assert [frame for _, frame in made.sent].count(Stop()) == 1
    assert extra.child.stopping != made.workers[0].child.stopping
    made.close()


def test_a_worker_lent_for_one_that_waits_is_not_surplus() -> None:
    made = Setting(1)
    (process,) = made.workers
    made.submit(1)
    process.begin(START)
    made.dispatcher.wait(made.lane(process))
    made.be_born()
    for seconds in range(10):
        made.look(START + seconds * SECOND)
    assert Stop() not in [frame for _, frame in made.sent]
    made.close()


def test_an_idle_pool_needs_no_watching(setting: Setting) -> None:
    assert not setting.pool.watched(1)
    assert not setting.dispatcher.backed_up
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    assert setting.pool.watched(1)
    process.begin(START)
    setting.pool.receive(process.child.name, Replies(0, [Reply(seq, False, b"1", 1)]))
    assert not setting.pool.watched(1)


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_what_is_shared_with_a_worker_is_given_back_with_it() -> None:
    before = descriptors()
    made = Setting(2)
    assert len(descriptors()) > len(before)
    made.close()
    assert descriptors() == before
    assert made.dispatcher.lanes == {}


# Callers that go away


def test_what_lies_behind_a_call_is_taken_back_if_its_caller_has_gone(setting: Setting) -> None:
    setting.measure()
    (worker,) = setting.workers
    running, *behind = setting.submit(3)
    assert worker.begin(START) == running
    setting.pool.recall(setting.host)
    assert [ticket.seq for ticket in setting.dispatcher.queue] == behind
    assert [*setting.lane(worker).assigned] == [running]
    setting.dispatcher.withdraw(setting.host)
    assert (len(setting.dispatcher.queue), setting.dispatcher.pending) == (0, 1)


def test_workers_that_have_nothing_of_a_caller_keep_what_they_have(setting: Setting) -> None:
    setting.measure()
    (worker,) = setting.workers
    seqs = setting.submit(3)
    setting.pool.recall(Listener())
    assert [*setting.lane(worker).assigned] == seqs
