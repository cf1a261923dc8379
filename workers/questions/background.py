"""Which background task runs, which waits for its turn, and whose result is still to be told: pure bookkeeping.

A task runs once. It is never begun again, whatever became of it: whoever wants that asks for it again. Names are for
people; any number of tasks may have the same one.

A result is kept until it has been told, or its process has died that asked for it; so many results, and bytes of them,
are kept, beyond which the oldest is dropped and whoever asks for it later is told so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from scriptling.errors import ErrorCode, RpcError
from scriptling.tasks import Outcome, TaskSpec, failed

MOST_QUEUED = 10_000  # tasks
MOST_KEPT = 10_000  # results
MOST_BYTES = 64 << 20  # of arguments that wait, and as many of results

W = TypeVar("W", bound=Hashable)


@dataclass(eq=False)
class Task(Generic[W]):
    """One task.

    :ivar owner: the process that asked for it
    :ivar child: the process that runs it; empty while it waits for its turn
    :ivar wanted: whether anybody may still ask for its result
    """

    id: int
    owner: str
    spec: TaskSpec
    child: str = ""
    wanted: bool = True
    outcome: Outcome | None = None
    waiters: dict[W, None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that it holds while it waits for its turn."""
        return len(self.spec.arguments) + len(self.spec.handler.pickled)


class Ledger(Generic[W]):
    """Every task that is to run, runs, or has a result to tell.

    :param settle: takes a waiter and the outcome that it has waited for
    :param most: how many may run at once, without those that wait for others
    :param waits: whether a process waits for others
    :param most_waiting: how many of those that wait are not counted
    """

    def __init__(
        self,
        settle: Callable[[W, Outcome], None],
        most: int,
        waits: Callable[[str], bool] = lambda child: False,
        most_waiting: int = 0,
    ) -> None:
        self._settle = settle
        self._most = most
        self._waits = waits
        self._most_waiting = most_waiting
        self._last_id = 0
        self._tasks: dict[int, Task[W]] = {}
        self._owned: dict[str, dict[int, Task[W]]] = {}  # those of them that are wanted, by their owner
        self._queue: deque[Task[W]] = deque()
        self._queued_bytes = 0
        self._kept: dict[int, Task[W]] = {}
        self._kept_bytes = 0
        self.running: dict[str, Task[W]] = {}
        """Tasks by the process that runs them."""

    def submit(self, owner: str, spec: TaskSpec) -> int:
        """Take a task, and return its number.

        :raises RpcError: too many wait already
        """
        task: Task[W] = Task(self._last_id + 1, owner, spec)
        if len(self._queue) >= MOST_QUEUED or self._queued_bytes + task.size > MOST_BYTES:
            text = f"the task {spec.name!r} cannot be queued: {len(self._queue)} tasks wait for their turn"
            raise RpcError(ErrorCode.OVERLOADED, f"{text} already; let some end, or raise --max-tasks")
        self._last_id = task.id
        self._tasks[task.id] = self._owned.setdefault(owner, {})[task.id] = task
        self._queue.append(task)
        self._queued_bytes += task.size
        return task.id

    @property
    def next(self) -> Task[W] | None:
        """The task whose turn it is; None if there is none, or as many run as may."""
        return self._queue[0] if self._queue and self._has_room else None

    @property
    def _has_room(self) -> bool:
        """Whether one more may run: those that wait may wait for the very tasks that are queued."""
        surplus = len(self.running) - self._most
        return surplus < 0 or surplus < min(sum(map(self._waits, self.running)), self._most_waiting)

    def begin(self, child: str) -> None:
        """Note that a process has been started for :attr:`next`."""
        task = self._queue.popleft()
        self._queued_bytes -= task.size
        task.child = child
        self.running[child] = task

    def end(self, child: str, outcome: Outcome) -> Task[W] | None:
        """Note what came of the task that a process ran; None if that is known already."""
        task = self.running.get(child)
        if task is None or task.outcome is not None:
            return None
        self._conclude(task, outcome)
        return task

    def gone(self, child: str) -> None:
        """Forget a process that ran a task."""
        self.running.pop(child, None)

    def _conclude(self, task: Task[W], outcome: Outcome) -> None:
        task.outcome = outcome
        waiters, task.waiters = task.waiters, {}
        for waiter in waiters:
            self._settle(waiter, outcome)
        if waiters or not task.wanted:
            self._forget(task.id)
        else:
            self._keep(task, outcome)

    def _keep(self, task: Task[W], outcome: Outcome) -> None:
        self._kept[task.id] = task
        self._kept_bytes += len(outcome.payload)
        while len(self._kept) > MOST_KEPT or self._kept_bytes > MOST_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, id: int) -> None:
        task = self._kept.pop(id, None)
        self._forget(id)
        if task is not None and task.outcome is not None:
            self._kept_bytes -= len(task.outcome.payload)

    def _forget(self, id: int) -> None:
        task = self._tasks.pop(id, None)
        if task is not None and task.wanted:
            owned = self._owned[task.owner]
            del owned[id]
            if not owned:
                del self._owned[task.owner]

    def wait(self, id: int, waiter: W) -> None:
        """Settle a waiter with what comes of a task."""
        task = self._tasks.get(id)
        if task is None:
            text = "the result of this task was told before, or dropped because too many were kept"
            self._settle(waiter, failed(RpcError(ErrorCode.HANDLER_ERROR, text)))
        elif task.outcome is None:
            task.waiters[waiter] = None
        else:
            self._drop(id)
            self._settle(waiter, task.outcome)

    def withdraw(self, id: int, waiter: W) -> None:
        """Let it wait no more."""
        task = self._tasks.get(id)
        if task is not None:
            task.waiters.pop(waiter, None)

    def disown(self, owner: str) -> None:
        """Keep no results for a process that has died; its tasks go on."""
        for task in self._owned.pop(owner, {}).values():
            task.wanted = False
            if task.outcome is not None:
                self._drop(task.id)

    def refuse_queued(self, error: RpcError) -> list[Task[W]]:
        """Let nothing begin any more that waits for its turn, and return what that was."""
        refused = list(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        for task in refused:
            self._conclude(task, failed(error))
        return refused
