"""Callbacks under stress, and hosts that answer badly (faults, checks 14 and 16)."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures
from tests.wire.program import wait_until
from tests.wire.server import Serve, Server
from tests.wire.values import CallFailedError, Raw

HANDLERS = """
import os
def through(f): return f()
def each(f, items): return [f(item) for item in items]
def die_after(f):
    f(os.getpid())
    f(os.getpid())
def add(a, b): return a + b
class Asks:
    def __init__(self): pass
    def each(self, f, items): return [f(item) for item in items]
"""
BY_HAND = Raw({"type": "callback", "callback": {"id": "by-hand"}})


def chain(server: Server, number: int, depth: int) -> list[list[int]]:
    """Call back and be called, so deep; each answer says of which chain it is, and from how deep it came."""
    if depth == 0:
        return []
    inner: list[list[int]] = server.call("through", lambda: chain(server, number, depth - 1))
    return [*inner, [number, depth]]


def links(number: int, depth: int) -> list[list[int]]:
    return [[number, each] for each in range(1, depth + 1)]


@pytest.mark.parametrize("times", [3, pytest.param(100, marks=getattr(pytest.mark, FULL_SCALE))])
def test_chains_of_callbacks_deeper_and_wider_than_the_pool(serve: Serve, figures: Figures, times: int) -> None:
    """Check 14."""
    server = serve(HANDLERS, "", "--workers", "4")
    deep, wide = [], []
    for _ in range(times):
        begin = time.monotonic()
        assert chain(server, 99, 32) == links(99, 32)
        deep.append(time.monotonic() - begin)
        begin = time.monotonic()
        with ThreadPoolExecutor(8) as hosts:
            found = list(hosts.map(lambda number: chain(server, number, 8), range(8)))
        wide.append(time.monotonic() - begin)
        assert found == [links(number, 8) for number in range(8)]
    figures.at_most(14, f"chain of callbacks 32 deep on 4 workers, slowest of {times}", max(deep), 5)
    figures.at_most(14, f"8 chains 8 deep at once, slowest of {times}", max(wide), 5)


@pytest.mark.parametrize("cap", [3, 32])
def test_chain_past_the_cap_is_an_error_at_once_and_all_before_it_are_served(
    serve: Serve, figures: Figures, cap: int
) -> None:
    """Check 14: the call that is too deep fails, by a sentence that names the flag, and those around it do not hang."""
    server = serve(HANDLERS, "", "--workers", "2", "--callback-depth", str(cap))
    assert chain(server, 0, cap) == links(0, cap)
    refused: list[tuple[CallFailedError, float]] = []

    def deeper(level: int) -> str:
        begin = time.monotonic()
        try:
            deepest: str = server.call("through", lambda: deeper(level + 1))
        except CallFailedError as error:
            refused.append((error, time.monotonic() - begin))
            deepest = f"refused at {level}"
        return deepest

    assert deeper(1) == f"refused at {cap + 1}"
    ((error, waited),) = refused
    assert "--callback-depth" in str(error)
    figures.at_most(14, "call past the cap on depth: its error", waited, 0.1, room=50)
    assert chain(server, 1, cap) == links(1, cap)


def test_surplus_workers_are_taken_back(serve: Serve) -> None:
    """Those that were born for a chain 12 deep, beside the two of the pool."""
    server = serve(HANDLERS, "", "--workers", "2")
    counts = []

    def deeper(level: int) -> None:
        if level:
            server.call("through", lambda: deeper(level - 1))
        else:
            counts.append(len(server.program.pids()))

    deeper(12)
    few = counts[0] - 10
    wait_until(lambda: len(server.program.pids()) <= few, 15, lambda: f"{len(server.program.pids())} of {counts[0]}")
    assert server.call("add", 1, 2) == 3


def test_callback_never_answered_is_a_timeout(serve: Serve, figures: Figures) -> None:
    """Check 16."""
    server = serve(HANDLERS, "", "--workers", "2", "--call-timeout", "0.5")
    ids = [server.begin("through", BY_HAND) for _ in range(4)]
    server.question(3)
    begin = time.monotonic()
    for id in ids:
        failure = server.failure(id, 10)
        assert failure.code == -32002
        assert "through" in failure.message
    late = time.monotonic() - begin - 0.5
    figures.at_most(16, "callbacks never answered: error after the time-out", late, 0.25, room=10)
    for question in server.questions:  # all of them too late
        server.reply(question, "late")
    assert server.call("through", lambda: "in time") == "in time"


def test_callback_answered_twice_late_or_under_an_unknown_id(serve: Serve) -> None:
    """Check 16."""
    server = serve(HANDLERS, "", "--workers", "2")
    call = server.begin("each", BY_HAND, [1, 2, 3])
    for number in range(3):
        question = server.question(number)
        server.send({"jsonrpc": "2.0", "id": 10_000 + number, "result": {"type": "string", "value": "unknown"}})
        server.send({"jsonrpc": "2.0", "id": str(question["id"]), "result": {"type": "string", "value": "as text"}})
        server.reply(question, number)
        server.reply(question, "twice")
    assert server.value(call) == [0, 1, 2]
    server.reply(server.questions[0], "late")
    assert server.call("add", 1, 2) == 3


def test_worker_that_dies_while_waiting(serve: Serve) -> None:
    """Check 16: an error at once; the late answer meets nobody."""
    server = serve(HANDLERS, "", "--workers", "2")
    call = server.begin("die_after", BY_HAND)
    question = server.question()
    os.kill(question["params"]["args"][0]["value"], signal.SIGKILL)
    failure = server.failure(call, 5)
    assert failure.code == -32001
    assert "SIGKILL" in failure.message
    server.reply(question, "late")
    assert [server.call("through", lambda n=n: n) for n in range(5)] == list(range(5))


@pytest.mark.parametrize("number", [2_000, pytest.param(10_000, marks=getattr(pytest.mark, FULL_SCALE))])
def test_interleaved_callbacks_reach_their_own_calls(serve: Serve, figures: Figures, number: int) -> None:
    """Check 16: no cross-talk."""
    server = serve(HANDLERS, "", "--workers", "4")
    asks = [server.new("Asks") for _ in range(4)]
    each = number // 20
    calls = [server.begin("each", lambda x, n=n: [n, x], list(range(each))) for n in range(16)]
    calls += [
        server.begin_method(ask, "each", lambda x, n=n: [n, x], list(range(each))) for n, ask in enumerate(asks, 16)
    ]
    right = sum(server.value(id, 50) == [[n, x] for x in range(each)] for n, id in enumerate(calls))
    figures.count(16, f"{number:,} interleaved callbacks: reach their own calls", right * each, number)


def test_answers_of_callbacks_do_not_queue_behind_calls(serve: Serve) -> None:
    """The relay is a channel of its own."""
    server = serve(HANDLERS + "import time\ndef rest(): time.sleep(0.01)", "", "--workers", "2")
    release = threading.Event()
    call = server.begin("through", lambda: release.wait(20) and "through")
    slow = [server.begin("rest") for _ in range(200)]
    release.set()
    assert server.value(call) == "through"
    assert not server.answered(slow[-1])
    for id in slow:
        server.result(id)
