"""What an object store has to do, does, and has done."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from scriptling.runtime import counts
from workers.frames import Call, Reply
from workers.front_end.metrics import Report, Timing
from workers.store.departures import Departure
from workers.store.instances import Instance, Owner

SLOW = 2_000_000  # ns; a method known to take longer gives up the lead before it begins
PROMPT = 20_000_000  # ns; a method that took no longer may take the last thread that is in reserve
LONG = 100_000_000  # ns; until it has taken longer than this


@dataclass(eq=False, slots=True)
class Task:
    """A call that is ready to run, with the object it is for.

    :ivar owner: of what it makes; as it was when the call came, so that a call knows if its owner has gone since
    :ivar departure: that this call is a part of
    :ivar since: when it began, without the time for which it was parked (s)
    :ivar asking: how many of its questions are open; ``parked``: those of them that block on other calls
    :ivar holds: whether it has its object, if it is for one; it has let it go while it asks, and when it is over
    :ivar over: whether it has come to its end; threads that it has started may still ask
    :ivar returned: is set when it has its object again, or needs it no more; there is one while it waits for that
    """

    call: Call
    owner: Owner
    instance: Instance[Task] | None = None
    departure: Departure | None = None
    since: float = 0.0
    answered: bool = False
    asking: int = 0
    parked: int = 0
    parked_since: float = 0.0
    holds: bool = True
    over: bool = False
    returned: threading.Event | None = None

    def take_back(self) -> bool:
        """Give it its object again; False if it is over, and needs it no more."""
        if self.over:
            return False
        self.holds = True
        self.go_on()
        return True

    def go_on(self) -> None:
        """Let its threads go on that wait for its object."""
        if self.returned is not None:
            self.returned.set()
            self.returned = None

    def park(self, now: float) -> None:
        """Stop its clock, because it blocks on other calls."""
        self.parked += 1
        if self.parked == 1:
            self.parked_since = now

    def unpark(self, now: float) -> None:
        """Let its clock go on."""
        self.parked -= 1
        if not self.parked:
            self.since += now - self.parked_since

    @property
    def is_stuck(self) -> bool:
        """Whether its thread waits for others, or nobody waits for it any more."""
        return bool(self.asking or self.answered or self.returned)

    @property
    def kind_of_work(self) -> tuple[str, str]:
        """Class and method, by which is counted how long it takes."""
        if self.instance is None:
            return "", self.call.target
        return self.instance.class_name, self.call.method or "__del__"

    def __str__(self) -> str:
        if self.instance is None:
            return f"the constructor of {self.call.target}"
        return ".".join(self.kind_of_work)


@dataclass
class Ledger:
    """What runs, what is ready, and what is done; changed under the store's mutex.

    :ivar held: is ready as well, but waits until there are threads enough
    :ivar quick: the same, but is known to take no time to speak of
    :ivar resumed: how much of what was held has been begun so far
    """

    ready: deque[Task] = field(default_factory=deque)
    held: deque[Task] = field(default_factory=deque)
    quick: deque[Task] = field(default_factory=deque)
    resumed: int = 0
    running: dict[int, Task] = field(default_factory=dict)
    done: deque[Reply] = field(default_factory=deque)
    timings: dict[tuple[str, str], Timing] = field(default_factory=dict)
    timeouts: Counter[tuple[str, str]] = field(default_factory=Counter)
    unreported: bool = False
    _prompt: set[tuple[str, str]] = field(default_factory=set)

    def expected(self, class_name: str, method: str) -> int:
        """Return how long a piece of work took last (ns); 0 if it never ran."""
        timing = self.timings.get((class_name, method))
        return 0 if timing is None else timing.expected

    def is_quick(self, task: Task) -> bool:
        """Whether it is known that a piece of work takes no time to speak of."""
        work = task.kind_of_work
        timing = self.timings.get(work)
        if timing is None or timing.expected > LONG:
            self._prompt.discard(work)
        elif timing.expected <= PROMPT:
            self._prompt.add(work)  # and what takes longer once, because the machine is crowded, stays
        return work in self._prompt

    def report(self, objects: int) -> Report:
        """Return what was counted since the last report."""
        timings = {_name(*work): timing.take() for work, timing in self.timings.items() if timing.count}
        timeouts = {_name(*work): number for work, number in self.timeouts.items()}
        self.timeouts.clear()
        self.unreported = False
        return Report(objects, timings, timeouts, counts.take())


def _name(class_name: str, method: str) -> str:
    return f"{class_name}.{method}" if class_name else method


def take_out(tasks: deque[Task], wanted: Callable[[Task], bool]) -> list[Task]:
    """Take the tasks that are wanted out of a queue, and return them."""
    taken = [task for task in tasks if wanted(task)]
    if taken:
        kept = [task for task in tasks if not wanted(task)]
        tasks.clear()
        tasks.extend(kept)
    return taken
