"""Numbers out of numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from benchmarks.model import Result


def median(values: Sequence[float]) -> float:
    """Return the median; NaN of nothing."""
    return statistics.median(values) if values else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` (0 to 1) of all are not above; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> float:
    """Return half of the distance between the quartiles as a share of the median: 0.05 is "give or take 5 %"."""
    middle = median(values)
    if len(values) < 2 or not middle:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / abs(middle)


def ratio(above: Result, below: Result) -> float:
    """Return how many times ``below`` ``above`` is.

    Within a case the rounds alternate, so that what disturbs one disturbs the other: there it is the median of the
    ratios of each round. Across cases it is the ratio of the medians.
    """
    same_rounds = (above.workload, above.case) == (below.workload, below.case)
    if same_rounds and len(above.values) == len(below.values):
        return median([a / b for a, b in zip(above.values, below.values, strict=True) if b])
    return median(above.values) / median(below.values)


def times_better(ours: Result, theirs: Result) -> float:
    """Return how many times better ``ours`` is: above 1 it is, whether more or less is better."""
    return ratio(ours, theirs) if ours.metric.more else ratio(theirs, ours)
