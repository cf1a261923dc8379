"""The run of a soak from its begin to its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.faults.soak import verdicts
from tests.faults.soak.ledger import ViolationError
from tests.faults.soak.samples import Period, Sample
from tests.faults.soak.servers import Plan, Soaked, over_http, over_stdio
from tests.faults.soak.verdicts import Trend
from tests.faults.soak.watch import Watch

_WARM = 12  # descriptors that a front-end has for workers that have asked for something, and for clients that stay
_SAID = 3000  # characters of stderr that a fault is shown with


@dataclass
class Outcome:
    """What came of it.

    :ivar settled: how the servers were before and after all of the load
    :ivar done: how often which trouble was made, for each server
    """

    servers: Sequence[Soaked]
    settled: list[Trend]
    done: dict[str, int]

    @property
    def answers(self) -> int:
        """How many calls were answered."""
        return sum(server.ledger.answers for server in self.servers)

    @property
    def trends(self) -> list[Trend]:
        """What was demanded, and how it was."""
        found = [trend for server in self.servers for trend in verdicts.trends(server.name, server.periods)]
        return found + self.settled

    def markdown(self) -> str:
        """Return all of it for a page."""
        right = sum((server.ledger.right for server in self.servers), Counter[str]())
        excused = sum((server.ledger.excused for server in self.servers), Counter[str]())
        drawn = [line for server in self.servers for line in verdicts.lines(server.name, server.periods)]
        troubles = "; ".join(f"{name}: {times:,}" for name, times in self.done.items())
        parts = [
            verdicts.markdown(self.trends),
            "\n".join(drawn),
            f"Beside these calls: {troubles}.",
            verdicts.counts(right, excused),
        ]
        return "\n\n".join(parts)


def soak(plan: Plan, folder: Path) -> Outcome:
    """Soak two servers.

    :raises ViolationError: something that was promised did not hold
    """
    watch, servers = Watch(), list[Soaked]()
    outcome: Outcome | None = None
    try:
        with ExitStack() as stack:
            for serve in (over_stdio, over_http):
                own = folder / serve.__name__
                own.mkdir()
                servers.append(stack.enter_context(serve(own, watch, plan)))
            outcome = _soak(plan, watch, servers)
    except Exception as error:
        watch.over.set()
        said = "".join(f"\n-- stderr, {each.name}:\n{each.program.stderr[-_SAID:]}" for each in servers)
        known = f"{outcome.markdown()}\n" if outcome else ""
        # What went wrong here ends the servers, and that goes wrong for the threads.
        first = f"{type(error).__name__}: {error}"
        faults = [first] if watch.fault in first else [first, watch.fault]
        raise ViolationError("\n".join((known, *faults, said))) from error
    return outcome


def _soak(plan: Plan, watch: Watch, servers: list[Soaked]) -> Outcome:
    before = [server.begin() for server in servers]
    for server in servers:
        server.load(watch)
    _look(plan, watch, servers)
    watch.over.set()
    settled = []
    for server, sample in zip(servers, before, strict=True):
        after = server.settle(sample)
        what = f"{server.name}: descriptors of the front-end, threads apart, before the load and after it"
        fds = verdicts.number(sample.front_end_fds), verdicts.number(after.front_end_fds)
        settled.append(Trend(what, *fds, _WARM))
        server.close()
    watch.join()
    done = {
        f"{server.name}, {name}": times
        for server in servers
        for schedule in server.schedules
        for name, times in schedule.done.items()
    }
    return Outcome(servers, settled, done)


def _look(plan: Plan, watch: Watch, servers: list[Soaked]) -> None:
    """Take samples of one period after the other."""
    begin = time.monotonic()
    for period in range(plan.periods):
        loaded = [_sample(watch, servers, begin + period * plan.period + at) for at in plan.looks]
        watch.resting.set()
        _wait(watch, begin + period * plan.period + plan.rest)
        for server in servers:
            server.live()
        rests = [server.look() for server in servers]
        watch.resting.clear()
        for server, looks, rest in zip(servers, zip(*loaded, strict=True), rests, strict=True):
            server.periods.append(Period(looks, rest))


def _sample(watch: Watch, servers: list[Soaked], at: float) -> list[Sample]:
    """Wait until it is time, and take a sample of each."""
    _wait(watch, at)
    return [server.look() for server in servers]


def _wait(watch: Watch, at: float) -> None:
    """Wait until it is time, or something has gone wrong."""
    watch.news.wait(max(0, at - time.monotonic()))
    watch.check()
