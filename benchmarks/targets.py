"""What has to be reached: ratios between figures of one run, and a few absolute ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.model import OURS, Outcome
from benchmarks.stats import median, ratio
from benchmarks.workloads import add


class Figure(NamedTuple):
    """Where a result is found (see :meth:`benchmarks.model.Outcome.find`)."""

    workload: str
    case: str
    contestant: str = OURS
    metric: str = ""


@dataclass(frozen=True)
class Target:
    """One demand.

    :ivar says: what is compared
    :ivar bound: what it has to reach
    :ivar unit: of the bound
    :ivar least: whether the bound is the least that will do, and not the most
    """

    says: str
    bound: float
    unit: str
    least: bool
    measured: Callable[[Outcome], float]


class Verdict(NamedTuple):
    """A target, and what came of it; NaN where it was not measured."""

    target: Target
    measured: float

    @property
    def reached(self) -> bool | None:
        """Whether it was reached; None where it was not measured."""
        if math.isnan(self.measured):
            return None
        return self.measured >= self.target.bound if self.target.least else self.measured <= self.target.bound


def value(figure: Figure) -> Callable[[Outcome], float]:
    """Return what finds a figure's median."""

    def measured(outcome: Outcome) -> float:
        result = outcome.find(*figure)
        return median(result.values) if result else math.nan

    return measured


def quotient(above: Figure, below: Figure) -> Callable[[Outcome], float]:
    """Return what divides a figure by another."""

    def measured(outcome: Outcome) -> float:
        first, second = outcome.find(*above), outcome.find(*below)
        return ratio(first, second) if first and second else math.nan

    return measured


ALL_IN_FLIGHT = Figure("add", "all in flight")
ONE_IN_FLIGHT = Figure("add", "1 in flight")
METHOD = Figure("methods", "1 object, 1 in flight")
CALLBACK = Figure("callbacks", "1 in flight")


def _against(ours: Figure, peer: str) -> Callable[[Outcome], float]:
    return quotient(ours, ours._replace(contestant=peer))


TARGETS: tuple[Target, ...] = (
    Target("add, all in flight, against one process", 0.7, "×", True, _against(ALL_IN_FLIGHT, add.IN_PROCESS)),
    Target("add, all in flight", 45_000, "calls/s", True, value(ALL_IN_FLIGHT)),
    Target("add, 32 in flight, against all", 0.5, "×", True, quotient(Figure("add", "32 in flight"), ALL_IN_FLIGHT)),
    Target("add, 1 in flight, against pipe + ZeroMQ", 0.6, "×", True, _against(ONE_IN_FLIGHT, add.HOP)),
    Target(
        "method calls against add, all in flight",
        1.0,
        "×",
        True,
        quotient(Figure("methods", "1 object, all in flight"), ALL_IN_FLIGHT),
    ),
    Target("add, all, against ProcessPoolExecutor", 4.0, "×", True, _against(ALL_IN_FLIGHT, "ProcessPoolExecutor")),
    Target("add, all, against loky", 4.0, "×", True, _against(ALL_IN_FLIGHT, "loky")),
    Target("methods, one in flight, against rpyc", 1.5, "×", True, _against(METHOD, "rpyc")),
    Target("callbacks, one in flight, against rpyc", 1.5, "×", True, _against(CALLBACK, "rpyc")),
    Target("10,000 ints echoed", 8.0, "ms", False, value(Figure("payloads", "10,000 ints"))),
    Target("1,000 dicts echoed", 15.0, "ms", False, value(Figure("payloads", "1,000 dicts of ten strings"))),
    Target("1 MB string echoed", 5.0, "ms", False, value(Figure("payloads", "a string of 1 MB"))),
    Target("kv.get in a handler", 10.0, "µs", False, value(Figure("kv", "get"))),
    Target("kv.set in a handler", 10.0, "µs", False, value(Figure("kv", "set"))),
    Target("kv.get among 1,000,000 keys", 15.0, "µs", False, value(Figure("kv", "get among 1,000,000 keys"))),
    Target("fib(20), 2 workers against 1", 1.8, "×", True, value(Figure("cpu", "fib(20)", OURS, "speed-up"))),
    Target(
        "fast calls' 99th percentile among slow ones",
        2.0,
        "×",
        False,
        value(Figure("mix", "32 in flight", OURS, "99th percentile, against fast only")),
    ),
    Target(
        "memory of each worker beyond the first",
        12.0,
        "MiB",
        False,
        value(Figure("memory", "per worker", OURS, "each worker beyond the first, loaded")),
    ),
)


def verdicts(outcome: Outcome) -> list[Verdict]:
    """Return what came of every target."""
    return [Verdict(target, target.measured(outcome)) for target in TARGETS]
