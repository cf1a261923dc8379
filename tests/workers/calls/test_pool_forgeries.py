"""Workers in which user code writes into what they share with the front-end: nothing is raised, and others go on."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from tests.workers.calls.setting import MS, SECOND, START, Process, Setting
from workers.calls.pool import STUCK
from workers.frames import Ping

FULL = 1 << 20  # bytes, more than the pipe takes
LOOK = 60 * MS  # ns; by then a worker that has begun nothing is asked whether it lives


def write_claims(process: Process, data: bytes) -> None:
    """Write into the pipe of claims, until all is written or the pipe is full."""
    forger = os.open(f"/proc/self/fd/{process.claims}", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while data:
            data = data[os.write(forger, data) :]
    os.close(forger)


def work(made: Setting, process: Process) -> list[int]:
    """Let a worker do all that there is, and return what that was."""
    done = []
    while made.dispatcher.queue or made.lane(process).assigned:
        made.pool.hand_out(START)
        seq = process.begin(START)
        process.finish(seq)
        made.pool.receive(process.child.name, process.frame())
        done.append(seq)
    return done


def test_a_worker_whose_pipe_is_full_is_put_down_and_others_have_its_calls(pair: Setting) -> None:
    first, second = pair.workers
    write_claims(first, b"x" * FULL)
    seqs = pair.submit(2)
    assert list(pair.put_down) == [first.child.name]
    assert not pair.lane(first).assigned
    assert sorted(work(pair, second)) == seqs
    pair.die(first, -signal.SIGKILL)
    assert pair.errors() == {}


def test_of_a_worker_whose_claims_make_no_sense_only_the_running_call_dies(setting: Setting) -> None:
    setting.measure()
    (process,) = setting.workers
    seqs = setting.submit(5)
    running = process.begin(START)
    write_claims(process, b"x")
    setting.look(START + STUCK + 1)
    assert list(setting.put_down) == [process.child.name]
    assert [*setting.lane(process).assigned] == seqs  # as long as it lives it may begin any of them
    setting.look(START + 10 * STUCK)
    setting.pool.waits(setting.lane(process))
    setting.pool.recall(setting.host)
    assert setting.lane(process).retired
    setting.die(process, -signal.SIGKILL)
    assert [*setting.errors()] == [running]
    assert [ticket.seq for ticket in setting.dispatcher.queue] == seqs[1:]


def test_a_forger_that_names_another_call_does_not_come_back_itself(setting: Setting) -> None:
    setting.measure()
    (process,) = setting.workers
    running, other, *behind = setting.submit(4)
    process.begin(START)
    process.journal.begin(other, START)
    write_claims(process, b"x")
    setting.pool.waits(setting.lane(process))
    setting.die(process, -signal.SIGKILL)
    assert {*setting.errors()} == {running, other}
    assert [ticket.seq for ticket in setting.dispatcher.queue] == behind


def test_claims_that_make_no_sense_are_found_at_the_death_as_well(setting: Setting) -> None:
    setting.measure()
    (process,) = setting.workers
    running, *behind = setting.submit(3)
    process.begin(START)
    write_claims(process, b"x" * FULL)
    setting.die(process, -signal.SIGSEGV)
    assert [*setting.errors()] == [running]
    assert [ticket.seq for ticket in setting.dispatcher.queue] == behind


def test_claims_that_nobody_has_made_are_nobodys(setting: Setting) -> None:
    setting.measure()
    (process,) = setting.workers
    running, *behind = setting.submit(3)
    process.begin(START)
    write_claims(process, b"forged!!")
    setting.look(START + STUCK + 1)
    assert setting.put_down == {}
    assert [*setting.lane(process).assigned] == [running]
    assert [ticket.seq for ticket in setting.dispatcher.queue] == behind


def test_a_worker_that_answers_but_begins_nothing_is_replaced(setting: Setting) -> None:
    """Something false has been put among its claims, and it waits for what belongs to that."""
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    now, rounds = START, 0
    while not setting.put_down:
        now, rounds = now + LOOK, rounds + 1
        assert rounds < 100
        setting.look(now)
        assert process.claim() == 0
        setting.pool.ready(process.child.name)  # it answers the ping
        setting.pool.hand_out(now)
    assert rounds > 20
    setting.die(process, -signal.SIGKILL)
    assert setting.errors() == {}
    assert [ticket.seq for ticket in setting.dispatcher.queue] == [seq]


def test_a_worker_that_begins_late_but_works_stays(setting: Setting) -> None:
    (process,) = setting.workers
    now = START
    for _ in range(100):
        setting.submit(1, now)
        now += LOOK
        setting.look(now)
        assert Ping() in [frame for _, frame in setting.sent]
        setting.pool.ready(process.child.name)
        setting.pool.hand_out(now)
        process.finish(process.begin(now))
        setting.pool.receive(process.child.name, process.frame())
    assert setting.put_down == {}


def test_a_worker_that_does_not_run_what_it_has_claimed_is_replaced(setting: Setting) -> None:
    """Some thread of user code has read the claim."""
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    assert process.claim() == seq
    for now in range(START, START + SECOND, LOOK):
        setting.look(now)
        setting.pool.ready(process.child.name)
    assert setting.put_down == {}
    for now in range(START + SECOND, START + 4 * SECOND, LOOK):
        setting.look(now)
        setting.pool.ready(process.child.name)
    assert list(setting.put_down) == [process.child.name]
    setting.die(process, -signal.SIGKILL)
    assert [*setting.errors()] == [seq]


def test_nobody_gains_time_by_what_he_says_of_its_beginning(setting: Setting) -> None:
    (process,) = setting.workers
    (seq,) = setting.submit(1, timeout=1.0)
    process.begin(START)
    for now in range(START, START + 2 * SECOND, LOOK):
        process.journal.begin(seq, now if now % 3 else 2**64 - 1)
        setting.look(now)
    assert setting.nursery.kills == [(process.child.name, signal.SIGKILL)]


def test_a_journal_that_is_full_of_nonsense_brings_nothing(setting: Setting) -> None:
    (process,) = setting.workers
    (seq,) = setting.submit(1)
    process.begin(START)
    process.journal._words[2:4] = memoryview(b"\xff" * 16).cast("Q")
    setting.look(START + STUCK + 1)
    setting.pool.waits(setting.lane(process))
    assert [*setting.lane(process).assigned] == [seq]
    assert setting.put_down == {}
