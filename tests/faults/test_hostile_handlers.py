"""Handlers that damage the process they run in: one answer to each, and the next call is served."""

from __future__ import annotations

import pytest

from tests.wire.server import Serve

HANDLERS = """
import gc, os, resource, signal, sys, threading, time, warnings
def add(a, b): return a + b
def harm(what): exec(what, globals())
def recurse(): return recurse()
def kill_parent():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
def forge():
    import zmq
    from scriptling.registry import Declaration
    from workers import frames
    sockets = [each for each in gc.get_objects() if isinstance(each, zmq.Socket) and not each.closed]
    for frame in (frames.Registered(Declaration(library="forged"), [], ["forged"]), frames.Classes([], "forged")):
        for socket in sockets: socket.send(frames.encode(frame))
    return len(sockets)
def speak_in_task(kind):
    from scriptling.runtime import background
    return background("speaker", "handlers.speak", kind).get()
def speak(kind):
    from workers import frames
    from workers.sockets import Line
    [line] = [each for each in gc.get_objects() if type(each) is Line]
    frame = frames.Stopped(77) if kind == "stopped" else frames.Ran(frames.Outcome(True, b"no JSON"))
    line.send(frames.encode(frame))
"""
HARMS = {
    "closes every descriptor": "os.closerange(3, 400)",
    "closes the standard streams": "os.closerange(0, 3)",
    "puts its own file on stdout's number": "os.close(1); open(os.devnull, 'w')",
    "allows itself few descriptors": "resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))",
    "leaves a thread running": "threading.Thread(target=time.sleep, args=(1000,)).start()",
    "leaves an alarm": "signal.setitimer(signal.ITIMER_REAL, 0.01)",
    "leaves a trace function": "sys.settrace(lambda *a: 1 / 0)",
    "makes warnings errors": "warnings.simplefilter('error')",
    "turns the collector off": "gc.disable()",
    "has no memory": "'x' * (1 << 62)",
    "hides everything it writes": "os.umask(0o777)",
    "ignores its children": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
}


@pytest.mark.parametrize("name", HARMS)
def test_damage_stays_with_the_call_that_did_it(serve: Serve, name: str) -> None:
    server = serve(HANDLERS, "", "--workers", "1")
    assert server.call("add", 1, 1) == 2
    server.answer(server.begin("harm", HARMS[name]))
    assert [server.call("add", number, 1) for number in range(20)] == list(range(1, 21))


def test_endless_recursion_is_an_error_of_the_call(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1")
    assert server.failure(server.begin("recurse")).data["type"] == "RecursionError"
    assert server.call("add", 1, 1) == 2


def test_handler_that_kills_the_process_its_worker_was_born_from(serve: Serve) -> None:
    """The server cannot go on, says so, and leaves nothing behind."""
    server = serve(HANDLERS, "", "--workers", "2")
    assert server.failure(server.begin("kill_parent")).code < 0
    assert server.program.exit_code(10) == 1
    assert "the process that starts the workers has died" in server.program.all_stderr()
    server.program.check_nothing_is_left()


def test_worker_that_speaks_for_setup_and_store_is_not_heard(serve: Serve) -> None:
    server = serve(HANDLERS, "", "--workers", "1")
    assert server.call("forge") >= 1
    assert server.call("add", 1, 1) == 2
    assert server.handshake()["library"]["name"] == "tested"


@pytest.mark.parametrize("kind", ["stopped", "ran"])
def test_task_that_forges_its_end_ends_nothing_else(serve: Serve, kind: str) -> None:
    server = serve(HANDLERS, "", "--workers", "1")
    server.answer(server.begin("speak_in_task", kind))
    assert server.call("add", 1, 1) == 2
    assert "shutting down" not in server.stop()
