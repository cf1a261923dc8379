"""The order in which a server ends, as a pure state machine: the clock and the facts are arguments.

Calls first; then background tasks, which were told at the beginning; then the objects, whose ``__del__`` may still use
what the setup script holds; then the setup script's own clean-up; then the last answers out. Each step has a share of
the grace period, so that no step can take all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

SETUP_FAILED = 3
"""Exit code of a server whose setup script failed, or declared nothing to serve (cli.md, exit codes)."""

_TASKS = 3.0  # seconds for tasks to notice that the server stops, and to clean up
_LEAST_FOR_TASKS = 0.15  # they were told when the end began
_OBJECTS = 3.0  # seconds for all __del__ together
_LEAST = 0.5  # seconds that every step gets, however late it is
_FLUSH = 1.0  # seconds for a host to read the last answers


class Phase(IntEnum):
    """What the server is doing."""

    SERVING = 0
    DRAINING = 1
    STOPPING_TASKS = 2
    DESTROYING = 3
    CLEANING_UP = 4
    FLUSHING = 5
    OVER = 6


@dataclass(frozen=True)
class Facts:
    """What of each step is still to be done."""

    calls_pending: bool
    tasks_running: bool
    store_running: bool
    setup_running: bool
    output_waiting: bool


@dataclass
class Ending:
    """Where the server is between serving and its end.

    :ivar exit_code: what the process ends with
    """

    phase: Phase = Phase.SERVING
    exit_code: int = 0
    _end_by: float = 0.0
    _phase_by: float = 0.0

    @property
    def begun(self) -> bool:
        """Whether the server takes no new work."""
        return self.phase > Phase.SERVING

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.phase == Phase.OVER

    def begin(self, now: float, grace: float, exit_code: int = 0) -> None:
        """Take no new work from now on. The first reason to end decides the exit code, the most urgent the time."""
        if not self.begun:
            self.exit_code = exit_code
            self.phase = Phase.DRAINING
            self._end_by = self._phase_by = now + grace
        if now + grace <= self._end_by:
            self._end_by = now + grace
            self._phase_by = min(self._phase_by, self._end_by - min(1.0, grace / 5))

    def advance(self, now: float, facts: Facts) -> bool:
        """Go one step further if the present one is done or out of time; return whether that was so."""
        todo = {
            Phase.DRAINING: facts.calls_pending,
            Phase.STOPPING_TASKS: facts.tasks_running,
            Phase.DESTROYING: facts.store_running,
            Phase.CLEANING_UP: facts.setup_running,
            Phase.FLUSHING: facts.output_waiting,
        }
        if self.phase not in todo or (todo[self.phase] and now < self._phase_by):
            return False
        self.phase = Phase(self.phase + 1)
        self._phase_by = self._time_for(self.phase, now)
        return True

    def _time_for(self, phase: Phase, now: float) -> float:
        if phase == Phase.STOPPING_TASKS:
            return min(now + _TASKS, max(self._end_by, now + _LEAST_FOR_TASKS))
        if phase == Phase.DESTROYING:
            return min(now + _OBJECTS, max(self._end_by, now + _LEAST))
        if phase == Phase.CLEANING_UP:
            return max(self._end_by, now + _LEAST)
        return now + _FLUSH

    def next_deadline(self) -> float | None:
        """Return when :meth:`advance` has to be called at the latest."""
        return self._phase_by if Phase.SERVING < self.phase < Phase.OVER else None
