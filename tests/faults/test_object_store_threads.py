"""More methods at once than an object store has threads for: all are answered, and nobody's objects are lost."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.figures import Figures, percentile
from tests.wire.gates import PASS, Gate
from tests.wire.server import Serve, Server
from tests.wire.values import CallFailedError, Remote

THINGS = (
    PASS
    + """
import os, time
class Thing:
    def __init__(self, value=0): self.value = value
    def pid(self): return os.getpid()
    def get(self): return self.value
    def wait(self, path): _pass_gate(path)
    def doze(self):
        time.sleep(0.05)
        return self.value
    def hang(self): time.sleep(600)
    def call(self, f): return f()
"""
)
MANY = 400
MOST = 320 + 3  # threads of the crew, beside the main one, the monitor, and ZeroMQ's
LIMITED = ("--max-memory", "512")
FEW = ("--max-memory", "128")  # leaves eight threads


def threads(pid: int) -> int:
    return len([*Path(f"/proc/{pid}/task").iterdir()])


def things(server: Server, number: int) -> list[Remote]:
    return [server.new("Thing", value) for value in range(number)]


@pytest.mark.parametrize(("flags", "most"), [((), MOST + 2), (LIMITED, 40)], ids=["unlimited", "little memory"])
def test_more_methods_that_wait_than_threads(
    serve: Serve, figures: Figures, gate: Gate, flags: tuple[str, ...], most: int
) -> None:
    """Check 9: what is known to be quick goes on, and the rest has its turn."""
    server = serve(THINGS, "", "--workers", "1", *flags)
    other, *waiting = things(server, MANY + 1)
    pid = server.method(other, "pid")
    assert server.method(other, "get") == 0
    ids = [server.begin_method(thing, "wait", str(gate)) for thing in waiting]
    times = []
    for _ in range(200):
        begin = time.monotonic()
        assert server.method(other, "get") == 0
        times.append(time.monotonic() - begin)
    what = "more methods wait than there are threads: 99th percentile of another object's"
    figures.at_most(9, what, percentile(times), 0.05, room=20)
    assert threads(pid) <= most
    server.destroy(server.new("Thing"), 5)
    gate.open()
    assert [server.value(id) for id in ids] == [None] * MANY
    assert server.method(other, "pid") == pid


@pytest.mark.parametrize("flags", [(), LIMITED], ids=["unlimited", "little memory"])
def test_many_slow_methods_at_once_are_all_answered(serve: Serve, flags: tuple[str, ...]) -> None:
    """Their time-out does not count the time for which they wait for a thread."""
    server = serve(THINGS, "", "--workers", "1", "--call-timeout", "1", *flags)
    ids = [server.begin_method(thing, "doze") for thing in things(server, 1000)]
    assert [server.value(id) for id in ids] == [*range(1000)]


@pytest.mark.parametrize("flags", [(), LIMITED], ids=["unlimited", "little memory"])
def test_more_methods_that_hang_than_threads(serve: Serve, flags: tuple[str, ...]) -> None:
    """Those that were begun are timed out, the others refused; and the store is not killed for being full."""
    server = serve(THINGS, "", "--workers", "1", "--call-timeout", "2", *flags)
    other, *hanging = things(server, MANY + 1)
    pid = server.method(other, "pid")
    assert server.method(other, "get") == 0
    ids = [server.begin_method(thing, "hang") for thing in hanging]
    failures = Counter(server.failure(id).code for id in ids)
    assert set(failures) == {-32002, -32003}
    assert sum(failures.values()) == MANY
    assert server.method(other, "get") == 0
    refused = server.failure(server.begin_method(other, "doze"))
    assert (refused.code, "no more threads" in refused.message) == (-32003, True)
    server.destroy(hanging[-1], 5)
    assert server.method(other, "pid") == pid


def test_callbacks_that_need_more_threads_than_there_are_fail_and_do_not_hang(serve: Serve) -> None:
    server = serve(THINGS, "", "--workers", "1", *FEW)
    chain = things(server, 20)
    pid = server.method(chain[0], "pid")

    def deeper(level: int) -> object:
        return server.method(chain[level], "call", lambda: deeper(level + 1)) if level < len(chain) else 0

    with pytest.raises(CallFailedError, match="no more threads"):
        deeper(0)
    assert [server.method(thing, "get") for thing in chain] == [*range(20)]
    assert server.method(chain[0], "pid") == pid
