"""A sandbox runs code in a process of its own, within limits; nothing that the code does is raised to the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scriptling.runtime import sandbox
from scriptling.runtime.sandbox import Sandbox
from scriptling.stores import places
from scriptling.stores.registry import open_memory
from tests.wire.program import EXECUTABLE, wait_until


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox.create(capture_output=True, timeout=10) as made:
        yield made


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_values_are_copied_both_ways(box: Sandbox) -> None:
    value: list[Any] = [1, (2,), {3}, {"a": None}]
    box.set("x", value)
    box.exec("x.append(x[1] + (4,))")
    assert box.get("x") == [1, (2,), {3}, {"a": None}, (2, 4)]
    assert len(value) == 4
    assert box.get("y") is None
    assert (box.exit_code(), box.error()) == (0, "")


def test_the_namespace_stays_from_one_piece_of_code_to_the_next(box: Sandbox) -> None:
    box.exec("def f(n): return n * 2")
    box.exec("y = f(21)")
    assert box.get("y") == 42


def test_it_is_a_process_of_its_own(box: Sandbox) -> None:
    box.exec("import os; pid = os.getpid(); name = __name__")
    assert box.get("pid") != os.getpid()
    assert box.get("name") == "__main__"


@pytest.mark.parametrize(
    ("code", "exit_code", "words"),
    [
        ("1/0", 1, "ZeroDivisionError: division by zero"),
        ("def f(:", 1, "SyntaxError"),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no')", 1, "no"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
        ("class E(Exception):\n def __str__(self): 1/0\nraise E", 1, "E"),
    ],
)
def test_what_code_ends_with_is_told_and_not_raised(box: Sandbox, code: str, exit_code: int, words: str) -> None:
    box.exec(code)
    assert box.exit_code() == exit_code
    assert words in box.error()
    box.exec("fine = 1")
    assert (box.exit_code(), box.error(), box.get("fine")) == (0, "", 1)


def test_tracebacks_begin_in_the_code(box: Sandbox) -> None:
    box.exec("1/0")
    assert box.error().splitlines()[1] == '  File "<sandbox>", line 1, in <module>'


def test_output_is_captured_with_that_of_its_children(box: Sandbox) -> None:
    box.exec("import os, sys\nprint('out')\nsys.stdout.flush()\nos.system('echo child; echo error >&2')")
    assert box.output() == "out\nchild\nerror\n"
    box.exec("print('x' * 300_000)")
    assert len(box.output()) > 300_000


def test_output_goes_where_the_scripts_own_goes(capfd: pytest.CaptureFixture[str]) -> None:
    with sandbox.create() as box:
        box.exec("print('hello')")
        assert box.output() == ""
    assert capfd.readouterr().out == "hello\n"


def test_files_are_run_and_missing_ones_told(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("here = __name__\nprint('ran')\n")
    box.exec_file(tmp_path / "code.py")
    assert box.get("here") == "__main__"
    box.exec_file(str(tmp_path / "missing.py"))
    assert box.exit_code() == 1
    assert "cannot read" in box.error()


def test_code_that_does_not_end_is_killed_and_stays_so() -> None:
    with sandbox.create(timeout=0.5) as box:
        box.exec("import os; pid = os.getpid()")
        pid = box.get("pid")
        box.exec("while True: pass")
        assert box.exit_code() == 1
        assert "did not end within 0.5 s" in box.error()
        assert not is_alive(pid)
        box.set("x", 1)
        box.exec("x = 2")
        assert (box.exit_code(), box.get("x")) == (1, None)


def test_code_that_wants_too_much_memory_is_told() -> None:
    with sandbox.create(memory=64) as box:
        box.exec("x = bytearray(1 << 28)")
        assert box.exit_code() == 1
        assert "MemoryError" in box.error()
        box.exec("y = 1")
        assert box.get("y") == 1


def test_a_sandbox_that_ends_itself_is_an_error(box: Sandbox) -> None:
    box.exec("import os; os.kill(os.getpid(), 11)")
    assert box.exit_code() == 1
    assert "killed by signal 11 (SIGSEGV)" in box.error()


def test_a_sandbox_that_dies_with_a_request_unread_is_an_error_and_none_is_raised(box: Sandbox) -> None:
    box.exec("import os, signal; pid = os.getpid()")
    pid = box.get("pid")
    os.kill(pid, signal.SIGSTOP)
    killer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
    killer.start()
    box.exec("x = 1")
    killer.join()
    assert "killed by signal 9 (SIGKILL)" in box.error()


def test_stores_in_memory_are_its_own_and_gone_with_it(box: Sandbox) -> None:
    open_memory("default", "").set("k", "the script's")
    box.exec("import scriptling.runtime.kv as kv; found = kv.default.get('k'); kv.default.set('k', 1)")
    assert (box.error(), box.get("found")) == ("", None)
    assert open_memory("default", "").get("k") == "the script's"
    assert len([*places.memory_folder().glob("sandbox-*")]) == 1
    box.close()
    assert not [*places.memory_folder().glob("sandbox-*")]


def test_nothing_is_left_when_the_object_is_gone() -> None:
    box = sandbox.create()
    box.exec("import os, subprocess; pids = [os.getpid(), subprocess.Popen(['sleep', '1000']).pid]")
    pids = box.get("pids")
    del box
    wait_until(lambda: not any(map(is_alive, pids)), 10, lambda: f"alive: {pids}")


def test_a_fork_of_the_script_ends_no_sandbox(box: Sandbox) -> None:
    pid = os.fork()
    if not pid:
        box.close()
        os._exit(0)
    os.waitpid(pid, 0)
    box.exec("x = 1")
    assert (box.get("x"), box.error()) == (1, "")


def test_code_that_keeps_the_interpreter_dies_with_the_script_and_what_it_has_started(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import scriptling.runtime.sandbox as sandbox\n"
        "box = sandbox.create(timeout=None)\n"
        'box.exec(\'import os, subprocess; pids = [os.getpid(), subprocess.Popen(["sleep", "1000"]).pid]\')\n'
        "print(*box.get('pids'), flush=True)\n"
        'box.exec(\'import re; re.match("(a+)+$", "a" * 60 + "b")\')\n'
    )
    with subprocess.Popen([str(EXECUTABLE), str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)), 10, lambda: f"alive: {pids}")


@pytest.mark.parametrize("stream", ["sys.stdout = None", "sys.stderr.close(); sys.stdout.close()"])
def test_code_may_do_anything_to_its_streams(box: Sandbox, stream: str) -> None:
    box.exec(f"import sys; {stream}; x = 1")
    assert (box.exit_code(), box.error(), box.get("x")) == (0, "", 1)
    box.exec("1 / 0")
    assert "ZeroDivisionError" in box.error()


def test_an_answer_that_was_not_waited_for_is_not_taken_for_that_of_the_next_code() -> None:
    with sandbox.create() as box:
        handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            with pytest.raises(KeyboardInterrupt):
                box.exec("import time; time.sleep(1000)")
        finally:
            signal.signal(signal.SIGALRM, handler)
        box.exec("x = 1")
        assert (box.exit_code(), box.get("x")) == (1, None)
        assert "interrupted" in box.error()


def test_another_thread_may_close_it() -> None:
    box = sandbox.create(timeout=None)
    timer = threading.Timer(0.2, box.close)
    timer.start()
    box.exec("import time; time.sleep(1000)")
    timer.join()
    assert box.exit_code() == 1


def test_what_cannot_be_passed_is_named(box: Sandbox) -> None:
    with pytest.raises(TypeError, match=r"cannot pass object at x\[0\]"):
        box.set("x", [object()])
    with pytest.raises(ValueError, match="cannot be the name of a variable"):
        box.set("not a name", 1)
    box.exec("y = [print]")
    with pytest.raises(TypeError, match=r"cannot pass builtin_function_or_method at y\[0\]"):
        box.get("y")


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"timeout": True}, {"memory": 1}, {"memory": 1.5}])
def test_limits_that_are_none_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"create\(\): "):
        sandbox.create(**limits)


@pytest.mark.parametrize("timeout", [1e300, 10**400])
def test_code_may_have_ages(timeout: float) -> None:
    with sandbox.create(timeout=timeout) as box:
        box.exec("x = 1")
        assert box.get("x") == 1
