"""How servers begin and end (specification, Keeping the setup script alive and Notes; cli.md, exit codes, signals)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.wire.gates import PASS, Gate
from tests.wire.server import Serve, Server

HEAD = """
import sys
import scriptling.runtime as runtime
import scriptling.runtime.plugin as plugin_srv
plugin_srv.serve("stateful", "1.0")
plugin_srv.register_function("greet", "handlers.greet")
def say(text): print(text, file=sys.stderr, flush=True)
"""
GREET = PASS + "def greet(name): return 'Hello, ' + name\ndef wait(f, path):\n    f()\n    _pass_gate(path)\n"

LIVES = {
    "auto-start": (HEAD, ""),
    "wait=True": (HEAD + "runtime.start_server(wait=True)\nsay('cleaned up')", "cleaned up"),
    "bare start_server": (HEAD + "runtime.start_server()\nsay('cleaned up')", "cleaned up"),
    "wait=False with a loop": (
        HEAD
        + "runtime.start_server(wait=False)\nsay(f'running {runtime.server_running()}')\n"
        + "while runtime.server_running():\n    yield_now()\nsay('cleaned up')",
        "cleaned up",
    ),
    "wait=False without a loop": (HEAD + "runtime.start_server(wait=False)\nsay('went on')", "went on"),
    "atexit": (HEAD + "import atexit\natexit.register(say, 'cleaned up')", "cleaned up"),
}
ENDS = ["end of input", "shutdown", "SIGTERM", "SIGINT"]


def end_by(server: Server, way: str) -> None:
    if way == "shutdown":
        assert server.result(server.request("plugin.shutdown")) is None
    if way.startswith("SIG"):
        server.program.signal(signal.Signals[way])
    else:
        server.end()


@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("life", LIVES)
def test_each_life_serves_cleans_up_and_exits_with_0(serve: Serve, life: str, way: str) -> None:
    setup, said = LIVES[life]
    server = serve(GREET, setup)
    assert server.call("greet", "Ada") == "Hello, Ada"
    end_by(server, way)
    assert server.program.exit_code(10) == 0
    server.program.check_nothing_is_left()
    stderr = server.program.all_stderr()
    assert stderr.count("cleaned up") == (said == "cleaned up")
    assert said in stderr
    assert "WARN" not in stderr
    assert "Traceback" not in stderr


def test_clean_up_code_runs_after_the_last_call(serve: Serve, gate: Gate) -> None:
    setup = HEAD + "plugin_srv.register_function('wait', 'handlers.wait')\nruntime.start_server()\nsay('cleaned up')"
    server = serve(GREET, setup)
    waiting = server.enter("wait", str(gate))
    server.end()
    assert "cleaned up" not in server.program.stderr
    gate.open()
    assert server.value(waiting) is None
    assert server.program.exit_code() == 0
    assert "cleaned up" in server.program.all_stderr()


def test_shutdown_does_not_cut_off_calls_that_run(serve: Serve, gate: Gate) -> None:
    server = serve(GREET)
    waiting = server.enter("wait", str(gate))
    assert server.result(server.request("plugin.shutdown")) is None
    assert not server.answered(waiting)
    server.end()
    gate.open()
    assert server.value(waiting) is None
    assert server.program.exit_code() == 0


def test_calls_after_shutdown_are_refused_and_say_so(serve: Serve, gate: Gate) -> None:
    server = serve(GREET)
    server.enter("wait", str(gate))
    server.result(server.request("plugin.shutdown"))
    failure = server.failure(server.begin("greet", "Ada"))
    assert -32099 <= failure.code <= -32001
    assert "shutting down" in failure.message
    gate.open()
    server.stop()


def test_calls_sent_right_before_the_end_of_input_are_answered(serve: Serve) -> None:
    """Even if the program has not become ready meanwhile."""
    server = serve(GREET)
    ids = [server.begin("greet", str(number)) for number in range(10)]
    server.end()
    assert [server.value(id) for id in ids] == [f"Hello, {number}" for number in range(10)]
    assert server.program.exit_code(10) == 0


def test_input_that_ends_before_the_start_ends_the_server(serve: Serve) -> None:
    server = serve(GREET + "class Thing: pass\n")
    server.end()
    assert server.program.exit_code(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_before_the_start_ends_the_server(serve: Serve, number: signal.Signals) -> None:
    server = serve(GREET, "print('begun', flush=True)\nimport time\ntime.sleep(30)")
    server.program.wait_for_stderr("begun")
    server.program.signal(number)
    assert server.program.exit_code(10) in {0, 128 + number}


def test_late_registrations_are_ignored_with_one_warning_each(serve: Serve) -> None:
    setup = HEAD + (
        "runtime.start_server(wait=False)\n"
        "plugin_srv.serve('late')\n"
        "plugin_srv.register_function('late', 'handlers.greet')\n"
        "plugin_srv.register_constant('LATE', 1)\n"
        "plugin_srv.register_class('handlers.Late')\n"
        "say('registered')\n"
        "while runtime.server_running(): yield_now()\n"
    )
    server = serve(GREET, setup)
    server.program.wait_for_stderr("registered")
    result = server.handshake()
    assert result["library"]["name"] == "stateful"
    assert [each["name"] for each in result["schema"]["functions"]] == ["greet"]
    assert (result["schema"]["constants"], result["schema"]["classes"]) == ([], [])
    assert server.failure(server.begin("late", "x")).message == "unknown function late (available: greet)"
    stderr = server.stop()
    assert stderr.count("warning") == 4
    for name in ("serve('late')", "register_function('late')", "register_constant('LATE')", "register_class('Late')"):
        assert stderr.count(name) == 1


def test_running_tells_the_truth_before_while_and_after(serve: Serve) -> None:
    setup = HEAD + (
        "say(f'before {runtime.server_running()}')\nruntime.start_server(wait=False)\n"
        "say(f'while {runtime.server_running()}')\n"
        "while runtime.server_running(): yield_now()\nsay(f'after {runtime.server_running()}')"
    )
    server = serve(GREET, setup)
    server.program.wait_for_stderr("while")
    stderr = server.stop()
    assert [line for line in stderr.splitlines() if line.split()[0] in {"before", "while", "after"}] == [
        "before False",
        "while True",
        "after False",
    ]


def test_a_loop_around_yield_now_costs_no_cpu(serve: Serve) -> None:
    setup = HEAD + (
        "import time\nruntime.start_server(wait=False)\nbegin = time.process_time(), time.monotonic()\n"
        "while time.monotonic() - begin[1] < 0.5: yield_now()\n"
        "say(f'cpu {time.process_time() - begin[0]}')\nwhile runtime.server_running(): yield_now()"
    )
    stderr = serve(GREET, setup)
    stderr.program.wait_for_stderr("cpu")
    assert float(stderr.program.stderr.partition("cpu ")[2].split()[0]) < 0.05


def test_setup_script_keeps_state_and_may_run_threads_until_its_end(serve: Serve) -> None:
    setup = HEAD + (
        "import threading\nevent = threading.Event()\nthreading.Thread(target=event.wait).start()\n"
        "runtime.start_server()\nevent.set()\nsay('cleaned up')"
    )
    server = serve(GREET, setup)
    server.call("greet", "x")
    assert "cleaned up" in server.stop()


def test_the_greeting_of_a_setup_script_goes_to_stderr(serve: Serve) -> None:
    server = serve(GREET, HEAD + "print('to nobody on stdout')")
    assert server.call("greet", "x") == "Hello, x"
    assert "to nobody on stdout" in server.stop()


def test_one_line_says_that_the_server_is_ready(serve: Serve) -> None:
    server = serve(GREET, HEAD)
    server.call("greet", "x")
    lines = [line for line in server.stop().splitlines() if "INFO" in line]
    assert len(lines) == 1
    assert "ready" in lines[0]
    assert "stateful" in lines[0]


# What cannot begin


BAD: dict[str, tuple[str, str, int, list[str]]] = {
    "raises": (
        "",
        HEAD + "raise RuntimeError('no luck')",
        3,
        ["RuntimeError: no luck", "setup.py", "script failed before"],
    ),
    "does not parse": ("", "def (:", 3, ["SyntaxError", "setup.py"]),
    "import fails": ("", "import nosuchlibrary", 3, ["nosuchlibrary"]),
    "declares nothing": ("", "x = 1", 3, ["nothing to serve"]),
    "library is not there": (GREET, HEAD.replace("handlers.greet", "handler.greet"), 3, ["handler", "handlers"]),
    "function is not there": (GREET, HEAD.replace("handlers.greet", "handlers.greeet"), 3, ["greeet", "greet"]),
    "reference without a dot": (GREET, HEAD.replace("handlers.greet", "greet"), 3, ["greet"]),
    "class is not there": (GREET, HEAD + "plugin_srv.register_class('handlers.Thing')", 3, ["Thing"]),
    "class is no class": (GREET, HEAD + "plugin_srv.register_class('handlers.greet')", 3, ["handlers.greet", "class"]),
    "class raises": (
        GREET + "raise OSError('broken library')",
        HEAD + "plugin_srv.register_class('handlers.Thing')",
        3,
        ["broken library"],
    ),
    "constant cannot be sent": (GREET, HEAD + "plugin_srv.register_constant('WHEN', {'a': {1}})", 3, ["WHEN", "'a'"]),
    "sys.exit": (GREET, "import sys\nsys.exit(7)", 7, ["exit status 7"]),
    "sys.exit with a text": (GREET, "import sys\nsys.exit('not today')", 1, ["not today"]),
    "name is empty": (GREET, HEAD.replace('"stateful"', '""'), 3, ["serve()", "name"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_setup_ends_with_a_sentence_and_its_exit_code(serve: Serve, name: str) -> None:
    handlers, setup, code, words = BAD[name]
    server = serve(handlers, setup)
    shake = server.request("scriptling.handshake", {})
    assert server.program.exit_code(10) == code
    stderr = server.program.all_stderr()
    for word in words:
        assert word in stderr
    failure = server.failure(shake)  # the host, which may be waiting already, is told as well
    assert len(failure.message) > 10


def test_clean_up_code_that_raises_shows_its_traceback(serve: Serve) -> None:
    server = serve(GREET, HEAD + "runtime.start_server()\nraise RuntimeError('in clean-up')")
    server.call("greet", "x")
    server.end()
    assert server.program.exit_code(10) == 3
    assert "RuntimeError: in clean-up" in server.program.all_stderr()


def test_setup_script_that_kills_its_process_while_serving_does_not_end_the_server(serve: Serve) -> None:
    setup = HEAD + "import os\nruntime.start_server(wait=False)\nos.abort()"
    server = serve(GREET, setup)
    server.program.wait_for_stderr("clean-up code will not run")
    assert server.call("greet", "x") == "Hello, x"
    assert "SIGABRT" in server.stop()


def test_run_folder_is_private(serve: Serve, tmp_path: Path) -> None:
    server = serve(GREET)
    server.call("greet", "x")
    (folder,) = server.program.folder.glob("scriptling-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(folder.iterdir()), "the sockets have no path"
