"""Runs cases: contestants in turns, round after round, until their figures are steady or the time is up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.model import Absence, Case, Measure, Outcome, PeerFailed, Result, Unavailable, Workload
from benchmarks.server import Command
from benchmarks.stage import Stage
from benchmarks.stats import spread

STEADY = 0.05  # spread of every figure below which no more rounds are added


class Plan(NamedTuple):
    """How much to measure.

    :ivar rounds: of every case at least; where figures are not steady, twice as many at most
    :ivar seconds: of one round of one contestant
    :ivar servers: servers of the protocol that take part
    """

    rounds: int
    seconds: float
    servers: Sequence[Command]


def run(workloads: Sequence[Workload], plan: Plan, say: Callable[[str], None]) -> Outcome:
    """Run workloads.

    :param say: told what is going on, a line at a time
    """
    outcome = Outcome()
    for workload in workloads:
        say(f"{workload.name}: {workload.title}")
        with Stage(workload.name, plan.servers, plan.rounds) as stage:
            for case in workload.cases(stage):
                _run_case(workload.name, case, plan, outcome)
                say(f"  {case.name}: {', '.join(case.contestants) or 'nobody takes part'}")
            outcome.absences += stage.absences
    return outcome


def _run_case(workload: str, case: Case, plan: Plan, outcome: Outcome) -> None:
    contestants = dict(case.contestants)
    rounds = min(case.rounds or plan.rounds, plan.rounds)
    results = {name: [Result(workload, case.name, metric, name) for metric in case.metrics] for name in contestants}
    for number in range(rounds * 2):
        if number >= rounds and (case.rounds or _steady(results, contestants)):
            break
        for name in _turn(list(contestants), number):
            error = _measure(contestants[name], plan.seconds * case.seconds, results[name])
            if error:
                outcome.absences.append(_absence(workload, case.name, name, error))
                del contestants[name], results[name]
    outcome.results += [result for name in contestants for result in results[name]]


def _turn(names: Sequence[str], number: int) -> list[str]:
    """Return names in an order that gives every one the first place in turn."""
    first = number % len(names) if names else 0
    return [*names[first:], *names[:first]]


def _measure(measure: Measure, seconds: float, results: Sequence[Result]) -> Exception | None:
    """Add one round to the results; return what went wrong, if anything."""
    try:
        figures = measure(seconds)
    except Exception as error:  # whatever an answer that nobody expected leads to ends one contestant's part only
        return error
    for result in results:
        result.values.append(figures[result.metric.name])
    return None


def _absence(workload: str, case: str, name: str, error: Exception) -> Absence:
    known = isinstance(error, PeerFailed | Unavailable)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    return Absence(workload, case, name, reason, not isinstance(error, Unavailable))


def _steady(results: dict[str, list[Result]], contestants: dict[str, Measure]) -> bool:
    return all(spread(result.values) <= STEADY for name in contestants for result in results[name])
