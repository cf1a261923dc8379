"""Which figures are drawn for the docs."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.model import OURS, Outcome, Result
from benchmarks.report import number
from benchmarks.stats import median
from benchmarks.svg import Bar, Chart, bar_charts
from benchmarks.workloads.add import LINE_ECHO

SHOWN: Sequence[tuple[str, str]] = (
    ("add", "1 in flight"),
    ("add", "32 in flight"),
    ("add", "all in flight"),
    ("methods", "1 object, 1 in flight"),
    ("objects", "1 in flight"),
    ("callbacks", "1 in flight"),
    ("payloads", "10,000 ints"),
    ("payloads", "1,000 dicts of ten strings"),
    ("payloads", "a string of 1 MB"),
    ("cpu", "fib(20), 2 processes"),
)
_CROWDED = ("32 in flight", "all in flight")  # where the generator's ceiling would leave no room for the others


def comparison(outcome: Outcome, machine: str) -> str:
    """Return the picture of who does how much."""
    charts = [chart for each in SHOWN if (chart := _chart(outcome, *each))]
    return bar_charts("Calls per second (more is better), and milliseconds (less is better)", charts, machine)


def _chart(outcome: Outcome, workload: str, case: str) -> Chart | None:
    results = [result for result in outcome.results if (result.workload, result.case) == (workload, case)]
    if case in _CROWDED:
        results = [result for result in results if result.contestant != LINE_ECHO]
    if len(results) < 2:
        return None
    unit = results[0].metric.unit
    return Chart(f"{workload}, {case}: {unit}", [_bar(result) for result in results])


def _bar(result: Result) -> Bar:
    kind = "ours" if result.contestant == OURS else "limit" if result.contestant.startswith("limit") else "peer"
    value = median(result.values)
    return Bar(result.contestant, value, f"{number(value)} {result.metric.unit}", kind)
