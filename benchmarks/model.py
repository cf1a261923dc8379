"""What is measured: metrics, cases, contestants, results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.stage import Stage

OURS = "scriptling"

Measure = Callable[[float], Mapping[str, float]]
"""Takes about how many seconds to measure for; returns a figure for each metric."""


class Unavailable(Exception):  # noqa: N818 - it says what is the matter
    """A peer cannot take part here; the text says why, and what to do about it."""


class PeerFailed(Exception):  # noqa: N818 - it says what is the matter
    """A peer took part and broke, or gave wrong answers."""


@dataclass(frozen=True)
class Metric:
    """One figure of a case.

    :ivar unit: as printed behind the number
    :ivar more: whether more of it is better
    """

    name: str
    unit: str
    more: bool


RATE = Metric("rate", "calls/s", True)
TIME = Metric("time", "ms", False)


@dataclass
class Case:
    """Contestants that do the same, in alternating rounds.

    :ivar seconds: how long a round should take, as a multiple of the usual
    :ivar rounds: a bound on the rounds, where each costs more than time; 0 is the usual number
    """

    name: str
    contestants: Mapping[str, Measure]
    metrics: tuple[Metric, ...] = (RATE,)
    seconds: float = 1.0
    rounds: int = 0


@dataclass(frozen=True)
class Workload:
    """A group of cases that share what they start."""

    name: str
    title: str
    cases: Callable[[Stage], Iterable[Case]]


@dataclass
class Result:
    """What one contestant reached in one metric of one case: a value per round, in order."""

    workload: str
    case: str
    metric: Metric
    contestant: str
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Absence:
    """Somebody who did not take part in a case, and why.

    :ivar broke: whether it was there and failed
    """

    workload: str
    case: str
    contestant: str
    reason: str
    broke: bool = False


@dataclass
class Outcome:
    """All that a run has brought."""

    results: list[Result] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)

    def find(self, workload: str, case: str, contestant: str = OURS, metric: str = "") -> Result | None:
        """Return a result; without a metric the case's first."""
        for result in self.results:
            if (result.workload, result.case, result.contestant) == (workload, case, contestant) and metric in {
                "",
                result.metric.name,
            }:
                return result
        return None
