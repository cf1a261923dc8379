"""Ends of every kind: of the input, by signals, of the output, and of processes killed (faults, checks 10 to 13)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.figures import Figures
from tests.wire.gates import PASS, Gate
from tests.wire.network import JSON, Port, ask, call, integer
from tests.wire.program import EXECUTABLE, Program, wait_until
from tests.wire.server import SETUP, Serve, Server, write_plugin

HANDLERS = (
    PASS
    + """
import subprocess, sys, time
def add(a, b): return a + b
def wait(f, path):
    f()
    _pass_gate(path)
    return "done"
def rest(seconds):
    time.sleep(seconds)
    return seconds
def spawn():
    script = "import os, time; os.setsid(); os.fork(); time.sleep(1000)"
    subprocess.Popen(["sleep", "1000"])
    subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    return "spawned"
def spawn_and_wait(f):
    spawn()
    f()
    time.sleep(1000)
class Thing:
    def __init__(self, path): self.path = path
    def spawn(self): return spawn()
    def __del__(self):
        with open(self.path, "a") as file: file.write("x")
"""
)


def test_nothing_outlives_a_killed_front_end(serve: Serve, figures: Figures, tmp_path: Path) -> None:
    """Check 10: not even what handlers and objects have spawned in sessions of their own; 2 s at most."""
    server = serve(HANDLERS, "", "--workers", "2")
    server.enter("spawn_and_wait")
    server.call("spawn")
    server.method(server.new("Thing", str(tmp_path / "ends")), "spawn")
    assert len(server.program.pids()) >= 10
    server.program.kill()
    server.forgive()
    begin = time.monotonic()
    server.program.wait_until_nothing_is_left(10)
    figures.at_most(10, "front-end killed: last descendant gone", time.monotonic() - begin, 2, room=2)
    server.program.check_nothing_is_left()


def test_nothing_outlives_the_host_while_a_third_process_holds_our_stdin_open(figures: Figures, tmp_path: Path) -> None:
    """Check 10: the host is killed; its friend keeps the other end of our input."""
    setup = write_plugin(tmp_path, HANDLERS)
    script = f"""
import os, subprocess, sys, time
read, write = os.pipe()
friend = subprocess.Popen(["sleep", "1000"], pass_fds=[write], env={{}}, stderr=subprocess.DEVNULL)
server = subprocess.Popen([{str(EXECUTABLE)!r}, "--json-rpc", {str(setup)!r}], stdin=read)
os.write(write, b'{{"id":1,"method":"function.call","params":{{"name":"spawn"}}}}\\n')
print(friend.pid, file=sys.stderr, flush=True)
time.sleep(1000)
"""
    host = Program([], tmp_path, wrapper=[sys.executable, "-c", script])
    friend = 0
    try:
        host.listen()
        host.wait_for_stderr("\n")
        friend = int(host.stderr.split()[0])
        stdout = host.process.stdout
        assert stdout is not None
        assert b'"spawned"' in stdout.readline()
        assert len(host.pids()) >= 6
        host.process.kill()
        host.process.wait()
        begin = time.monotonic()
        host.wait_until_nothing_is_left(10)
        figures.at_most(10, "host killed, stdin held open: last one gone", time.monotonic() - begin, 2, room=2)
        host.check_nothing_is_left()
        os.kill(friend, 0)  # it holds the other end of our stdin to the last
    finally:
        if friend:  # which has nothing in its environment to be found by
            os.kill(friend, signal.SIGKILL)
        host.destroy()
        host.close()


def test_end_of_input_with_50_calls_in_flight_answers_them_all(serve: Serve, figures: Figures, gate: Gate) -> None:
    """Check 11."""
    server = serve(HANDLERS, "", "--workers", "4")
    ids = [server.enter("wait", str(gate)), *[server.begin("rest", 0.02) for _ in range(49)]]
    server.end()
    gate.open()
    values = [server.value(id) for id in ids]
    right = sum(value == expected for value, expected in zip(values, ["done"] + [0.02] * 49, strict=True))
    figures.count(11, "end of input with 50 calls in flight: answered", right, 50)
    assert server.program.exit_code(10) == 0


def test_hung_call_is_cut_at_grace(serve: Serve, figures: Figures, gate: Gate) -> None:
    """Check 11: and not before, less the fifth of it that is kept for what comes after the calls."""
    server = serve(HANDLERS, "", "--workers", "2", "--graceful-timeout", "1")
    hung = server.enter("wait", str(gate))
    begin = time.monotonic()
    server.end()
    failure = server.failure(hung)
    assert time.monotonic() - begin >= 0.8
    assert failure.code == -32004
    assert "wait" in failure.message
    assert server.program.exit_code(10) == 0
    figures.at_most(11, "a hung call, grace of 1 s: exit", time.monotonic() - begin, 2, room=1.5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_under_load(serve: Serve, figures: Figures, gate: Gate, tmp_path: Path, number: signal.Signals) -> None:
    """Check 12: new calls are refused, accepted ones finish, objects end."""
    server = serve(HANDLERS, "", "--workers", "2")
    path = tmp_path / "ends"
    server.new("Thing", str(path))
    accepted = [server.enter("wait", str(gate)), *[server.begin("rest", 0.01) for _ in range(40)]]
    server.result(server.request("environment.open"))  # so that all of them have been read
    server.program.signal(number)
    server.program.wait_for_stderr(number.name)
    refused = server.failure(server.begin("add", 1, 2))
    assert refused.code == -32004
    assert "shutting down" in refused.message
    gate.open()
    opened = time.monotonic()
    assert [server.value(id) for id in accepted] == ["done"] + [0.01] * 40
    assert server.program.exit_code(10) == 0
    figures.at_most(12, "signal under load: exit after 41 accepted calls", time.monotonic() - opened, 5, room=2)
    assert path.read_text() == "x"


@pytest.mark.parametrize(("second", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_second_signal_ends_it_at_once(
    serve: Serve, figures: Figures, gate: Gate, second: signal.Signals, code: int
) -> None:
    """Check 12: within half a second; cli.md's exit codes."""
    server = serve(HANDLERS, "", "--workers", "2")
    server.enter("wait", str(gate))
    server.program.signal(signal.SIGTERM)
    server.program.wait_for_stderr("SIGTERM")
    begin = time.monotonic()
    server.program.signal(second)
    assert server.program.exit_code(5) == code
    figures.at_most(12, "second signal: exit", time.monotonic() - begin, 0.5, room=4)
    server.forgive()
    server.program.check_nothing_is_left()


def test_ctrl_c_to_the_whole_group_is_one_sigterm(serve: Serve, gate: Gate) -> None:
    """Check 12: no worker is interrupted by it."""
    server = serve(HANDLERS, "", "--workers", "2", start_new_session=True)
    running = server.enter("wait", str(gate))
    os.killpg(server.program.process.pid, signal.SIGINT)
    server.program.wait_for_stderr("SIGINT")
    gate.open()
    assert server.value(running) == "done"
    assert server.program.exit_code(5) == 0
    assert "KeyboardInterrupt" not in server.program.all_stderr()


def test_closed_stdout_ends_the_server_soon_with_one_line(figures: Figures, tmp_path: Path) -> None:
    """Check 13."""
    setup = write_plugin(tmp_path, HANDLERS)
    program = Program(["--json-rpc", str(setup)], tmp_path)
    try:
        program.listen()
        program.wait_for_stderr("ready")
        assert program.process.stdout is not None
        assert program.process.stdin is not None
        program.process.stdout.close()
        begin = time.monotonic()
        assert program.exit_code(5) == 0
        figures.at_most(13, "stdout closed: exit", time.monotonic() - begin, 1, room=3)
        program.check_nothing_is_left()
        check_the_one_line(program)
    finally:
        program.destroy()
        program.close()


def check_the_one_line(program: Program) -> None:
    lines = [line for line in program.all_stderr().splitlines() if "ready" not in line]
    assert len(lines) == 1, lines
    assert "stdout" in lines[0]


def test_closed_stdout_while_calls_run(figures: Figures, tmp_path: Path) -> None:
    """Check 13, with something that has to be written."""
    setup = write_plugin(tmp_path, HANDLERS)
    program = Program(["--json-rpc", "--workers", "2", str(setup)], tmp_path)
    try:
        program.listen()
        assert program.process.stdout is not None
        assert program.process.stdin is not None
        call = b'{"id":1,"method":"function.call","params":{"name":"rest","args":[{"type":"float","value":0.01}]}}\n'
        program.process.stdin.write(call * 300)
        program.process.stdin.flush()
        program.process.stdout.readline()
        program.process.stdout.close()
        begin = time.monotonic()
        assert program.exit_code(5) == 0
        figures.at_most(13, "stdout closed while calls run: exit", time.monotonic() - begin, 1, room=3)
        program.check_nothing_is_left()
        check_the_one_line(program)
    finally:
        program.destroy()
        program.close()


def test_what_handlers_leave_behind_ends_with_their_worker(serve: Serve) -> None:
    """Check 37: a call that ends its worker takes its descendants along, sessions of their own or not."""
    server = serve(HANDLERS + "\nimport os\ndef leave():\n    spawn()\n    os._exit(1)\n", "", "--workers", "1")
    server.call("add", 1, 1)
    usual = len(server.program.pids())
    server.failure(server.begin("leave"))
    assert server.call("add", 1, 2) == 3
    wait_until(lambda: len(server.program.pids()) == usual, 5, lambda: f"{server.program.pids()}")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder for temporary files of several servers, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        yield Path(folder)


def kill(program: Program, everything: bool) -> None:
    """Kill a server with SIGKILL: the front-end, of which the others learn, or all processes, so that nobody tidies."""
    pids = program.pids() if everything else []
    for number in (signal.SIGSTOP, signal.SIGKILL):  # all at once, as if the machine had no memory left
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    program.kill()
    if everything:
        program.wait_until_nothing_is_left()
    else:
        program.check_nothing_is_left()
    program.destroy()
    program.close()


@pytest.mark.parametrize("everything", [False, True])
def test_killed_server_is_not_in_the_way_of_the_next(
    tmp_path: Path, shared: Path, serve: Serve, everything: bool
) -> None:
    """Check 39: with the same folder for temporary files; memory that one could not give back goes with the next."""
    setup = write_plugin(tmp_path, HANDLERS)
    left: list[Path] = []
    for _ in range(3):
        server = Server(setup, temporary=shared)
        try:
            server.program.listen()
            server.start()
            assert server.call("add", 1, 2) == 3
            assert not any(path.exists() for path in left)
            left = server.program.memory_stores()
            assert len(left) == 1
        finally:
            kill(server.program, everything)
    assert serve(HANDLERS, temporary=None if everything else shared).call("add", 1, 2) == 3
    assert not left[0].exists()


@pytest.mark.parametrize("everything", [False, True])
def test_killed_server_is_not_in_the_way_of_the_next_at_its_port(
    tmp_path: Path, shared: Path, everything: bool
) -> None:
    """Check 39: at the same port, to which somebody is connected meanwhile, and with the same folder."""
    setup = write_plugin(tmp_path, HANDLERS)
    at = "127.0.0.1:0"
    for _ in range(4):
        port = Port(setup, at=at, temporary=shared)
        try:
            at = "{}:{}".format(*port.address)
            connection = port.connect()
            answer = ask(connection, "POST", "/json-rpc", call("add", integer(1), integer(2)), JSON)
            assert answer.json["result"] == integer(3)
        finally:
            kill(port.program, everything)
            connection.close()


def test_server_runs_without_a_stdin_or_a_stderr(tmp_path: Path) -> None:
    """Closed descriptors must not become somebody's pipe."""
    setup = write_plugin(tmp_path, HANDLERS, SETUP)
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        done = subprocess.run(
            ["bash", "-c", f"exec {EXECUTABLE} --json-rpc {setup} {closed}"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, b""), closed
