"""What the threads of a script share where there is no server, and the tasks that it runs in the background."""

from __future__ import annotations

import atexit
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import msgspec

from scriptling.errors import ErrorCode, PluginCallError, PluginTimeout, RpcError
from scriptling.rendezvous import Params, Rendezvous, Status
from scriptling.runtime.processes import Process, ProcessDiedError
from scriptling.stores import places
from scriptling.tasks import decode_outcome, decode_spec, encode_outcome, failed

_MOST_TASKS = 64  # that run at once, as with a server
_MOST_WAITING = 1000  # tasks that wait for others, besides
_MOST_QUEUED = 10_000  # tasks that wait for their turn
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


class _Job(NamedTuple):
    """A task that waits for its turn."""

    spec: bytes
    import_path: list[str]
    waiter: _Waiter


class Local:
    """The other end of a :data:`~scriptling.runtime.context.Bridge`, in the same process."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._meeting: Rendezvous[_Waiter] = Rendezvous(
            lambda waiter, status, value: waiter.settle(bytes([status]) + value)
        )
        self._tasks: dict[str, _Waiter] = {}
        self._numbers = count(1)
        self._queued: deque[_Job] = deque()
        self._runners = 0
        self._ended = False
        self._waiting: dict[Process, set[_Waiter]] = {}
        atexit.register(self._end)

    def ask(self, want: str, target: str, operation: str, params: bytes, patience: float | None) -> bytes:
        """Do what is asked, or block until it can be done.

        :raises PluginTimeout: the time is over
        :raises PluginCallError: too many tasks wait for their turn
        """
        return self._ask(None, want, target, operation, params, patience)

    def _ask(
        self, holder: Process | None, want: str, target: str, operation: str, params: bytes, patience: float | None
    ) -> bytes:
        if operation == "task.start":
            return self._start(params)
        waiter, what = _Waiter(), f"{operation} of {target!r}"
        task = self._tasks.get(target, _FORGOTTEN) if operation == "task.wait" else None
        awaited = task or waiter
        with self._mutex:
            others = self._waiting.get(holder) if holder else set()
            if others is None:
                raise PluginTimeout(f"{what}: the process that has asked is gone")
            if task is None:
                self._meeting.ask(waiter, operation, target, _decode(params), holder)
            if not awaited.settled.is_set():
                others.add(waiter)
                self._begin()
        try:
            self._wait(awaited, what, patience)
        except BaseException:
            self._withdraw(waiter, operation, target)
            raise
        finally:
            others.discard(waiter)
        if task is not None:
            self._tasks.pop(target, None)  # whoever has asked keeps it
        return awaited.answer

    def _wait(self, waiter: _Waiter, what: str, patience: float | None) -> None:
        if not waiter.settled.wait(patience):
            with self._mutex:
                self._meeting.withdraw(waiter)
            if not waiter.settled.is_set():
                raise PluginTimeout(f"{what}: nothing came within the time that was given")

    def _withdraw(self, waiter: _Waiter, operation: str, target: str) -> None:
        """Let one wait no more who was interrupted; what it was given meanwhile goes to the next."""
        with self._mutex:
            self._meeting.withdraw(waiter)
            if operation == "queue.get" and waiter.answer[:1] == bytes([Status.DONE]):
                self._meeting.put_back(target, waiter.answer[1:])

    # Tasks

    def _start(self, spec: bytes) -> bytes:
        number, job = str(next(self._numbers)), _Job(spec, [*sys.path], _Waiter())
        with self._mutex:
            if len(self._queued) >= _MOST_QUEUED:
                text = f"the task {decode_spec(spec).name!r} cannot be queued: {_MOST_QUEUED} tasks wait for their turn"
                raise PluginCallError(text, ErrorCode.OVERLOADED)
            self._queued.append(job)
            self._begin()
        self._tasks[number] = job.waiter
        if len(self._tasks) > _MOST_KEPT + _MOST_QUEUED:
            del self._tasks[next(iter(self._tasks))]
        return number.encode()

    @property
    def _room(self) -> int:
        """How many more may run: those that wait are not counted, because they may wait for tasks that are queued."""
        waiting = sum(map(bool, self._waiting.values()))
        return _MOST_TASKS + min(waiting, _MOST_WAITING) - self._runners

    def _begin(self) -> None:
        """Run one task more if there is one and it may run."""
        if self._queued and self._room > 0:
            threading.Thread(target=self._run_all, name="tasks", daemon=True).start()
            self._runners += 1

    def _run_all(self) -> None:
        """Run one task after the other, until none waits for its turn."""
        while True:
            with self._mutex:
                if not self._queued or self._room < 0:
                    self._runners -= 1
                    return
                job = self._queued.popleft()
            outcome = self._run(job)
            if not self._ended:
                self._tell_failure(job.spec, outcome)
            job.waiter.settle(outcome)

    def _run(self, job: _Job) -> bytes:
        try:
            stores = str(places.memory_folder())
            process = Process()
        except OSError as error:
            return _lost(job, f"cannot be started: {error.strerror}")
        with self._mutex:
            self._waiting[process] = set()
        try:
            process.send(("task", job.import_path, stores, places.default_storage(), job.spec))
            return self._serve(process)
        except ProcessDiedError as end:
            with self._mutex:
                self._meeting.release(process)
            return _lost(job, f"is gone: {end}")
        finally:
            self._release(process)
            process.close()

    def _release(self, process: Process) -> None:
        """Let nothing wait any more for a process that has ended."""
        with self._mutex:
            for waiter in list(self._waiting.pop(process, ())):
                self._meeting.withdraw(waiter)
                waiter.settled.set()

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
        self._ended = True
        self._queued.clear()
        for process in list(self._waiting):
            process.close()


def _lost(job: _Job, how: str) -> bytes:
    text = f"the process of the task {decode_spec(job.spec).name!r} {how}"
    return encode_outcome(failed(RpcError(ErrorCode.WORKER_DIED, text)))
