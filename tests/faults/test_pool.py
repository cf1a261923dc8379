"""The pool while its workers are killed and stopped from outside (faults, checks 1 and 6)."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures, percentile
from tests.wire.gates import PASS, Gate
from tests.wire.program import wait_until
from tests.wire.server import SETUP, Serve, Server, registrations

HANDLERS = (
    PASS
    + """
import os, signal, time
def add(a, b): return a + b
def pid(): return os.getpid()
def work(x):
    time.sleep(0.001)
    return [x, os.getpid()]
def meet(folder, gate):
    open(f"{folder}/{os.getpid()}", "x").close()
    _pass_gate(gate)
def hold(folder, gate): meet(folder, gate)
def stop(): os.kill(os.getpid(), signal.SIGSTOP)
"""
)
SETTING_UP = SETUP + registrations(HANDLERS).replace("'handlers.meet'", "'handlers.meet', timeout=60")
"""Meeting may take longer than the time-out of a server."""


def workers_at_work(server: Server, workers: int, folder: Path, deadline: float = 20) -> set[int]:
    """Have so many workers in calls at once, and return which they are.

    The calls wait for nobody whom the server knows of: for such calls it lends workers to the pool.
    """
    folder.mkdir()
    gate = Gate(folder.with_suffix(".gate"))
    calls = [server.begin("meet", str(folder), str(gate)) for _ in range(workers)]
    try:
        wait_until(lambda: len(names(folder)) == workers, deadline, lambda: f"at work are only {names(folder)}")
    finally:
        gate.open()
    for id in calls:
        server.result(id)
    return set(map(int, names(folder)))


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


KILLS = 0.05  # seconds between them


@pytest.mark.parametrize("calls", [2_000, pytest.param(20_000, marks=getattr(pytest.mark, FULL_SCALE))])
def test_workers_killed_at_random_under_load(serve: Serve, figures: Figures, tmp_path: Path, calls: int) -> None:
    """Check 1: each id is answered once; what ran on the dead is told of the signal; the pool is whole after."""
    server = serve(HANDLERS, SETTING_UP, "--workers", "4")
    ids = server.begin_many([("work", [number]) for number in range(calls)])
    killed = kill_until(server, lambda: server.answered(ids[-1]), deadline=50)
    begin = time.monotonic()
    assert not workers_at_work(server, 4, tmp_path / "after") & killed
    whole_after = time.monotonic() - begin
    failed = right = 0
    for number, id in enumerate(ids):
        answer = server.answer(id)
        if "error" in answer:
            failed += 1
            right += "SIGKILL" in answer["error"]["message"] and answer["error"]["code"] == -32001
        else:
            right += answer["result"]["items"][0]["value"] == number
    figures.count(
        1, f"{calls:,} calls, a kill every 50 ms: calls answered, by their result or the signal", right, calls
    )
    figures.at_most(1, "the same: four workers at work after it", whole_after, 1, room=3)
    assert len(killed) >= calls * 0.001 / 4 / KILLS / 2  # the calls take longer than it takes to sleep in them
    assert failed >= len(killed) / 10  # or it was idle workers that were killed
    figures.at_most(1, "the same: failed calls for each kill", failed / max(1, len(killed)), 1, "")
    assert {server.call("work", number)[0] for number in range(4)} == {0, 1, 2, 3}
    no_zombies_are_left(server)


def kill_until(server: Server, done: Callable[[], bool], deadline: float) -> set[int]:
    """Kill a worker that has just answered, again and again, and return which were killed."""
    chosen = random.Random(5)
    killed: set[int] = set()
    end = time.monotonic() + deadline
    while not done():
        assert time.monotonic() < end, f"not done within {deadline} s, after {len(killed)} kills"
        seen = {answer["result"]["items"][1]["value"] for answer in server.latest(20) if "result" in answer}
        if alive := sorted(seen - killed):
            victim = chosen.choice(alive)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                killed.add(victim)
        threading.Event().wait(KILLS)
    return killed


def no_zombies_are_left(server: Server) -> None:
    wait_until(lambda: not server.program.zombies(), 2, lambda: f"left are {server.program.zombies()}")


def test_pool_is_whole_soon_after_all_its_workers_are_killed(serve: Serve, figures: Figures, tmp_path: Path) -> None:
    """Check 1."""
    server = serve(HANDLERS, SETTING_UP, "--workers", "4")
    old = workers_at_work(server, 4, tmp_path / "before")
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()
    assert not workers_at_work(server, 4, tmp_path / "after") & old
    figures.at_most(1, "all four workers killed: four others at work", time.monotonic() - begin, 1, room=2)
    no_zombies_are_left(server)


def timed_adds(server: Server, until: Callable[[list[float]], bool]) -> list[float]:
    """Call ``add`` one after the other, and return how long each took, in seconds."""
    times: list[float] = []
    while not until(times):
        begin = time.monotonic()
        assert server.call("add", len(times), 1) == len(times) + 1
        times.append(time.monotonic() - begin)
    return times


def answered(server: Server, id: Any, _: list[float]) -> bool:
    return server.answered(id)


@pytest.mark.parametrize("times", [1, pytest.param(7, marks=getattr(pytest.mark, FULL_SCALE))])
def test_stopped_worker_is_replaced(serve: Serve, figures: Figures, tmp_path: Path, times: int) -> None:
    """Check 6: its call fails in time, others are served meanwhile as fast as before and after."""
    timeout = 1.0
    server = serve(HANDLERS, SETTING_UP, "--workers", "4", "--call-timeout", f"{timeout}")
    usual, meanwhile, late, replaced = [], [], [], []
    for stop in range(times):
        usual.append(percentile(timed_adds(server, lambda times: sum(times) > timeout)))
        before = workers_at_work(server, 4, tmp_path / f"before {stop}")
        begin = time.monotonic()
        stopped = server.begin("stop")
        meanwhile.append(percentile(timed_adds(server, partial(answered, server, stopped))))
        late.append(time.monotonic() - begin - timeout)
        assert server.failure(stopped).code == -32002
        begin = time.monotonic()
        after = workers_at_work(server, 4, tmp_path / f"after {stop}")
        replaced.append(time.monotonic() - begin)
        assert len(after - before) == 1
    figures.at_most(6, "call on a stopped worker: error after the time-out", max(late), 0.5, room=4)
    figures.at_most(6, "stopped worker: replaced after that error", max(replaced), 1, room=3)
    what = f"99th percentile of the others, of what it is between, medians of {times} stops"
    figures.at_most(6, what, median(meanwhile) / median(usual), 2, "×", room=50)
    assert server.call("add", 1, 2) == 3


def test_worker_stopped_from_outside_in_a_call_fails_that_call_alone(
    serve: Serve, figures: Figures, tmp_path: Path
) -> None:
    """Check 6: with calls queued behind, which run elsewhere."""
    timeout = 1.0
    server = serve(HANDLERS, SETTING_UP, "--workers", "1", "--call-timeout", f"{timeout}")
    stopped = server.call("pid")
    assert server.call("add", 1, 1) == 2
    folder = tmp_path / "met"
    folder.mkdir()
    gate = Gate(tmp_path / "gate")
    begin = time.monotonic()
    call, *behind = server.begin_many(
        [("hold", [str(folder), str(gate)]), *[("add", [number, 1]) for number in range(50)]]
    )
    wait_until(lambda: names(folder) == [str(stopped)], 20, lambda: "the call has not begun")
    os.kill(stopped, signal.SIGSTOP)
    gate.open()  # it would return now
    failure = server.failure(call)
    late = time.monotonic() - begin - timeout
    assert failure.code == -32002
    assert "hold" in failure.message
    figures.at_most(6, "call on a stopped worker: error after the time-out", late, 0.5, room=4)
    assert [server.value(id) for id in behind] == list(range(1, 51))
    assert server.call("pid") != stopped
    no_zombies_are_left(server)


def test_idle_worker_stopped_from_outside_costs_no_call(serve: Serve, figures: Figures, tmp_path: Path) -> None:
    """Check 6: what it was handed runs elsewhere, and it is replaced."""
    timeout = 1.0
    server = serve(HANDLERS, SETTING_UP, "--workers", "2", "--call-timeout", f"{timeout}")
    stopped = server.call("pid")
    assert server.call("add", 1, 1) == 2
    os.kill(stopped, signal.SIGSTOP)
    begin = time.monotonic()
    calls = server.begin_many([("add", [number, 1]) for number in range(50)])
    assert [server.value(id) for id in calls] == list(range(1, 51))
    late = time.monotonic() - begin - timeout
    figures.at_most(6, "calls behind an idle worker that was stopped: after the time-out", late, 0.5, room=4)
    wait_until(lambda: stopped not in server.program.pids(), 20, lambda: "it was not replaced")
    assert stopped not in workers_at_work(server, 2, tmp_path / "after")
    no_zombies_are_left(server)
