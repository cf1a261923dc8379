"""What becomes of calls whose worker dies or retires, or whose caller goes away."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from scriptling.errors import ErrorCode, RpcError
from tests.workers.calls.setting import SECOND, START, Process, Setting
from tests.workers.fakes import Listener, make_ticket
from workers.calls.pool import describe_death
from workers.frames import Replies, Reply, Stop
from workers.front_end.supervisor import Child
from workers.nursery import Role

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
