"""Handlers that wait for one another: they keep nobody else from a worker, and what the dead had goes on."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.wire.program import wait_until
from tests.wire.server import SETUP, Serve, registrations

HANDLERS = """
import os, threading, time
import scriptling.runtime.sync as sync
def consume(name, timeout=None): return sync.Queue(name).get(timeout)
def produce(name, items, maxsize=0):
    for item in items:
        sync.Queue(name, maxsize).put(item)
    return len(items)
def size(name): return sync.Queue(name).size()
def close(name): sync.Queue(name).close()
def consume_and_say(name, f):
    f(os.getpid())
    return sync.Queue(name).get()
def consume_then_spin(name, seconds):
    item = sync.Queue(name).get()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return item
def consume_in_thread(name):
    got = []
    thread = threading.Thread(target=lambda: got.append(sync.Queue(name).get()))
    thread.start()
    thread.join()
    return got[0]
def add_and_die(name, number):
    sync.WaitGroup(name).add(number)
    os.kill(os.getpid(), 9)
def add(name, number): sync.WaitGroup(name).add(number)
def done(name): sync.WaitGroup(name).done()
def wait(name): return sync.WaitGroup(name).wait()
def leave_thread(name):
    threading.Thread(target=lambda: sync.Queue(name).get(), daemon=True).start()
def echo(x): return x
def count(name, times):
    atomic = sync.Atomic(name)
    for _ in range(times):
        atomic.add()
def counted(name): return sync.Atomic(name).get()
def append(name, times, x):
    for _ in range(times):
        sync.Shared(name, []).update(lambda value: [*value, x])
def shared(name): return sync.Shared(name).get()
class Box:
    def __init__(self, name): self.queue = sync.Queue(name)
    def take(self): return self.queue.get()
    def put(self, x): self.queue.put(x)
    def take_for(self, seconds): return self.queue.get(seconds)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=getattr(pytest.mark, FULL_SCALE))])
def test_all_who_wait_are_released_in_the_order_in_which_they_came_and_the_pool_is_whole(
    serve: Serve, count: int
) -> None:
    """A call after each shows that it waits, for there is one worker, and another is lent only for calls that wait."""
    server = serve(HANDLERS, "", "--workers", "1", "--call-timeout", "2")
    ids = []
    for number in range(count):
        ids.append(server.begin("consume", "jobs"))
        assert server.call("echo", number) == number
    assert len(server.program.pids()) > count
    assert server.call("produce", "jobs", list(range(count))) == count
    assert [server.value(id, 60) for id in ids] == list(range(count))
    wait_until(lambda: len(server.program.pids()) < 10, 60, lambda: f"{len(server.program.pids())} are left")
    assert [server.call("echo", number) for number in range(20)] == list(range(20))


def test_a_producer_behind_a_hundred_blocked_consumers_on_two_workers_runs(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "2")
    ids = server.begin_many([("consume", ["jobs"])] * 100)
    assert server.call("produce", "jobs", list(range(100))) == 100
    assert sorted(server.value(id, 30) for id in ids) == list(range(100))


def test_a_handler_that_waits_is_no_hung_one_and_its_clock_goes_on_afterwards(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "2", "--call-timeout", "0.6")
    waiting = server.begin("consume", "jobs")
    spinning = server.begin("consume_then_spin", "spins", 30)
    slow = server.begin("consume_then_spin", "slow", 0.3)
    time_out = server.begin("consume", "nothing", 1.5)
    assert server.failure(time_out, 10).message.startswith("Queue('nothing').get() has waited 1.5 s")
    for name in ("jobs", "spins", "slow"):
        server.call("produce", name, ["x"])
    assert server.value(waiting) == "x"
    assert server.value(slow) == "x"
    begun = time.monotonic()
    assert server.failure(spinning, 10).code == -32002
    assert time.monotonic() - begun < 5


def test_beyond_the_bound_only_the_operation_that_would_wait_fails(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "2", "--max-parked", "3")
    ids = [server.begin("consume", "jobs") for _ in range(4)]
    server.wait_for(lambda: any(server._counts.values()), 20, "the one that is refused")
    (refused,) = [id for id in ids if server.answered(id)]
    assert "raise --max-parked" in server.failure(refused).message
    server.call("produce", "jobs", [1, 2, 3])
    assert sorted(server.value(id) for id in ids if id != refused) == [1, 2, 3]


def test_a_consumer_that_was_killed_takes_nothing(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "2")
    pids: list[int] = []
    killed = server.begin("consume_and_say", "jobs", pids.append)
    server.wait_for(lambda: bool(pids), 20, "the consumer's number")
    other = server.begin("consume", "jobs")
    assert server.call("echo", 1) == 1  # both wait, for there are only two workers
    os.kill(pids[0], signal.SIGKILL)
    assert server.failure(killed).code == -32001
    server.call("produce", "jobs", ["x"])
    assert server.value(other) == "x"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [30, pytest.param(500, marks=getattr(pytest.mark, FULL_SCALE))])
def test_items_are_neither_lost_nor_doubled_when_consumers_are_stopped_and_killed(serve: Serve, count: int) -> None:
    """A consumer that is stopped gets an item sent, and is killed before it can take it: it goes to the next."""
    server = serve(HANDLERS, "", "--workers", "2")
    for number in range(count):
        pids: list[int] = []
        killed = server.begin("consume_and_say", "jobs", pids.append)
        server.wait_for(lambda: bool(pids), 20, "the consumer's number")  # noqa: B023 - waited for at once
        wait_until(lambda: is_in_poll(pids[0]), 20, lambda: "the consumer does not wait")  # noqa: B023
        os.kill(pids[0], signal.SIGSTOP)
        assert server.call("produce", "jobs", [number]) == 1
        os.kill(pids[0], signal.SIGKILL)
        failed = server.answer(killed)
        if "error" in failed:
            assert server.call("consume", "jobs", 5) == number
        else:
            assert server.value(killed) == number
    assert server.call("size", "jobs") == 0


def is_in_poll(pid: int) -> bool:
    with open(f"/proc/{pid}/wchan") as file:  # noqa: PTH123 - of the kernel
        return "poll" in file.read()


def test_what_a_killed_call_had_added_is_taken_off(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "2")
    server.call("add", "work", 1)
    waiting = server.begin("wait", "work")
    assert server.failure(server.begin("add_and_die", "work", 5)).code == -32001
    assert not server.answered(waiting)
    server.call("done", "work")
    assert server.value(waiting) is None


def test_a_worker_that_dies_later_takes_nothing_off_that_an_earlier_call_of_it_had_added(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1")
    server.call("add", "work", 1)
    assert server.failure(server.begin("add_and_die", "other", 1)).code == -32001
    waiting = server.begin("wait", "work")
    assert server.call("echo", 1) == 1
    assert not server.answered(waiting)
    server.call("done", "work")
    assert server.value(waiting) is None


def test_threads_of_a_call_wait_as_part_of_it(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--call-timeout", "0.5")
    waiting = server.begin("consume_in_thread", "jobs")
    assert server.failure(server.begin("consume", "nothing", 1), 10).message.endswith("in vain")
    server.call("produce", "jobs", ["x"])
    assert server.value(waiting) == "x"


def test_a_thread_that_outlives_its_call_takes_nothing(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1")
    server.call("leave_thread", "jobs")
    server.call("echo", 1)
    server.call("produce", "jobs", ["x"])
    assert server.call("consume", "jobs", 5) == "x"


def test_methods_wait_without_keeping_their_object_or_their_time(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--call-timeout", "0.6")
    box = server.new("Box", "jobs")
    waiting = [server.begin_method(box, "take") for _ in range(3)]
    assert server.failure(server.begin_method(box, "take_for", 1.2), 10).message.endswith("in vain")
    for number in range(3):
        server.method(box, "put", number)
    assert sorted(server.value(id) for id in waiting) == [0, 1, 2]


def test_the_setup_script_takes_part(serve: Serve) -> None:
    setup = (
        SETUP
        + registrations(HANDLERS)
        + """
import scriptling.runtime.sync as sync
sync.Queue("early").put("before the start")
runtime.start_server(wait=False)
while runtime.server_running():
    try:
        item = sync.Queue("in").get(0.2)
    except TimeoutError:
        continue
    sync.Queue("out").put([item])
print("cleaned up")
"""
    )
    server = serve(HANDLERS, setup)
    assert server.call("consume", "early") == "before the start"
    server.call("produce", "in", ["a", "b"])
    assert [server.call("consume", "out") for _ in range(2)] == [["a"], ["b"]]
    assert "cleaned up" in server.stop()


@pytest.mark.parametrize("count", [4_000, pytest.param(100_000, marks=getattr(pytest.mark, FULL_SCALE))])
def test_what_four_workers_add_is_exact(serve: Serve, count: int) -> None:
    server = serve(HANDLERS, "", "--workers", "4")
    for id in server.begin_many([("count", ["n", count // 100])] * 100):
        server.value(id, 60)
    assert server.call("counted", "n") == count
    for id in server.begin_many([("append", ["list", 5, x]) for x in range(8)]):
        server.value(id, 60)
    assert sorted(server.call("shared", "list")) == sorted([*range(8)] * 5)


def test_a_closed_queue_releases_all_who_wait(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "2")
    ids = [server.begin("consume", "jobs") for _ in range(5)]
    server.call("echo", 1)
    server.call("close", "jobs")
    failures: list[Any] = [server.failure(id) for id in ids]
    assert {failure.data["type"] for failure in failures} == {"QueueClosed"}
