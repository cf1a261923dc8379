"""Sandboxes in handlers: limits hold, and nothing outlives the call."""

from __future__ import annotations

from tests.wire.program import wait_until
from tests.wire.server import Serve

HANDLERS = """
import scriptling.runtime as runtime
def evaluate(code, timeout=10):
    box = runtime.sandbox.create(capture_output=True, timeout=timeout)
    box.exec(code)
    return [box.exit_code(), box.output(), box.get("x")]
def leave(code):
    global box
    box = runtime.sandbox.create(timeout=None)
    box.exec(code)
    return box.get("pid")
"""


def test_code_runs_within_its_limits(serve: Serve) -> None:
    server = serve(HANDLERS)
    assert server.call("evaluate", "import handlers; x = len(dir(handlers)) > 0; print('hi')") == [0, "hi\n", True]
    assert server.call("evaluate", "while True: pass", 0.3) == [1, "", None]
    assert server.call("evaluate", "import os; os._exit(3)")[0] == 1


def test_nothing_outlives_its_call(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--call-timeout", "3")
    pid = server.call("leave", "import os; pid = os.getpid()")
    wait_until(lambda: pid not in server.program.pids(), 10, lambda: "the sandbox lives on")
    before = len(server.program.pids())
    assert server.failure(server.begin("leave", "import time; time.sleep(1000)"), 10).code == -32002
    wait_until(lambda: len(server.program.pids()) <= before, 10, lambda: "the sandbox of a killed handler lives on")
