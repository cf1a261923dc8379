"""Statistics: medians, spreads, and ratios paired by round."""

from __future__ import annotations

import math

import pytest

from benchmarks.model import RATE, TIME, Metric, Outcome, Result
from benchmarks.slopes import segments, sentence
from benchmarks.stats import median, percentile, ratio, spread, times_better


def result(*values: float, case: str = "c", contestant: str = "scriptling", metric: Metric = RATE) -> Result:
    return Result("w", case, metric, contestant, list(values))


def test_median_of_nothing_is_not_a_number() -> None:
    assert math.isnan(median([]))


def test_percentile_is_a_value_that_was_seen() -> None:
    values = [float(i) for i in range(1, 1001)]
    assert [percentile(values, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500, 990, 999, 1000]


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([3.0], 0.999) == 3.0


def test_spread_is_half_of_the_quartiles_distance_over_the_median() -> None:
    assert spread([90, 95, 100, 105, 110]) == pytest.approx(0.05)
    assert spread([5.0]) == 0.0


def test_ratio_within_a_case_is_paired_by_round() -> None:
    disturbed, as_well = result(100, 10, 100), result(50, 5, 50, contestant="peer")
    assert ratio(disturbed, as_well) == 2.0
    assert ratio(result(100, 10), result(50, 10, contestant="peer")) == pytest.approx(1.5)


def test_ratio_across_cases_is_of_medians() -> None:
    assert ratio(result(10, 20, 30), result(5, 10, 80, case="other")) == 2.0


def test_better_is_more_of_a_rate_and_less_of_a_time() -> None:
    assert times_better(result(200), result(100, contestant="peer")) == 2.0
    assert times_better(result(5, metric=TIME), result(10, contestant="peer", metric=TIME)) == 2.0


def test_results_are_found_by_metric_or_the_first() -> None:
    second = Metric("second", "ms", False)
    outcome = Outcome([result(1), result(2, metric=second)])
    first, other = outcome.find("w", "c"), outcome.find("w", "c", metric="second")
    assert first is outcome.results[0]
    assert other is outcome.results[1]
    assert outcome.find("w", "elsewhere") is None


def test_exponent_of_a_segment_is_one_where_cost_is_linear() -> None:
    assert [each.exponent for each in segments([(1, 3), (10, 30), (100, 3000)])] == pytest.approx([1.0, 2.0])


def test_sentence_tells_where_it_bends() -> None:
    assert sentence([(1, 5), (10, 5), (100, 6), (1000, 50)]).startswith("Bends at 100: hardly grows before; never")


def test_sentence_tells_of_growth_faster_than_linear() -> None:
    assert "FASTER THAN LINEARLY from 10 to 100 (exponent 2.00)" in sentence([(1, 1), (10, 10), (100, 1000)])


def test_sentence_of_a_constant_cost() -> None:
    assert sentence([(1, 5), (10, 5)]) == "Hardly grows."
