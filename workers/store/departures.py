"""Owners that have gone, whose objects are destroyed a few at a time, between the calls of others.

Pure. Nothing here is thread-safe: the store calls it under its own mutex.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.frames import Call
from workers.store.instances import Instance, Owner

_TURN = 500_000  # ns of ``__del__`` that others may have to wait for
_UNKNOWN = 100_000  # ns of a ``__del__`` that was never run
_MOST_RUNNING = 100  # threads may be in a ``__del__`` of what is left behind, before the rest waits


@dataclass(eq=False)
class Departure:
    """One owner's.

    :ivar call: is answered in the end
    :ivar open: how many of its objects are being destroyed
    :ivar over: whether that was all
    """

    owner: Owner
    call: Call
    open: int = 0
    over: bool = False

    def settle(self) -> bool:
        """Note that one of its objects has been destroyed, or that nobody waits for it any more; True for the last."""
        self.open -= 1
        self.over = not (self.open or self.owner.instances)
        return self.over


class Departures:
    """All of them, in the order in which they began.

    :param duration: returns the ns that the ``__del__`` of a class took last, 0 if it never ran
    """

    def __init__(self, duration: Callable[[str], int]) -> None:
        self._duration = duration
        self._waiting: deque[Departure] = deque()
        self._running = 0
        self.in_haste = False
        """Whether everything is to be destroyed, however many threads that takes: the store is about to end."""

    def begin(self, owner: Owner, call: Call) -> Departure:
        """Have everything destroyed that an owner has."""
        departure = Departure(owner, call)
        self._waiting.append(departure)
        return departure

    @property
    def can_go_on(self) -> bool:
        """Whether there is something to destroy now."""
        return bool(self._waiting) and (self.in_haste or self._running < _MOST_RUNNING)

    @property
    def left(self) -> int:
        """How many have objects that nobody has begun to destroy."""
        return len(self._waiting)

    def next(self) -> list[tuple[Departure, Instance[Any] | None]]:
        """Return what is to be destroyed in this turn; the caller removes each from its owner.

        A departure comes with None if there was nothing to destroy any more: clients have destroyed it all before.
        """
        turn: list[tuple[Departure, Instance[Any] | None]] = []
        budget = _TURN
        while self.can_go_on and budget > 0:
            departure = self._waiting[0]
            for instance in departure.owner.instances:
                turn.append((departure, instance))
                departure.open += 1
                self._running += 1
                budget -= self._duration(instance.class_name) or _UNKNOWN
                if budget <= 0 or not self.can_go_on:
                    return turn
            self._waiting.popleft()
            if not (departure.open or departure.over):
                turn.append((departure, None))
        return turn

    def done(self) -> None:
        """Note that the destruction of an object has come to its end, if it was given up before or not."""
        self._running -= 1
