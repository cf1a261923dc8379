"""Which objects have not been used for too long: those of clients that cannot be seen to go away.

Using an object costs one assignment; only when its time seems to be over is it found out whether it was used meanwhile.
Pure: the clock is an argument. Nothing here is thread-safe: the store calls it under its own mutex.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

_STEPS = 32  # into which a lease is divided; an object may live longer than its lease by one of them
_MOST_AT_ONCE = 1000  # objects looked at in one turn


class Leased(Protocol):
    """What can have a lease.

    :ivar used: when it was last used, seconds
    :ivar due: the step in which it will be looked at; 0 if it has no lease
    """

    used: float
    due: int

    @property
    def in_use(self) -> bool:
        """Whether it is being used now."""


LeasedT = TypeVar("LeasedT", bound=Leased)


class Leases(Generic[LeasedT]):
    """All leases, in steps of time.

    :param ttl: seconds without use until a lease ends; 0 is never
    """

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._step = ttl / _STEPS
        self._by_step: dict[int, dict[LeasedT, None]] = {}
        self._first = 0

    def grant(self, item: LeasedT, now: float) -> None:
        """Begin an item's lease."""
        if self._ttl:
            item.used = now
            self._put(item)

    def _put(self, item: LeasedT) -> None:
        item.due = step = int((item.used + self._ttl) / self._step) + 1
        self._by_step.setdefault(step, {})[item] = None
        self._first = min(self._first or step, step)

    def end(self, item: LeasedT) -> None:
        """Forget an item; it may have no lease."""
        step = self._by_step.get(item.due)
        if step is not None:
            step.pop(item, None)
        item.due = 0

    def expired(self, now: float) -> list[LeasedT]:
        """Return items whose lease has ended, and forget them; more may be left for the next turn."""
        ended: list[LeasedT] = []
        looked_at = 0
        while self._first and self._first * self._step <= now and looked_at < _MOST_AT_ONCE:
            step = self._by_step[self._first]
            while step and looked_at < _MOST_AT_ONCE:
                item, _ = step.popitem()
                looked_at += 1
                if self._is_over(item, now):
                    item.due = 0
                    ended.append(item)
                else:
                    self._put(item)
            if not step:
                del self._by_step[self._first]
                self._first = min(self._by_step, default=0)
        return ended

    def _is_over(self, item: LeasedT, now: float) -> bool:
        if item.in_use:
            item.used = now
        return now - item.used >= self._ttl

    def patience(self, now: float) -> float | None:
        """Return seconds until the next look makes sense; None if no lease is granted."""
        return max(0.0, self._first * self._step - now) if self._first else None
