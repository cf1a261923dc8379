"""What is owed: every id has one answer, and one that fits or that a fault accounts for which was done on purpose."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from scriptling.errors import ErrorCode

Json = dict[str, Any]

MARK = "soak "  # every id of ours begins so, and no damaged message has it
SLACK = 3.0  # seconds that the death of a store may take to be known to everybody
CROWDED = 15.0  # seconds for which a flood may be felt
FRESH = 2.0  # seconds within which the call is answered that was killed with its worker
IN_A_FLOOD = "call in a flood"  # a kind; there are so many of them a minute, however quick the server is
_SHOWN = 500


class ViolationError(AssertionError):
    """Something that was promised did not hold."""


def anything(_: Any) -> bool:
    """Accept any result."""
    return True


class Demand(NamedTuple):
    """What an answer has to be.

    :ivar accepts: whether a result is right
    :ivar code: of the error that it has to be instead; 0 for a result
    :ivar text: part of that error's message
    """

    accepts: Callable[[Any], bool] = anything
    code: int = 0
    text: str = ""

    def is_met_by(self, answer: Json) -> bool:
        """Whether an answer is right."""
        if "error" in answer:
            return bool(answer["error"]["code"] == self.code and self.text in answer["error"]["message"])
        return self.code == 0 and self.accepts(answer["result"])


class Call(NamedTuple):
    """One request.

    :ivar kind: what it is counted as
    :ivar demand: None for a notification
    :ivar object_since: when the object was asked for that it needs; None if it needs none
    """

    kind: str
    method: str
    params: Json
    demand: Demand | None
    object_since: float | None = None


@dataclass(slots=True)
class Owed:
    """A request that has no answer yet.

    :ivar done: is given the answer
    """

    call: Call
    done: Callable[[Json], object]
    asked: float


class Ledger:
    """Everything that one server owes; used by many threads.

    :param clock: gives the time, in seconds
    :ivar store_killed: when the object store was killed last
    :ivar flooded: when more was sent last than the queue takes
    :ivar right: answers that were as they should be, by kind
    :ivar excused: errors that faults account for, by kind
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.store_killed = -math.inf
        self.flooded = -math.inf
        self.right: Counter[str] = Counter()
        self.excused: Counter[str] = Counter()
        self._clock = clock
        self._kills: deque[float] = deque()
        self._numbers = itertools.count(1)
        self._owed: dict[str, Owed] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._owed)

    @property
    def is_flooded(self) -> bool:
        """Whether calls may be refused."""
        return self._clock() - self.flooded < CROWDED

    @property
    def answers(self) -> int:
        """How many calls have been answered."""
        return self.right.total() + self.excused.total()

    @property
    def steady(self) -> int:
        """How many calls have been answered beside floods."""
        return self.answers - self.right[IN_A_FLOOD] - self.excused[IN_A_FLOOD]

    def kill(self) -> None:
        """Note that a worker is about to be killed from outside: that accounts for one call, and not for long."""
        with self._lock:
            self._kills.append(self._clock())

    def owe(self, call: Call, done: Callable[[Json], object]) -> str:
        """Note a request that is about to be sent, and return its id."""
        id = f"{MARK}{next(self._numbers)}"
        with self._lock:
            self._owed[id] = Owed(call, done, self._clock())
        return id

    @staticmethod
    def knows(id: Any) -> bool:
        """Whether an id can only be one of ours."""
        return isinstance(id, str) and id.startswith(MARK)

    def settle(self, answer: Json) -> None:
        """Take an answer.

        :raises ViolationError: nobody is owed it, or it is neither right nor accounted for
        """
        with self._lock:
            owed = self._owed.pop(answer["id"], None)
            if owed is None:
                raise ViolationError(f"answered twice, or never asked: {str(answer)[:_SHOWN]}")
            self._judge(owed, answer)
        owed.done(answer)

    def _judge(self, owed: Owed, answer: Json) -> None:
        call = owed.call
        if call.demand is None or call.demand.is_met_by(answer):
            self.right[call.kind] += 1
        elif "error" in answer and self._is_excused(call, answer["error"]):
            self.excused[call.kind] += 1
        else:
            waited = self._clock() - owed.asked
            raise ViolationError(f"wrong answer to {call.kind} after {waited:.2f} s: {str(answer)[:_SHOWN]}")

    def _is_excused(self, call: Call, error: Json) -> bool:
        code, message = error["code"], error["message"]
        if code == ErrorCode.OVERLOADED:
            return self.is_flooded
        lost = (
            code in {ErrorCode.WORKER_DIED, ErrorCode.OBJECT_LOST} or "object lost" in message or "SIGKILL" in message
        )
        if call.object_since is not None and lost and self.store_killed > call.object_since - SLACK:
            return True
        if code == ErrorCode.WORKER_DIED and call.method == "function.call" and "SIGKILL" in message:
            return self._spend_kill()
        return False

    def _spend_kill(self) -> bool:
        """Take the oldest kill that may account for what has just been answered."""
        while self._kills:
            if self._clock() - self._kills.popleft() <= FRESH:
                return True
        return False

    def overdue(self, patience: float) -> str:
        """Return what has been waited for longest, if that is longer than so many seconds."""
        with self._lock:
            oldest = next(iter(self._owed.items()), None)
        if oldest is None or self._clock() - oldest[1].asked < patience:
            return ""
        return f"no answer within {patience:g} s to {oldest[1].call.kind} ({oldest[0]}); {len(self)} answers are owed"
