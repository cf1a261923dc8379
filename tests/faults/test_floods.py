"""Children that send without end: the front-end goes on with everything else, and does not grow (checks 7, 12, 20)."""

from __future__ import annotations

import signal
import time

import pytest

from tests.faults.figures import Figures
from tests.wire.program import wait_until
from tests.wire.server import Serve

WORKERS = 4
HANDLERS = """
import gc, logging
from workers import frames
from workers.sockets import Line
def add(a, b): return a + b
def _without_end(f, action):
    f()
    while True: action()
def log(f):
    _without_end(f, lambda: logging.warning("x"))
def greet(f):
    [line] = [each for each in gc.get_objects() if type(each) is Line]
    frame = frames.encode(frames.Hello())
    _without_end(f, lambda: line.send(frame))
def ask(f):
    [line] = [each for each in gc.get_objects() if type(each) is Line]
    [key] = {each._key for each in gc.get_objects() if type(each).__name__ == "Asker"}
    question = frames.encode(frames.Ask(key, "worker-1", 10**9, frames.Want.SYNC, "x", "queue.size", b""))
    relay = line.relay()
    _without_end(f, lambda: relay.send(question))
"""
FLOODS = {"log": "log records", "greet": "frames that only the first should be", "ask": "questions, answers unread"}


@pytest.mark.parametrize("flood", FLOODS)
def test_floods_from_all_workers_are_cut_by_their_time_out(serve: Serve, figures: Figures, flood: str) -> None:
    """Beyond check 7: what a handler sends keeps nobody from looking at the time, or at what others send.

    All that is sent takes the front-end's time, and it shares the processors with those who send.
    """
    server = serve(HANDLERS, "", "--workers", f"{WORKERS}", "--call-timeout", "1")
    assert server.call("add", 1, 1) == 2
    floods = [server.enter(flood) for _ in range(WORKERS - 1)]
    begun = time.monotonic()  # of the last, which is to be cut last
    floods.append(server.enter(flood))
    others = [server.begin("add", number, 1) for number in range(20)]
    wait_until(
        lambda: server.program.stderr.count(f"{flood} did not return within 1 s") == WORKERS,
        20,
        lambda: server.program.stderr,
    )
    late = time.monotonic() - begun - 1  # of the log, which waits for no reader of a million records
    cut = [server.failure(id) for id in floods]
    assert [server.value(id) for id in others] == list(range(1, 21))
    named = sum(flood in failure.message and failure.code == -32002 for failure in cut)
    figures.count(7, f"{FLOODS[flood]} without end, from every worker: named", named, WORKERS)
    figures.at_most(7, f"{FLOODS[flood]}, likewise: error after the time-out", late, 0.5, room=3)


@pytest.mark.parametrize("flood", FLOODS)
def test_a_server_that_is_flooded_from_inside_ends_when_it_is_told_to(
    serve: Serve, figures: Figures, flood: str
) -> None:
    """Check 12."""
    server = serve(HANDLERS, "", "--workers", f"{WORKERS}", "--graceful-timeout", "1")
    floods = [server.enter(flood) for _ in range(WORKERS)]
    server.program.signal(signal.SIGTERM)
    told = time.monotonic()
    server.program.wait_for_stderr("SIGTERM")
    figures.at_most(
        12, f"{FLOODS[flood]} without end, from every worker: signal seen", time.monotonic() - told, 0.5, room=6
    )
    assert {server.failure(id).code for id in floods} == {-32004}
    assert server.program.exit_code() == 0


def test_the_front_end_does_not_grow_by_what_children_send(serve: Serve, figures: Figures) -> None:
    """Check 20, from the other side: also what nobody may send waits where it is made."""
    server = serve(HANDLERS, "", "--workers", f"{WORKERS}", "--call-timeout", "2")
    assert server.call("add", 1, 1) == 2
    before = server.program.memory()
    floods = [server.enter(flood) for flood in ("greet", "ask")]
    most = 0
    while not all(server.answered(id) for id in floods):
        most = max(most, server.program.memory())
    figures.at_most(20, "floods from inside for 2 s: growth of the front-end", (most - before) / 2**20, 32, "MiB")
