"""Rounds of a given length, whatever is measured."""

from __future__ import annotations

import time
from collections.abc import Callable

_WARM = 0.08  # seconds that a warm-up lasts at least


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Pace:
    """Finds how many calls fill a round, out of the rounds before; the first is preceded by a warm-up.

    :param run: makes so many calls and returns the seconds that they took
    :param least: calls of a round, at least
    :param most: calls of a round, at most
    """

    def __init__(self, run: Callable[[int], float], least: int = 1, most: int = 200_000) -> None:
        self._run = run
        self._least = least
        self._most = max(least, most)
        self._rate = 0.0

    def rate(self, seconds: float) -> float:
        """Measure for about so many seconds; return calls per second."""
        if not self._rate:
            self._warm_up(min(_WARM, seconds))
        count = max(self._least, min(self._most, int(self._rate * seconds)))
        self._rate = count / self._run(count)
        return self._rate

    def _warm_up(self, seconds: float) -> None:
        count = self._least
        while (elapsed := self._run(count)) < seconds and count < self._most:
            count = min(count * 4, self._most)
        self._rate = count / elapsed
