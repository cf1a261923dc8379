"""The front-end's side of background tasks: starts a process for each, and tells who waits for what came of it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

import msgspec

from scriptling.errors import ErrorCode, RpcError
from scriptling.tasks import Outcome, decode_failure, decode_spec, encode_outcome, failed
from workers import frames
from workers.calls.pool import describe_end
from workers.frames import Ask, Noted, Run, Stop
from workers.front_end.supervisor import Child
from workers.questions.background import Ledger
from workers.questions.relay import Loss, Question, Relay

_MOST_NAMED = 5  # tasks that one line of the log names

_log = logging.getLogger("scriptling.tasks")


class TaskLink:
    """Every background task; see also :class:`workers.questions.relay.Responder`.

    :param send: takes a child's name and a frame
    :param most: tasks that may run at once
    :param most_waiting: tasks that may wait for others besides
    """

    def __init__(self, relay: Relay, send: Callable[[str, bytes], None], most: int, most_waiting: int) -> None:
        self._relay = relay
        self._send = send
        self._ledger: Ledger[Question] = Ledger(self._settle, most, lambda child: bool(relay.of(child)), most_waiting)
        self._stopping = False
        self._signalled: dict[str, signal.Signals] = {}

    # Questions

    def ask(self, question: Question, ask: Ask) -> None:
        """Take a task, or tell what came of one as soon as that is known."""
        try:
            if ask.method == "task.start":
                number = self._submit(question.child, ask.params)
                self._relay.settle(question, False, b"%d" % number)
            else:
                question.number = int(ask.target)
                self._ledger.wait(question.number, question)
        except RpcError as error:
            self._relay.refuse(question, error)
        except (msgspec.DecodeError, ValueError) as error:
            text = f"{ask.method} cannot be understood: {error}"
            self._relay.refuse(question, RpcError(ErrorCode.INVALID_PARAMS, text))

    def _submit(self, owner: str, params: bytes) -> int:
        spec = decode_spec(params)
        if self._stopping:
            raise RpcError(ErrorCode.SHUTTING_DOWN, f"the task {spec.name!r} is not begun: the plugin is shutting down")
        return self._ledger.submit(owner, spec)

    def _settle(self, question: Question, outcome: Outcome) -> None:
        self._relay.settle(question, False, encode_outcome(outcome))

    def withdraw(self, question: Question) -> None:
        """Let it wait no more."""
        self._ledger.withdraw(question.number, question)

    def drop(self, loss: Loss) -> None:
        """Keep nothing for who has died."""
        self._ledger.disown(loss.child)

    # Processes

    def begin(self, start: Callable[[], Child | None]) -> None:
        """Start processes for the tasks whose turn it is."""
        while (task := self._ledger.next) is not None:
            child = start()
            if child is None:
                return
            child.stopping = True  # nothing but its end is to come of it, and nobody replaces it
            self._ledger.begin(child.name)
            _log.debug("task %s runs as %s", task.spec.name, child.name)

    @property
    def waiting(self) -> bool:
        """Whether a process could be started now."""
        return self._ledger.next is not None

    @property
    def running(self) -> bool:
        """Whether any task has a process."""
        return bool(self._ledger.running)

    def greet(self, child: Child) -> None:
        """Give a process that is connected its task."""
        self._send(child.name, frames.encode(Run(self._ledger.running[child.name].spec)))
        if self._stopping:
            self._send(child.name, frames.encode(Stop()))

    def ended(self, child: Child, outcome: Outcome) -> None:
        """Take what came of a task, and let its process end.

        :raises ValueError: it runs none, or has told that before
        """
        task = self._ledger.running.get(child.name)
        if task is None or task.outcome is not None:
            raise ValueError("the end of a task that it does not run")
        self._send(child.name, frames.encode(Noted()))
        self._note(child, outcome)

    def _note(self, child: Child, outcome: Outcome) -> None:
        task = self._ledger.end(child.name, outcome)
        if task is not None and outcome.failed:
            _log.error("the task %s has failed: %s", task.spec.name, _text(outcome), extra={"worker": child.name})

    def died(self, child: Child, code: int) -> None:
        """Note the end of a process; a task that has not told what came of it has failed."""
        task = self._ledger.running.get(child.name)
        if task is not None and task.outcome is None:
            text = f"the process of the task {task.spec.name!r} {describe_end(code)}"
            error = child.verdict or RpcError(ErrorCode.WORKER_DIED, text)
            self._note(child, failed(error))
        self._ledger.gone(child.name)

    # The end

    def stop(self) -> None:
        """Tell every task that the server stops, and begin none any more."""
        if self._stopping:
            return
        self._stopping = True
        error = RpcError(ErrorCode.SHUTTING_DOWN, "the plugin has shut down before it was this task's turn")
        if refused := self._ledger.refuse_queued(error):
            names = ", ".join(sorted({task.spec.name for task in refused})[:_MOST_NAMED])
            _log.warning(
                "%s not been begun, such as %s",
                "1 task has" if len(refused) == 1 else f"{len(refused)} tasks have",
                names,
            )
        for name in self._ledger.running:
            self._send(name, frames.encode(Stop()))

    def names(self) -> list[str]:
        """Return the processes that run tasks."""
        return list(self._ledger.running)

    def signal(self, number: signal.Signals, send: Callable[[str, int], None]) -> None:
        """Send a signal to every task that has not ended, once."""
        for name, task in self._ledger.running.items():
            if task.outcome is None and self._signalled.get(name) != number:
                self._signalled[name] = number
                _log.warning("the task %s has not stopped; it gets %s", task.spec.name, number.name)
                send(name, number)


def _text(outcome: Outcome) -> str:
    failure = decode_failure(outcome.payload)
    kind, traceback = failure.about("type"), failure.about("traceback")
    return (f"{kind}: " if kind else "") + failure.message + (f"\n{traceback}".rstrip() if traceback else "")
