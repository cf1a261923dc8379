"""Several object stores: a crash in one class costs the objects of its store, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.faults.figures import Figures
from tests.wire.gates import PASS, Gate
from tests.wire.server import Serve, Server

THINGS = (
    PASS
    + """
import ctypes, os
class _Thing:
    count = 0
    def __init__(self, value=0):
        type(self).count += 1
        self.value = value
    def pid(self): return os.getpid()
    def get(self): return self.value
    def read(self, other): return other.get()
    def keep(self, other): self.value = other
    def read_kept(self): return self.value.get()
    def same(self, other): return type(other).__name__, other is self
    def back(self, other): return other
    def made(self): return type(self).count
    def crash(self): ctypes.string_at(0)
    def wait(self, path): _pass_gate(path)
    def make(self, value): return Right(value)
    def ask(self, other, f): return other.get() + f() + other.get()
class Left(_Thing): pass
class Right(_Thing): pass
def read(thing): return thing.get()
def make(value): return Right(value)
"""
)
TWO = ("--object-stores", "2", "--workers", "2")


def test_a_crash_costs_the_objects_of_its_own_store_only(serve: Serve, figures: Figures, gate: Gate) -> None:
    server = serve(THINGS, "", *TWO)
    lefts = [server.new("Left", number) for number in range(20)]
    rights = [server.new("Right", number) for number in range(20)]
    waiting = server.begin_method(rights[0], "wait", str(gate))
    crash = server.begin_method(lefts[0], "crash")
    calls = [server.begin_method(right, "get") for right in rights[1:]]
    crashed = time.monotonic()
    failure = server.failure(crash)
    assert failure.code == -32005
    assert "SIGSEGV" in failure.message
    right = sum(server.value(id) == number for number, id in enumerate(calls, 1))
    figures.count(8, "one of two object stores crashes: objects of the other that answer", right, 19)
    fresh = server.new("Left", 7)
    figures.at_most(8, "one of two object stores crashes: the next object there", time.monotonic() - crashed, 1, room=5)
    assert server.method(fresh, "get") == 7
    for left in lefts:
        assert server.failure(server.begin_method(left, "get")).code == -32005
    gate.open()
    assert server.value(waiting) is None
    assert [server.method(each, "get") for each in rights] == list(range(20))


def test_each_store_is_replaced_however_often_either_dies(serve: Serve) -> None:
    server = serve(THINGS, "", *TWO)
    gone = []
    for turn in range(3):
        for name in ("Left", "Right"):
            thing = server.new(name, turn)
            os.kill(server.method(thing, "pid"), signal.SIGKILL)
            assert server.failure(server.begin_method(thing, "get")).code in {-32001, -32005}
            gone.append(thing)
    kept = [server.new(name, 1) for name in ("Left", "Right")]
    for thing in gone:
        assert server.failure(server.begin_method(thing, "get")).code == -32005
        server.destroy(thing)
    assert [server.method(thing, "get") for thing in kept] == [1, 1]


DIES_RESOLVING = """
import os, time
if os.path.exists({record!r}):
    with open({record!r}, "a+") as record:
        record.write(f"{{time.monotonic()}}\\n")
        record.seek(0)
        if len(record.readlines()) <= 4: os.kill(os.getpid(), 9)
class Left:
    def pid(self): return os.getpid()
class Right(Left): pass
"""


def test_a_store_that_dies_of_its_classes_is_started_again_after_pauses(serve: Serve, tmp_path: Path) -> None:
    record = tmp_path / "births"
    server = serve(DIES_RESOLVING.format(record=str(record)), "", *TWO)
    left, right = server.new("Left"), server.new("Right")
    pid = server.method(left, "pid")
    record.touch()
    os.kill(pid, signal.SIGKILL)
    assert server.failure(server.begin_method(left, "pid")).code in {-32001, -32005}
    fresh = server.request("object.new", {"class": "Left"})
    assert server.method(right, "pid") != pid
    assert server.result(fresh)
    births = [float(line) for line in record.read_text().splitlines()]
    assert len(births) == 5
    pauses = [end - begin for begin, end in pairwise(births)]
    assert all(pause >= least for pause, least in zip(pauses, (0.25, 0.5, 1, 2), strict=True))


def test_a_class_that_was_broken_by_an_edit_costs_no_other_store_anything(serve: Serve, tmp_path: Path) -> None:
    server = serve(THINGS, "", *TWO)
    handlers = tmp_path / "handlers.py"
    source = handlers.read_text()
    left, right = server.new("Left"), server.new("Right", 2)
    handlers.write_text("this is no Python\n")
    assert server.failure(server.begin_method(left, "crash")).code == -32005
    fresh = server.request("object.new", {"class": "Left"})
    server.program.wait_for_stderr("SyntaxError")
    assert server.method(right, "get") == 2
    handlers.write_text(source)
    assert server.result(fresh)
    assert server.method(right, "get") == 2


def test_what_a_method_keeps_of_another_store_can_be_used_by_the_next(serve: Serve) -> None:
    server = serve(THINGS, "", *TWO)
    left, right = server.new("Left"), server.new("Right", 2)
    server.method(left, "keep", right)
    assert server.method(left, "read_kept") == 2
    assert server.method(server.method(left, "get"), "get") == 2


def test_a_forged_question_of_a_handler_costs_its_call_only(serve: Serve) -> None:
    forging = """
def forge(want, target):
    import gc
    from workers.children.asking import Asker
    from workers.frames import Want
    [asker] = [each for each in gc.get_objects() if isinstance(each, Asker)]
    asker.ask(asker.scope(), Want[want], target, b"{}", "get")
"""
    server = serve(THINGS + forging, "", *TWO)
    right = server.new("Right", 2)
    for want, target in (("ADOPT", "nobody's"), ("ADOPT", ""), ("METHOD", "1.x"), ("METHOD", "")):
        assert server.failure(server.begin("forge", want, target)).code == -32000
    assert server.method(right, "get") == 2


def test_a_class_that_no_store_can_resolve_is_a_problem_told_once(serve: Serve) -> None:
    server = serve("class Left: raise RuntimeError('broken')\n", "", *TWO)
    assert "broken" in server.failure(server.request("scriptling.handshake", {"protocol": "1.0"})).message
    assert server.program.exit_code() == 3
    assert server.program.all_stderr().count("register_class('handlers.Left'): RuntimeError") == 1


def test_classes_have_stores_of_their_own_and_share_state_within_each(serve: Serve) -> None:
    server = serve(THINGS, "", *TWO)
    lefts, rights = ([server.new(name) for _ in range(3)] for name in ("Left", "Right"))
    pids = [{server.method(thing, "pid") for thing in things} for things in (lefts, rights)]
    assert [len(each) for each in pids] == [1, 1]
    assert pids[0].isdisjoint(pids[1])
    assert server.method(lefts[0], "made") == 3
    assert server.method(lefts[0], "same", lefts[0]) == ["Left", True]


def test_a_class_is_spread_over_stores_that_no_other_needs(serve: Serve) -> None:
    server = serve(THINGS, "", "--object-stores", "4")
    pids = [{server.method(server.new(name), "pid") for _ in range(4)} for name in ("Left", "Right")]
    assert [len(each) for each in pids] == [2, 2]
    assert pids[0].isdisjoint(pids[1])


def test_objects_of_other_stores_are_used_through_proxies(serve: Serve) -> None:
    server = serve(THINGS, "", *TWO)
    left, right = server.new("Left", 1), server.new("Right", 2)
    assert server.method(left, "read", right) == 2
    assert server.method(left, "same", right) == ["RemoteObject", False]
    back = server.method(left, "back", right)
    assert server.method(back, "get") == 2
    assert server.method(right, "same", back) == ["Right", True]
    assert server.call("read", right) == 2
    destroyed = server.new("Right")
    server.destroy(destroyed)
    assert "unknown object" in server.failure(server.begin_method(left, "read", destroyed)).message


def test_objects_stay_where_a_method_has_made_them_and_go_to_their_class_from_functions(serve: Serve) -> None:
    server = serve(THINGS, "", *TWO)
    left, right = server.new("Left"), server.new("Right")
    by_method, by_function = server.method(left, "make", 3), server.call("make", 4)
    assert server.method(by_method, "pid") == server.method(left, "pid")
    assert server.method(by_function, "pid") == server.method(right, "pid")
    assert [server.method(each, "get") for each in (by_method, by_function)] == [3, 4]


def test_a_chain_through_both_stores_and_the_host_comes_back(serve: Serve) -> None:
    server = serve(THINGS, "", *TWO)
    left, right = server.new("Left", 1), server.new("Right", 2)
    assert server.method(left, "ask", right, lambda: server.method(left, "read", right)) == 6


def test_what_an_owner_has_in_every_store_ends_with_the_server(serve: Serve, tmp_path: Any) -> None:
    record = tmp_path / "ended"
    server: Server = serve(
        f"""
        class _Thing:
            def __del__(self):
                with open({str(record)!r}, "a") as file: file.write(type(self).__name__ + " ")
        class Left(_Thing): pass
        class Right(_Thing): pass
        """,
        "",
        *TWO,
    )
    for name in ("Left", "Right", "Left"):
        server.new(name)
    server.stop()
    assert sorted(record.read_text().split()) == ["Left", "Left", "Right"]
