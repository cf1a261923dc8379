"""Background tasks: isolated, told when the server stops, and their results told to those who asked for them."""

from __future__ import annotations

import os
import signal

import pytest

from tests.wire.program import wait_until
from tests.wire.server import SETUP, Serve, registrations

HANDLERS = """
import os, sys, time
import scriptling.runtime as runtime
import scriptling.runtime.sync as sync

counter = 0
def _work(a, b=0): return {"sum": a + b, "pid": os.getpid(), "parts": (a, {b})}
def _raise(text): raise ValueError(text)
def _refuse():
    import scriptling.runtime.jsonrpc as jsonrpc
    raise jsonrpc.error(-32000, "no such thing", data=["any", "JSON"])
def _bump():
    global counter
    counter += 1
    return counter
def _die(): os.kill(os.getpid(), 9)
def _unsendable(): return [object()]
def _exit(): sys.exit(3)
async def _later(): return "later"
def _loop(name):
    sync.Queue(name).put(os.getpid())
    while runtime.server_running():
        yield_now()
    print("task cleaned up")
def _stubborn(name):
    sync.Queue(name).put(os.getpid())
    try:
        time.sleep(1000)
    finally:
        print("task interrupted")
def _deaf(name):
    sync.Queue(name).put(os.getpid())
    while True:
        try:
            time.sleep(1000)
        except KeyboardInterrupt:
            pass
def _consume(name): return sync.Queue(name).get()
def _blocked(name):
    sync.Queue(name).put(os.getpid())
    try:
        sync.Queue("nothing").get()
    finally:
        print("task released")
def _spawn(): return runtime.background("inner", _work, 1, 2).get()["sum"]

def work(a, b):
    done = runtime.background("work", "_work", a, b=b).get()
    return [done["sum"], done["pid"] != os.getpid(), type(done["parts"][0]).__name__, type(done["parts"][1]).__name__]
def by_reference(a): return runtime.background("work", "handlers._work", a).get()["sum"]
def run(name):
    try:
        return runtime.background(name, "_" + name).get(20)
    except Exception as error:
        return [type(error).__name__, str(error), *getattr(error, "__notes__", [])]
def fail(text):
    try:
        runtime.background("bad", "_raise", text).get()
    except runtime.TaskError as error:
        return [str(error), error.remote_type, "handlers.py" in error.__notes__[0]]
def refused():
    try:
        runtime.background("x", "_work", 1, b=[open])
    except TypeError as error:
        return str(error)
def start(function, name):
    runtime.background(function, "_" + function, name)
    return sync.Queue(name).get()
def many(count):
    promises = [runtime.background("w", "_work", number) for number in range(count)]
    return [promise.get()["sum"] for promise in promises]
def not_ready(name):
    promise = runtime.background("c", "_consume", name)
    try:
        promise.get(0.05)
    except TimeoutError as error:
        text = str(error)
    sync.Queue(name).put(7)
    promise.wait()
    return [text, promise.get(), promise.get(0)]
def unknown():
    try:
        runtime.background("x", "nothing_here")
    except NameError as error:
        return str(error)
def take(name): return sync.Queue(name).get(20)
def put(name, item): sync.Queue(name).put(item)
def echo(x): return x
"""


def test_a_task_gets_copies_and_returns_copies_out_of_a_process_of_its_own(serve: Serve) -> None:
    server = serve(HANDLERS)
    assert server.call("work", 2, 3) == [5, True, "int", "set"]
    assert server.call("by_reference", 4) == 4


def test_tasks_are_isolated(serve: Serve) -> None:
    server = serve(HANDLERS)
    assert [server.call("run", "bump") for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("die", "killed by signal 9 (SIGKILL)"),
        ("unsendable", "cannot pass object at the result of the task 'unsendable'[0]"),
        ("exit", "the handler called sys.exit(3)"),
        ("refuse", "no such thing"),
    ],
)
def test_a_task_that_does_not_return_a_value_is_an_error_that_says_why(serve: Serve, name: str, words: str) -> None:
    server = serve(HANDLERS)
    kind, text, *_ = server.call("run", name)
    assert kind == "TaskError"
    assert words in text
    server.program.wait_for_stderr(f"the task {name} has failed")


def test_an_exception_is_raised_where_the_result_is_asked_for(serve: Serve) -> None:
    server = serve(HANDLERS)
    assert server.call("fail", "no good") == ["ValueError: no good", "ValueError", True]


def test_a_coroutine_is_run(serve: Serve) -> None:
    assert serve(HANDLERS).call("run", "later") == "later"


def test_a_task_may_start_a_task(serve: Serve) -> None:
    assert serve(HANDLERS, "", "--workers", "1").call("run", "spawn") == 3


def test_an_argument_that_cannot_be_passed_is_named(serve: Serve) -> None:
    text = serve(HANDLERS).call("refused")
    assert "cannot pass builtin_function_or_method at b= of background('x')[0]: only None, bool" in text


def test_a_function_that_does_not_exist_is_named_at_once(serve: Serve) -> None:
    assert "this script has no function 'nothing_here'" in serve(HANDLERS).call("unknown")


def test_more_tasks_than_may_run_at_once_wait_for_their_turn(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--max-tasks", "2")
    assert server.call("many", 20) == list(range(20))


def test_tasks_occupy_no_workers_and_are_waited_for_with_patience(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1", "--call-timeout", "1")
    text, *results = server.call("not_ready", "jobs")
    assert "has not ended within 0.05 s" in text
    assert results == [7, 7]
    waiting = server.begin("run", "later")
    assert server.call("echo", 1) == 1
    assert server.value(waiting) == "later"


def test_tasks_stop_in_order_and_clean_up(serve: Serve) -> None:
    server = serve(HANDLERS)
    server.call("start", "loop", "a")
    server.call("start", "loop", "b")
    assert server.stop().count("task cleaned up") == 2


def test_a_task_that_does_not_look_is_interrupted_and_one_that_hears_nothing_killed(serve: Serve) -> None:
    server = serve(HANDLERS)
    server.call("start", "stubborn", "a")
    server.call("start", "deaf", "b")
    stderr = server.stop()
    assert "task interrupted" in stderr
    assert "the task deaf has not stopped; it gets SIGKILL" in stderr


def test_a_task_that_waits_for_others_is_released(serve: Serve) -> None:
    server = serve(HANDLERS)
    server.call("start", "blocked", "a")
    stderr = server.stop()
    assert "task released" in stderr
    assert "SIGINT" not in stderr


def test_tasks_die_with_the_server(serve: Serve) -> None:
    server = serve(HANDLERS)
    pid = server.call("start", "stubborn", "a")
    server.program.kill()
    server.forgive()
    wait_until(lambda: pid not in server.program.pids(), 10, lambda: "the task lives on")


IN_SETUP = """
import os
import scriptling.runtime.sync as sync
def own(base):
    return [base + helper(), os.getpid()]
promise = runtime.background("own", "own", 40)
def helper():
    return 2
try:
    promise.get()
except RuntimeError as error:
    print("before:", error)
runtime.start_server(wait=False)
result, pid = promise.get()
print("result:", result, pid != os.getpid())
while runtime.server_running():
    yield_now()
"""


def test_tasks_of_a_setup_script_wait_for_the_start_of_the_server(serve: Serve) -> None:
    server = serve(HANDLERS, SETUP + registrations(HANDLERS) + IN_SETUP)
    assert server.call("echo", 1) == 1
    server.program.wait_for_stderr("result: 42 True")
    assert "before: the task 'own' begins when the server has started" in server.stop()


def test_a_task_is_not_begun_again_when_its_process_is_killed(serve: Serve) -> None:
    server = serve(HANDLERS)
    pid = server.call("start", "stubborn", "a")
    os.kill(pid, signal.SIGKILL)
    server.program.wait_for_stderr("the task stubborn has failed")
    server.call("put", "a", "marker")
    assert server.call("take", "a") == "marker"
