"""The process of one background task: runs one function in a fresh evaluator, tells what came of it, and ends."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Sequence
from types import CoroutineType
from typing import Any

from scriptling import copies
from scriptling.errors import ErrorCode, RpcError
from scriptling.evaluator import Evaluator
from scriptling.protocol.jsonrpc import encode_error_object
from scriptling.registry import Registry
from scriptling.runtime import context
from scriptling.settings import Settings
from scriptling.tasks import Outcome, TaskSpec
from workers import frames
from workers.children.asking import Asker, scope_of_script
from workers.children.outcomes import encode_error, run_coroutine
from workers.frames import Hello, Noted, Ran, Run
from workers.sockets import Line

_PAUSE = 0.1  # seconds that one yield_now() waits for the end of the server


class TaskServer:
    """The server as a task sees it, through ``scriptling.runtime``: it runs, until it stops."""

    def __init__(self, line: Line, library_path: Sequence[str]) -> None:
        self.registry = Registry()
        self.registry.freeze()
        self.library_path = library_path
        self._line = line
        self._mutex = threading.Lock()
        self._stopped = False

    def start(self, wait: bool) -> None:
        """Return at once: it has started."""

    def when_started(self, action: Any) -> None:
        """Do it now: it has started."""
        action()

    def running(self) -> bool:
        """Whether the server has not been asked to stop."""
        self._look(0)
        return not self._stopped

    def pause(self) -> None:
        """Wait a moment, or until the server stops."""
        self._look(_PAUSE)

    def _look(self, seconds: float) -> None:
        with self._mutex:
            if not self._stopped and self._line.recv_within(seconds) is not None:
                self._stopped = True  # the only frame that comes to a task that runs


def run(settings: Settings, line: Line, asker: Asker, evaluator: Evaluator) -> int:
    """Run the task that the front-end has for this process."""
    asker.elsewhere = scope_of_script()
    context.connect(asker.ask_others)
    line.send(frames.encode(Hello()))
    frame = frames.decode_for_child(line.recv())
    if isinstance(frame, Run):
        context.install(TaskServer(line, settings.import_path))
        outcome = _run(frame.spec, settings, evaluator)
        atexit._run_exitfuncs()  # the process ends without the interpreter's own end
        line.send(frames.encode(Ran(outcome)))
        _wait_until_noted(line)
    return 0


def _wait_until_noted(line: Line) -> None:
    """Live until the outcome has arrived: the notice of a death may be faster than the last frame."""
    while not isinstance(frames.decode_for_child(line.recv()), Noted):
        continue


def _run(spec: TaskSpec, settings: Settings, evaluator: Evaluator) -> Outcome:
    evaluator.begin()
    try:
        payload = _evaluate(spec, evaluator)
        most = settings.max_message
        if len(payload) > most << 20:
            text = f"the result of the task {spec.name!r} takes more than {most} MiB (--max-message)"
            return Outcome(True, encode_error_object(RpcError(ErrorCode.HANDLER_ERROR, text)))
        return Outcome(False, payload)
    except BaseException as error:
        return Outcome(True, encode_error(error, settings.show_traceback))


def _evaluate(spec: TaskSpec, evaluator: Evaluator) -> bytes:
    args, kwargs = copies.unpack(spec.arguments)
    result: Any = evaluator.function(spec.handler)(*args, **kwargs)
    if type(result) is CoroutineType:
        result = run_coroutine(result)
    return copies.pack(result, f"the result of the task {spec.name!r}")
