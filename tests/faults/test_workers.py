"""Workers that die, hang, or are killed (faults, checks 2 to 5 and 7; checks 1 and 6 are in ``test_pool.py``)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.figures import Figures
from tests.wire.gates import PASS, Gate
from tests.wire.server import SETUP, Serve

WORK = (
    PASS
    + """
import ctypes, os, signal, sys, time
def add(a, b): return a + b
def pid(): return os.getpid()
def die(number): os.kill(os.getpid(), number); time.sleep(60)
def leave(code): os._exit(code)
def segfault(): ctypes.string_at(0)
def abort(): os.abort()
def note_and_die(path):
    with open(path, "a") as file: file.write("ran\\n")
    os.kill(os.getpid(), signal.SIGKILL)
def wait(f, path):
    f()
    _pass_gate(path)
    return os.getpid()
"""
)


def test_kill_of_a_worker_with_50_calls_queued_costs_one_error(serve: Serve, gate: Gate) -> None:
    """Must show: one error, 49 results, with one worker that has everything."""
    server = serve(WORK, "", "--workers", "1")
    pid = server.call("pid")
    server.call("add", 1, 1)
    running = server.enter("wait", str(gate))
    queued = [server.begin("add", number, 1) for number in range(49)]
    os.kill(pid, signal.SIGKILL)
    failure = server.failure(running)
    assert failure.code == -32001
    assert "wait" in failure.message
    assert "SIGKILL" in failure.message
    assert [server.value(id) for id in queued] == list(range(1, 50))


def test_worker_killed_while_busy_costs_the_running_call_alone(serve: Serve, tmp_path: Any) -> None:
    """As above, without a callback having been near: the handler tells by a file that it runs."""
    server = serve(
        PASS
        + "import os\ndef hold(path, gate):\n    open(path, 'w').write(str(os.getpid()))\n    _pass_gate(gate)\n"
        + "def add(a, b): return a + b",
        "",
        "--workers",
        "1",
    )
    for number in range(20):
        assert server.call("add", number, 0) == number
    told = tmp_path / "told"
    os.mkfifo(told)
    gate = Gate(tmp_path / "shut")
    ids = server.begin_many([("hold", [str(told), str(gate)]), *[("add", [number, 1]) for number in range(49)]])
    os.kill(int(told.read_text()), signal.SIGKILL)
    assert "SIGKILL" in server.failure(ids[0]).message
    assert [server.value(id) for id in ids[1:]] == list(range(1, 50))
    gate.open()


def test_poison_call_runs_once_and_harms_nobody_else(serve: Serve, figures: Figures, tmp_path: Any) -> None:
    """Check 2."""
    server = serve(WORK, "", "--workers", "4")
    path = tmp_path / "ran"
    calls: list[tuple[str, list[Any]]] = [("add", [number, 1]) for number in range(1_000)]
    for place in (900, 700, 500, 300, 100):
        calls.insert(place, ("note_and_die", [str(path)]))
    ids = server.begin_many(calls)
    innocent = 0
    for (name, args), id in zip(calls, ids, strict=True):
        if name == "add":
            innocent += server.value(id) == args[0] + 1
        else:
            assert "SIGKILL" in server.failure(id).message
    figures.count(2, "innocent calls among 5 that kill their worker: succeed", innocent, 1_000)
    figures.count(2, "calls that kill their worker: run once", path.read_text().count("ran\n"), 5)


def test_error_of_a_death_comes_at_once(serve: Serve, figures: Figures) -> None:
    """Check 2."""
    server = serve(WORK, "", "--workers", "2")
    server.call("add", 1, 1)
    times = []
    for _ in range(20):
        begin = time.monotonic()
        server.failure(server.begin("leave", 7))
        times.append(time.monotonic() - begin)
    figures.at_most(2, "error of a call that has killed its worker", max(times), 0.1, room=20)


DEATHS = {
    "os._exit(0)": ("leave", [0], "exit status 0"),
    "os._exit(3)": ("leave", [3], "exit status 3"),
    "SIGTERM": ("die", [int(signal.SIGTERM)], "SIGTERM"),
    "SIGKILL": ("die", [int(signal.SIGKILL)], "SIGKILL"),
    "segfault": ("segfault", [], "SIGSEGV"),
    "abort": ("abort", [], "SIGABRT"),
}


@pytest.mark.parametrize("name", DEATHS)
def test_each_way_to_end_the_worker_is_named_with_its_handler(serve: Serve, figures: Figures, name: str) -> None:
    """Checks 3 and 4; for crashes the Python stack stands on stderr."""
    function, args, words = DEATHS[name]
    server = serve(WORK, "", "--workers", "1")
    server.call("add", 1, 2)
    begin = time.monotonic()
    failure = server.failure(server.begin(function, *args))
    elapsed = time.monotonic() - begin
    assert failure.code == -32001
    named = words in failure.message and function in failure.message
    assert server.call("add", 1, 2) == 3
    if words in {"SIGSEGV", "SIGABRT"}:
        figures.count(4, "crashes: signal and handler named", named, 1)
        figures.at_most(4, "crashes: error after the crash", elapsed, 0.2, room=20)
        server.program.wait_for_stderr(f"in {function}")
    else:
        figures.count(3, "ways to end the worker: cause and handler named", named, 1)


@pytest.mark.parametrize(
    ("raised", "words"), [("SystemExit(3)", "sys.exit(3)"), ("KeyboardInterrupt", "KeyboardInterrupt")]
)
def test_exceptions_that_end_programs_end_calls_only(serve: Serve, figures: Figures, raised: str, words: str) -> None:
    """Check 3: the worker lives on."""
    server = serve(f"import os\ndef pid(): return os.getpid()\ndef leave(): raise {raised}", "", "--workers", "1")
    before = server.call("pid")
    failure = server.failure(server.begin("leave"))
    figures.count(3, "sys.exit and KeyboardInterrupt: named, and the worker lives on", words in failure.message, 1)
    assert server.call("pid") == before


def test_crash_while_a_result_is_encoded_or_arguments_are_collected(serve: Serve, figures: Figures) -> None:
    """Check 4: code of the user that runs outside of the handler's body."""
    server = serve(
        """
        import os
        class _Dict(dict):
            def items(self): os.abort()
        class _Last:
            def __del__(self): os.abort()
        def encoded(): return _Dict(a=1)
        def collected(x):
            x.append(_Last())
            return 1
        def add(a, b): return a + b
        """,
        "",
        "--workers",
        "1",
    )
    calls: list[tuple[str, list[Any]]] = [("encoded", []), ("collected", [[]])]
    assert server.call("add", 1, 2) == 3  # or the server's start would be measured
    for function, args in calls:
        begin = time.monotonic()
        failure = server.failure(server.begin(function, *args))
        elapsed = time.monotonic() - begin
        named = "SIGABRT" in failure.message and function in failure.message
        figures.count(4, "crashes: signal and handler named", named, 1)
        figures.at_most(4, "crashes: error after the crash", elapsed, 0.2, room=20)
        server.program.wait_for_stderr(f"in {'items' if function == 'encoded' else '__del__'}")
        assert server.call("add", 1, 2) == 3


def test_deadly_calls_one_after_the_other_do_not_stop_the_server(serve: Serve) -> None:
    """Workers that had got ready are replaced without a pause."""
    server = serve(WORK, "", "--workers", "2")
    begin = time.monotonic()
    for _ in range(30):
        assert "exit status 1" in server.failure(server.begin("leave", 1)).message
    assert server.call("add", 1, 2) == 3
    assert time.monotonic() - begin < 10


HANGS = {
    "spin": "while True: pass",
    "sleep": "time.sleep(60)",
    "C code that holds the GIL": "ctypes.PyDLL(None).sleep(60)",
    "SIGTERM ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: pass",
    "every exception swallowed": "while True:\n        try: time.sleep(60)\n        except BaseException: pass",
}


@pytest.mark.parametrize("name", HANGS)
def test_hung_handler_is_a_timeout_that_names_it(serve: Serve, figures: Figures, name: str) -> None:
    """Check 7."""
    handlers = f"import ctypes, signal, time\ndef hang():\n    {HANGS[name]}\ndef add(a, b): return a + b"
    server = serve(handlers, "", "--workers", "1", "--call-timeout", "0.5")
    server.call("add", 1, 1)
    begin = time.monotonic()
    hung = server.begin("hang")
    behind = server.begin("add", 1, 2)
    failure = server.failure(hung)
    late = time.monotonic() - begin - 0.5
    assert late >= 0
    assert failure.code == -32002
    figures.count(7, "handlers that hang, in five ways: named", "hang" in failure.message, 1)
    figures.at_most(7, "their error after the time-out", late, 0.25, room=3)
    assert server.value(behind) == 3


def test_time_in_the_queue_does_not_count(serve: Serve) -> None:
    """T is about execution."""
    server = serve("import time\ndef rest(): time.sleep(0.3)", "", "--workers", "1", "--call-timeout", "1")
    ids = [server.begin("rest") for _ in range(6)]
    assert [server.value(id) for id in ids] == [None] * 6


def test_setup_that_raises_ends_with_3_and_the_traceback(serve: Serve, figures: Figures) -> None:
    """Check 5."""
    server = serve("", SETUP + "1 / 0")
    code = server.program.exit_code(10)
    stderr = server.program.all_stderr()
    assert "ZeroDivisionError" in stderr
    assert "setup.py" in stderr
    figures.count(5, "setup script that raises: exit status 3, and the traceback", code == 3, 1)


DIES_YOUNG = """
import os, time
generation = children = 0
def count():
    global children
    children += 1
def die():
    global generation, children
    generation += 1
    if generation == 2 and children > 1:  # a child of the nursery, and not its first, which is the setup script's
        os.write(2, f"born at {time.monotonic()}\\n".encode())
        os._exit(9)
    children = 0
os.register_at_fork(before=count, after_in_child=die)
"""
"""A ``sitecustomize.py``, by which workers die before they are ready, without the program having a hand in it."""


def test_workers_that_die_before_they_are_ready_end_the_server_with_a_sentence(
    serve: Serve, figures: Figures, tmp_path: Path
) -> None:
    """Check 5: not in a storm of births, nor for ever."""
    (tmp_path / "sitecustomize.py").write_text(DIES_YOUNG)
    server = serve(WORK, "", "--workers", "4", environment={"PYTHONPATH": str(tmp_path)})
    call = server.begin("add", 1, 2)
    assert server.program.exit_code(40) == 1
    assert server.failure(call).code == -32004
    stderr = server.program.all_stderr()
    assert "10 processes in a row died before they were ready as worker" in stderr
    births = [float(line.split()[-1]) for line in stderr.splitlines() if line.startswith("born at ")]
    assert len(births) >= 10
    most = max(sum(begin <= birth < begin + 1 for birth in births) for begin in births)
    figures.at_most(5, "workers that die before they are ready: starts in any second", most, 5, "")
