"""What the threads of a script share where there is no server, and the tasks that it runs in the background."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from scriptling.errors import ErrorCode, PluginTimeout, RpcError
from scriptling.rendezvous import Params, Rendezvous
from scriptling.runtime.processes import Process, ProcessDiedError
from scriptling.tasks import decode_outcome, decode_spec, encode_outcome, failed

_MOST_TASKS = 64  # that run at once, as with a server

_MOST_KEPT = 10_000  # tasks whose result has not been told

_decode = msgspec.msgpack.Decoder(Params).decode


@dataclass(eq=False)
class _Waiter:
    settled: threading.Event = field(default_factory=threading.Event)
    answer: bytes = b""

    def settle(self, answer: bytes) -> None:
        self.answer = answer
        self.settled.set()


_FORGOTTEN = _Waiter(
    answer=encode_outcome(
        failed(RpcError(ErrorCode.HANDLER_ERROR, "the result was told before, or dropped because too many were kept"))
    )
)
_FORGOTTEN.settled.set()


class Local:
    """The other end of a :data:`~scriptling.runtime.context.Bridge`, in the same process."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._meeting: Rendezvous[_Waiter] = Rendezvous(
            lambda waiter, status, value: waiter.settle(bytes([status]) + value)
        )
        self._tasks: dict[str, _Waiter] = {}
        self._numbers = count(1)
        self._turns = threading.BoundedSemaphore(_MOST_TASKS)
        self._processes: set[Process] = set()
        atexit.register(self._end)

    def ask(self, want: str, target: str, operation: str, params: bytes, patience: float | None) -> bytes:
        """Do what is asked, or block until it can be done.

        :raises PluginTimeout: the time is over
        """
        return self._ask(None, want, target, operation, params, patience)

    def _ask(
        self, holder: Hashable, want: str, target: str, operation: str, params: bytes, patience: float | None
    ) -> bytes:
        if operation == "task.start":
            return self._start(params)
        if operation == "task.wait":
            waiter = self._tasks.get(target, _FORGOTTEN)
        else:
            waiter = _Waiter()
            with self._mutex:
                self._meeting.ask(waiter, operation, target, _decode(params), holder)
        if not waiter.settled.wait(patience):
            with self._mutex:
                self._meeting.withdraw(waiter)
            if not waiter.settled.is_set():
                raise PluginTimeout(f"{operation} of {target!r}: nothing came within the time that was given")
        if operation == "task.wait":
            self._tasks.pop(target, None)  # whoever has asked keeps it
        return waiter.answer

    # Tasks

    def _start(self, spec: bytes) -> bytes:
        number, waiter = str(next(self._numbers)), _Waiter()
        self._tasks[number] = waiter
        if len(self._tasks) > _MOST_KEPT:
            del self._tasks[next(iter(self._tasks))]
        path = [*sys.path]
        threading.Thread(target=self._run, args=(spec, path, waiter), name=f"task-{number}", daemon=True).start()
        return number.encode()

    def _run(self, spec: bytes, path: list[str], waiter: _Waiter) -> None:
        with self._turns:
            process = Process()
            self._processes.add(process)
            try:
                process.send(("task", path, spec))
                outcome = self._serve(process)
            except ProcessDiedError as end:
                text = f"the process of the task {decode_spec(spec).name!r} is gone: {end}"
                outcome = encode_outcome(failed(RpcError(ErrorCode.WORKER_DIED, text)))
                with self._mutex:
                    self._meeting.release(process)
            self._processes.discard(process)
            process.close()
        self._tell_failure(spec, outcome)
        waiter.settle(outcome)

    def _serve(self, process: Process) -> bytes:
        """Answer what a task asks until it is done, and return what came of it."""
        while True:
            kind, *more = process.receive()
            if kind == "done":
                outcome: bytes = more[0]
                return outcome
            threading.Thread(target=self._answer, args=(process, *more), daemon=True).start()

    def _answer(self, process: Process, number: int, *question: Any) -> None:
        try:
            answer: bytes | None = self._ask(process, *question)
        except TimeoutError:
            answer = None
        with suppress(ProcessDiedError, OSError):
            process.send((number, answer))

    def _tell_failure(self, spec: bytes, outcome: bytes) -> None:
        read = decode_outcome(outcome)
        if read.failed:
            error = msgspec.json.decode(read.payload)
            sys.stderr.write(f"scriptling: the task {decode_spec(spec).name} has failed: {error['message']}\n")

    def _end(self) -> None:
        """Let no task outlive the script."""
        for process in list(self._processes):
            process.close()
