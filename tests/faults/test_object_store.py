"""The object store killed, methods that hang, and ends of objects that misbehave (faults, checks 8, 9, 15 and 19)."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.conftest import FULL_SCALE
from tests.faults.figures import Figures, percentile
from tests.wire.fixtures import Listen
from tests.wire.gates import PASS, Gate
from tests.wire.network import hosting
from tests.wire.program import DEADLINE
from tests.wire.server import Serve
from tests.wire.values import Raw

THINGS = (
    PASS
    + """
import os, threading, time
def add(a, b): return a + b
class Thing:
    def __init__(self, value=0): self.value = value
    def pid(self): return os.getpid()
    def get(self): return self.value
    def wait(self, path): _pass_gate(path)
    def hang(self):
        while True: time.sleep(60)
    def spin(self):
        while True: pass
    def call(self, f): return f()
    def call_beside(self, f, path):
        self.beside = threading.Thread(target=self._call, args=(f,))
        self.beside.start()
        _pass_gate(path)
    def _call(self, f):
        try: f()
        except Exception as error: self.value = str(error)
    def join(self):
        self.beside.join()
        return self.value
def use(thing): return thing.get()
"""
)


def test_object_store_killed(serve: Serve, figures: Figures, gate: Gate) -> None:
    """Check 8: its objects are lost for ever, plain calls succeed, new objects work again."""
    server = serve(THINGS, "", "--workers", "2")
    old = [server.new("Thing", number) for number in range(3)]
    pid = server.method(old[0], "pid")
    waiting = server.begin_method(old[1], "wait", str(gate))
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    calls = [server.begin("add", number, 1) for number in range(200)]
    right = sum(server.value(id) == number + 1 for number, id in enumerate(calls))
    figures.count(8, "object store killed: plain calls that succeed", right, 200)
    failure = server.failure(waiting)
    assert failure.code in {-32001, -32005}
    fresh = server.new("Thing", 7)
    figures.at_most(8, "object store killed: the next object made", time.monotonic() - killed, 1, room=5)
    for _ in range(2):
        for thing in old:
            failure = server.failure(server.begin_method(thing, "get"))
            assert (failure.code, failure.message.partition(":")[0]) == (-32005, "object lost")
    failure = server.failure(server.begin("use", old[0]))
    assert "object lost" in failure.message
    for thing in old:
        server.destroy(thing)
    assert server.method(fresh, "get") == 7
    assert server.call("use", fresh) == 7


def test_object_store_killed_again_and_again(serve: Serve) -> None:
    server = serve(THINGS, "", "--workers", "1")
    olds = []
    for _ in range(4):
        thing = server.new("Thing", 1)
        olds.append(thing)
        os.kill(server.method(thing, "pid"), signal.SIGKILL)
        assert server.failure(server.begin_method(thing, "get")).code in {-32001, -32005}  # now its death is known
    new = server.new("Thing", 2)
    assert server.method(new, "get") == 2
    for old in olds:
        assert server.failure(server.begin_method(old, "get")).code == -32005


@pytest.mark.parametrize("way", ["hang", "spin"])
def test_hung_method_does_not_hold_up_other_objects(serve: Serve, figures: Figures, way: str) -> None:
    """Check 9."""
    server = serve(THINGS, "", "--workers", "2", "--call-timeout", "1")
    one, two = server.new("Thing"), server.new("Thing", 2)
    hung = server.begin_method(one, way)
    behind = server.begin_method(one, "get")
    times = []
    while not server.answered(hung):
        begin = time.monotonic()
        assert server.method(two, "get") == 2
        times.append(time.monotonic() - begin)
    figures.at_most(9, "a method hangs: 99th percentile of another object's", percentile(times), 0.05, room=20)
    failure = server.failure(hung, 3)
    assert failure.code == -32002
    assert f"Thing.{way}" in failure.message
    assert server.failure(behind, 3).code == -32002
    assert server.method(two, "get") == 2
    assert server.method(server.new("Thing", 3), "get") == 3


def test_many_hung_methods_leave_room_for_others(serve: Serve, gate: Gate) -> None:
    server = serve(THINGS, "", "--workers", "2")
    things = [server.new("Thing", number) for number in range(41)]
    waiting = [server.begin_method(thing, "wait", str(gate)) for thing in things[:40]]
    assert server.method(things[40], "get") == 40
    gate.open()
    assert [server.value(id) for id in waiting] == [None] * 40


def test_callback_of_a_method_that_uses_the_same_object_completes(serve: Serve, figures: Figures) -> None:
    """Check 15, ten levels deep, and through a function's handler as well."""
    server = serve(THINGS, "", "--workers", "2")
    thing = server.new("Thing", 5)

    def deeper(level: int) -> int:
        if level == 10:
            value: int = server.call("use", thing)
            return value
        nested: int = server.method(thing, "call", lambda: deeper(level + 1))
        return nested

    figures.count(15, "a method's callback that uses its object, ten levels deep: completes", deeper(0) == 5, 1)


def test_object_whose_method_leaves_a_thread_asking_can_be_used(serve: Serve, gate: Gate) -> None:
    server = serve(THINGS, "")
    thing = server.new("Thing")
    by_hand = Raw({"type": "callback", "callback": {"id": "by hand"}})
    left = server.begin_method(thing, "call_beside", by_hand, str(gate))
    server.question()
    gate.open()
    assert server.value(left) is None
    assert "has ended" in server.method(thing, "join")
    assert "has ended" in server.method(thing, "get")


ENDS = {
    "raises": "raise RuntimeError('in __del__')",
    "hangs": "time.sleep(60)",
    "calls back": "self.kept()",
    "exits": "sys.exit(3)",
    "interrupts": "raise KeyboardInterrupt",
}
DEADLY = "ends the process"


@pytest.mark.parametrize("end", ENDS)
def test_destroy_is_answered_whatever_del_does(serve: Serve, figures: Figures, end: str) -> None:
    """Check 19: within a second; and the end of the server within five."""
    server = serve(
        f"""
        import sys, time
        class Bad:
            def __init__(self, f): self.kept = f
            def get(self): return 1
            def __del__(self): {ENDS[end]}
        """
    )
    things = [server.new("Bad", lambda: None) for _ in range(5)]
    times = []
    for thing in things[:2]:
        begin = time.monotonic()
        server.destroy(thing, 5)
        times.append(time.monotonic() - begin)
    figures.at_most(19, "`__del__` that misbehaves, in five ways: object.destroy answered", max(times), 1, room=2)
    assert server.method(things[2], "get") == 1
    server.end()
    assert server.program.exit_code(10) == 0
    if end == "raises":
        assert "in __del__" in server.program.all_stderr()


def test_del_that_ends_the_process_costs_the_other_objects_and_no_more(serve: Serve) -> None:
    server = serve(
        """
        import os
        class Bad:
            def __init__(self, x): self.x = x
            def get(self): return self.x
            def __del__(self):
                if self.x: os._exit(1)
        """
    )
    good, bad = server.new("Bad", 0), server.new("Bad", 1)
    server.answer(server.request("object.destroy", {"object_id": bad.id}))
    failure = server.failure(server.begin_method(good, "get"))
    assert failure.code in {-32001, -32005}
    assert server.method(server.new("Bad", 0), "get") == 0


@pytest.mark.parametrize("end", [*ENDS, DEADLY])
@pytest.mark.parametrize("number", [100, pytest.param(1000, marks=getattr(pytest.mark, FULL_SCALE))])
def test_shutdown_with_many_bad_ends_takes_five_seconds_at_most(
    serve: Serve, figures: Figures, end: str, number: int
) -> None:
    """Check 19."""
    server = serve(
        f"""
        import os, sys, time
        class Bad:
            def __init__(self, f): self.kept = f
            def __del__(self): {ENDS.get(end, "os._exit(3)")}
        """
    )
    for _ in range(number):
        server.new("Bad", lambda: None)
    begin = time.monotonic()
    server.end()
    assert server.program.exit_code(20) == 0
    what = f"shutdown with {number:,} objects whose `__del__` {end}"
    figures.at_most(19, what, time.monotonic() - begin, 5, room=2)


@pytest.mark.parametrize("number", [1_000, pytest.param(10_000, marks=getattr(pytest.mark, FULL_SCALE))])
def test_host_that_goes_away_owning_many_objects(serve: Serve, figures: Figures, number: int, tmp_path: object) -> None:
    """Check 18, over stdio: all of them end, within five seconds."""
    path = f"{tmp_path}/ends"
    server = serve(
        f"""
        class Thing:
            def __init__(self): pass
            def __del__(self):
                with open({path!r}, "a") as file: file.write("x")
        """
    )
    ids = [server.request("object.new", {"class": "Thing"}) for _ in range(number)]
    for id in ids:
        server.result(id)
    begin = time.monotonic()
    server.end()
    assert server.program.exit_code(20) == 0
    figures.at_most(18, f"host with {number:,} objects goes: all ended", time.monotonic() - begin, 5, room=2)
    with open(path) as file:  # noqa: PTH123
        assert len(file.read()) == number


@pytest.mark.parametrize("number", [1_000, pytest.param(10_000, marks=getattr(pytest.mark, FULL_SCALE))])
def test_host_on_a_websocket_that_goes_away_owning_many_objects(
    listen: Listen, figures: Figures, number: int, tmp_path: Path
) -> None:
    """Check 18, where the server goes on: all of them end, and others are served meanwhile."""
    path = tmp_path / "ends"
    port = listen(
        f"""
        class Thing:
            def __init__(self, stays=False): self.stays = stays
            def get(self): return 1
            def __del__(self):
                if not self.stays:
                    with open({str(path)!r}, "a") as file: file.write("x")
        """
    )
    with hosting(port, "websocket") as other:
        stays = other.new("Thing", True)
        with hosting(port, "websocket") as host:
            ids = [host.request("object.new", {"class": "Thing"}) for _ in range(number)]
            for id in ids:
                host.result(id)
            assert not path.exists()
            begin = time.monotonic()
        while not path.exists() or path.stat().st_size < number:
            assert other.method(stays, "get") == 1
            assert time.monotonic() - begin < DEADLINE, f"{path.stat().st_size} of {number} have ended"
        what = f"host on a WebSocket with {number:,} objects goes, the server stays: all ended"
        figures.at_most(18, what, time.monotonic() - begin, 5, room=4)
        assert path.stat().st_size == number


@pytest.mark.parametrize("way", ["__setstate__", "__reduce__"])
def test_crash_while_an_instance_is_unpickled_in_the_store(serve: Serve, figures: Figures, way: str) -> None:
    """Check 4: the only code of the user's that runs where arguments and the like are decoded."""
    server = serve(
        """
        import os
        def _rebuild(): os.abort()
        class State:
            def __init__(self): self.value = 1
            def __setstate__(self, state): os.abort()
        class Reduced:
            def __reduce__(self): return _rebuild, ()
        class Good:
            def get(self): return 2
        def make(way): return State() if way == "__setstate__" else Reduced()
        def add(a, b): return a + b
        """,
        "",
        "--workers",
        "1",
    )
    assert server.call("add", 1, 2) == 3  # or the server's start would be measured
    begin = time.monotonic()
    failure = server.failure(server.begin("make", way))
    elapsed = time.monotonic() - begin
    named = "SIGABRT" in failure.message
    figures.count(4, "crashes where a moved instance is unpickled in the store: signal named", named, 1)
    figures.at_most(4, "crashes: error after the crash", elapsed, 0.2, room=20)
    server.program.wait_for_stderr(f"in {'_rebuild' if way == '__reduce__' else way}")
    assert server.call("add", 1, 2) == 3
    assert server.method(server.new("Good"), "get") == 2


def test_object_store_killed_while_methods_wait_for_callbacks(serve: Serve) -> None:
    server = serve(THINGS, "", "--workers", "2")
    thing = server.new("Thing")
    pid = server.method(thing, "pid")
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        inside.set()
        leave.wait(20)

    call = server.begin_method(thing, "call", stay)
    assert inside.wait(20)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert server.failure(call).code in {-32001, -32005}
    leave.set()
    assert server.call("add", 1, 2) == 3
