"""Background tasks of a script that is simply run: each in a Python of its own."""

from __future__ import annotations

import socket
import subprocess
import textwrap
import threading
from pathlib import Path

import pytest

from scriptling.runtime import runner
from tests.wire.program import EXECUTABLE

BEGIN = """
import os, sys, time
import scriptling.runtime as runtime
import scriptling.runtime.sync as sync
"""


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    path = folder / "script.py"
    path.write_text(BEGIN + textwrap.dedent(script))
    return subprocess.run(
        [str(EXECUTABLE), str(path)], cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )


def test_functions_of_the_script_and_of_libraries_run_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "lib.py").write_text("def double(x): return 2 * x\n")
    done = run(
        tmp_path,
        """
        base = 40
        def own(a, b): return [base + a + b, os.getpid()]
        first = runtime.background("first", "own", 1, b=1)
        second = runtime.background("second", "lib.double", [1, (2,)])
        third = runtime.background("third", lambda: {1})
        value, pid = first.get()
        second.wait(30)
        print(value, pid != os.getpid(), second.get(), second.get(), third.get())
        """,
    )
    assert done.stdout == "42 True [1, (2,), 1, (2,)] [1, (2,), 1, (2,)] {1}\n", done.stderr


def test_exceptions_and_deaths_are_raised_where_the_result_is_asked_for(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        def bad(): raise KeyError("k")
        def die(): os.kill(os.getpid(), 9)
        def slow(): time.sleep(1000)
        for name in ("bad", "die"):
            try:
                runtime.background(name, name).get()
            except runtime.TaskError as error:
                print(error)
        try:
            runtime.background("slow", "slow").get(0.1)
        except TimeoutError as error:
            print(error)
        """,
    )
    bad, die, slow = done.stdout.splitlines()
    assert bad == "KeyError: 'k'"
    assert "killed by signal 9 (SIGKILL)" in die
    assert "'slow' has not ended within 0.1 s" in slow
    assert "the task bad has failed" in done.stderr
    assert done.returncode == 0


def test_tasks_share_queues_with_the_script_and_with_one_another(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        def worker(number):
            while True:
                try:
                    item = sync.Queue("in").get()
                except sync.QueueClosed:
                    return number
                sync.Queue("out").put(item * 10)
        promises = [runtime.background("w", "worker", number) for number in range(2)]
        for number in range(6):
            sync.Queue("in").put(number)
        print(sorted(sync.Queue("out").get() for _ in range(6)))
        sync.Queue("in").close()
        print(sorted(promise.get() for promise in promises))
        """,
    )
    assert done.stdout.splitlines() == ["[0, 10, 20, 30, 40, 50]", "[0, 1]"], done.stderr


def test_tasks_end_with_the_script(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        def stay():
            sync.Queue("up").put(os.getpid())
            time.sleep(1000)
        runtime.background("stay", "stay")
        print(sync.Queue("up").get())
        """,
    )
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_tasks_share_stores_and_counters_with_the_script(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import scriptling.runtime.kv as kv
        def own():
            kv.open(":memory:other").set("k", "from the task")
            return [kv.default.get("k"), sync.Atomic("n").add(), sync.Shared("s").get()]
        kv.default.set("k", "from the script")
        sync.Atomic("n").add()
        sync.Shared("s", [1])
        print(runtime.background("own", "own").get(), kv.open(":memory:other").get("k"))
        """,
    )
    assert done.stdout == "['from the script', 2, [1]] from the task\n", done.stderr


def test_what_a_killed_task_waited_for_goes_to_the_next(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        def wait():
            sync.Queue("up").put(os.getpid())
            sync.Queue("jobs").get()
        promise = runtime.background("wait", "wait")
        pid = sync.Queue("up").get()
        try:
            sync.Queue("never").get(0.2)
        except TimeoutError:
            os.kill(pid, 9)
        promise.wait()
        sync.Queue("jobs").put("item")
        print(sync.Queue("jobs").get(10))
        """,
    )
    assert done.stdout == "item\n", done.stderr


def test_a_wait_that_is_interrupted_takes_nothing(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import signal
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            sync.Queue("jobs").get()
        except KeyboardInterrupt:
            sync.Queue("jobs").put("item")
        print(sync.Queue("jobs").get(10))
        """,
    )
    assert done.stdout == "item\n", done.stderr


def test_a_process_that_cannot_be_started_fails_its_task_only(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import resource
        def own(): return 1
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        print(runtime.background("first", "own").get())
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            runtime.background("second", "own").get()
        except runtime.TaskError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        print(runtime.background("third", "own").get())
        """,
    )
    text = "the process of the task 'second' cannot be started: Too many open files"
    assert done.stdout == f"1\n{text}\n1\n", done.stderr


def test_threads_are_as_many_as_tasks_that_run_at_once(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        import threading
        import scriptling.runtime.local as local
        local._MOST_TASKS = 2
        def own(x): return x
        promises = [runtime.background("own", "own", x) for x in range(6)]
        print(threading.active_count() <= 3 + 2, [promise.get() for promise in promises])
        """,
    )
    assert done.stdout == "True [0, 1, 2, 3, 4, 5]\n", done.stderr


def test_tasks_that_wait_for_tasks_leave_them_their_turn(tmp_path: Path) -> None:
    (tmp_path / "lib.py").write_text(
        "import scriptling.runtime as runtime\n"
        "def descend(depth):\n"
        "    return 1 + runtime.background('next', 'lib.descend', depth - 1).get() if depth else 0\n"
    )
    done = run(
        tmp_path,
        """
        import scriptling.runtime.local as local
        local._MOST_TASKS = 2
        def put(): sync.Queue("jobs").put("item")
        def take(): return sync.Queue("jobs").get()
        print(runtime.background("first", "lib.descend", 5).get(40))
        takers = [runtime.background("take", "take") for _ in range(3)]
        putters = [runtime.background("put", "put") for _ in range(3)]
        print([taker.get(40) for taker in takers])
        """,
    )
    assert done.stdout == "5\n['item', 'item', 'item']\n", done.stderr


def test_a_script_that_ends_says_nothing_of_tasks_that_end_with_it(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        def stay():
            sync.Queue("up").put(1)
            time.sleep(1000)
        runtime.background("stay", "stay")
        print(sync.Queue("up").get())
        """,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_script_that_is_killed_leaves_tasks_that_say_nothing(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        """
        def stay():
            sync.Queue("up").put(1)
            sync.Queue("never").get()
        runtime.background("stay", "stay")
        sync.Queue("up").get()
        os.kill(os.getpid(), 9)
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-9, "", "")


def test_a_task_whose_script_has_gone_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be killed before it has said the half of it."""
    said: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    ours, theirs = socket.socketpair()
    before = set(threading.enumerate())
    channel = runner._Channel(theirs.detach())
    runner._Bridge(channel)
    [listener] = set(threading.enumerate()) - before
    ours.close()
    listener.join(50)
    channel._stream.close()
    channel._socket.close()
    assert (listener.is_alive(), said) == (False, [])
