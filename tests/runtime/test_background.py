"""Background tasks of a script that is simply run: each in a Python of its own."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path

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
