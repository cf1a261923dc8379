"""stdout is the protocol's alone, and stdin as well (faults, check 27; protocol section 1)."""

from __future__ import annotations

import pytest

from tests.faults.figures import Figures
from tests.wire.program import DEADLINE, wait_until
from tests.wire.server import SETUP, Serve

NOISE = """
import ctypes, os, subprocess, sys
def _noise(where):
    print(f"printed {where}")
    sys.stdout.write(f"written {where}\\n")
    sys.__stdout__.write(f"original {where}\\n")
    sys.stdout.flush(); sys.__stdout__.flush()
    os.write(1, f"os.write {where}\\n".encode())
    libc = ctypes.CDLL(None)
    libc.puts(f"puts {where}".encode())
    libc.fflush(None)
    subprocess.run(["echo", f"child {where}"])
    os.system(f"echo shell {where}")
"""
WAYS = ("printed", "written", "original", "os.write", "puts", "child", "shell")


def check(stderr: str, *places: str) -> None:
    for place in places:
        for way in WAYS:
            assert f"{way} {place}\n" in stderr


def test_noise_everywhere_lands_on_stderr_while_large_answers_are_on_their_way(serve: Serve, figures: Figures) -> None:
    """Every line of stdout was parsed as a whole message by the host, or the end of this test fails."""
    handlers = (
        NOISE
        + """
import atexit
_noise("import")
def large(number):
    _noise("call")
    return chr(97 + number % 26) * 1_000_000
def noisy(f):
    _noise("before")
    f()
    _noise("after")
class Noisy:
    def __init__(self): _noise("init")
    def method(self): _noise("method")
    def __del__(self): _noise("del")
"""
    )
    setup = f"import atexit\n{NOISE}\n_noise('setup')\n{SETUP}" + (
        "for name in ('large', 'noisy'): plugin.register_function(name, f'handlers.{name}')\n"
        "plugin.register_class('handlers.Noisy')\n"
        "runtime.start_server()\n_noise('cleanup')\natexit.register(_noise, 'exit')\n"
    )
    server = serve(handlers, setup, "--workers", "2")
    answers = [server.begin("large", number) for number in range(64)]
    server.call("noisy", lambda: None)
    server.method(server.new("Noisy"), "method")
    for number, id in enumerate(answers):
        assert server.value(id) == chr(97 + number % 26) * 1_000_000
    stderr = server.stop()
    figures.count(27, "noise in seven ways: lines of stdout that are whole messages, of answers of 1 MB", 64, 64)
    check(stderr, "import", "call", "before", "after", "init", "method", "del", "setup", "cleanup", "exit")


@pytest.mark.parametrize("place", ["handler", "method", "setup"])
def test_input_sees_the_end_of_file(serve: Serve, place: str) -> None:
    """And takes nothing of what the host sends."""
    reading = """
import os, sys
def read():
    try:
        input()
    except EOFError:
        return ["EOF", sys.stdin.read(), os.read(0, 100).decode()]
    return "something"
"""
    handlers = reading + "class Reader:\n    def read(self): return read()\n"
    setup = SETUP + "plugin.register_function('read', 'handlers.read')\nplugin.register_class('handlers.Reader')\n"
    if place == "setup":
        setup += reading + "print('setup read', read(), file=sys.stderr)"
    server = serve(handlers, setup)
    expected = ["EOF", "", ""]
    if place == "method":
        assert server.method(server.new("Reader"), "read") == expected
    else:
        assert server.call("read") == expected
    stderr = server.stop()
    assert place != "setup" or f"setup read {expected}" in stderr


def test_handlers_cannot_reach_the_protocol_streams(serve: Serve) -> None:
    """None of their descriptors is the pipe that the host reads or writes."""
    server = serve(
        """
        import os
        def links(): return sorted({os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                                    if os.path.exists(f"/proc/self/fd/{fd}")})
        class Sees:
            def links(self): return links()
        """
    )
    assert server.program.process.stdin is not None
    assert server.program.process.stdout is not None
    import os  # noqa: PLC0415

    streams = (server.program.process.stdin, server.program.process.stdout)
    ours = {os.readlink(f"/proc/self/fd/{stream.fileno()}") for stream in streams}  # noqa: PTH115
    assert not ours & set(server.call("links"))
    assert not ours & set(server.method(server.new("Sees"), "links"))


def test_warnings_and_tracebacks_of_threads_go_to_stderr(serve: Serve) -> None:
    server = serve(
        """
        import threading, warnings
        def f():
            warnings.warn("be warned")
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
        """
    )
    server.call("f")
    stderr = server.stop()
    assert "be warned" in stderr
    assert "ZeroDivisionError" in stderr


def test_child_left_running_cannot_write_into_the_stream(serve: Serve) -> None:
    server = serve(
        """
        import subprocess
        def leave(): subprocess.Popen(["sh", "-c", "while :; do echo junk; sleep 0.001; done"])
        def echo(x): return x
        """
    )
    server.call("leave")
    assert [server.call("echo", number) for number in range(200)] == list(range(200))


def test_printed_lines_come_whole_even_where_python_is_told_not_to_buffer(serve: Serve) -> None:
    handlers = "def tell(name):\n    for number in range(200): print('told', 'by', name, number)\n"
    server = serve(handlers, "", "--workers", "4", environment={"PYTHONUNBUFFERED": "1"})
    names = "abcd"
    for call in [server.begin("tell", name) for name in names]:
        server.value(call)
    told = [f"told by {name} {number}" for name in names for number in range(200)]
    wait_until(lambda: {*told} <= {*server.program.stderr.splitlines()}, DEADLINE, lambda: "not all lines are whole")
