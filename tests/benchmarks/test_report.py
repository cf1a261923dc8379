"""Reports: for a terminal, for the docs, for programs; and the table of what must be reached."""

from __future__ import annotations

import json
import math
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import charts, pages, report
from benchmarks.model import OURS, RATE, Absence, Outcome, Result
from benchmarks.svg import Bar, Chart, Series, bar_charts, line_charts
from benchmarks.targets import TARGETS, Verdict, verdicts
from benchmarks.workloads import ALL, add

MACHINE: dict[str, Any] = {"processor": "abacus"}


@pytest.fixture
def outcome() -> Outcome:
    def rates(case: str, contestant: str, *values: float) -> Result:
        return Result("add", case, RATE, contestant, list(values))

    return Outcome(
        [
            rates("32 in flight", OURS, 30_000, 31_000, 32_000),
            rates("all in flight", OURS, 50_000, 51_000, 52_000),
            rates("all in flight", add.IN_PROCESS, 100_000, 102_000, 104_000),
            rates("all in flight", "loky", 5_000, 5_100, 5_200),
        ],
        [Absence("add", "all in flight", "Ray", "ray is not installed")],
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.01"), (math.nan, "–")],
)
def test_numbers_have_about_three_digits(value: float, written: str) -> None:
    assert report.number(value) == written


def test_text_has_medians_spreads_ratios_and_reasons(outcome: Outcome) -> None:
    text = report.text(outcome, ALL, verdicts(outcome))
    loky = next(line for line in text.splitlines() if "loky" in line and "5,100" in line)
    assert loky.split()[-2:] == ["10.0", "×"]
    assert "skipped: Ray in add (all in flight): ray is not installed" in text


def test_every_demand_is_listed_as_reached_missed_or_not_measured(outcome: Outcome) -> None:
    said = {says: what for says, _, _, what in map(report.verdict_cells, verdicts(outcome))}
    assert len(said) == len(TARGETS)
    assert said["add, all in flight"] == "reached"
    assert said["add, all in flight, against one process"] == "missed"
    assert said["add, all, against loky"] == "reached"
    assert said["1 MB string echoed"] == "not measured"


def test_a_bound_that_is_met_exactly_is_reached() -> None:
    assert all(Verdict(target, target.bound).reached for target in TARGETS)


def test_a_bound_is_the_least_or_the_most() -> None:
    for target in TARGETS:
        assert Verdict(target, target.bound * 0.9).reached is not target.least
        assert Verdict(target, math.nan).reached is None


def test_targets_name_workloads_that_exist() -> None:
    filled = Outcome()
    for target in TARGETS:
        assert math.isnan(target.measured(filled))


def test_json_holds_every_round_and_no_nan(outcome: Outcome) -> None:
    written = json.dumps(report.as_json(outcome, verdicts(outcome), MACHINE), allow_nan=False)
    read = json.loads(written)
    assert read["results"][0]["values"] == [30_000, 31_000, 32_000]
    assert read["machine"] == MACHINE
    assert read["skipped"][0]["reason"] == "ray is not installed"


def test_markdown_has_tables_of_one_width(outcome: Outcome) -> None:
    page = report.markdown(outcome, ALL, verdicts(outcome), "an abacus")
    for table in [part for part in page.split("\n\n") if part.startswith("|")]:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_figures_go_between_the_marks_of_a_page_and_nowhere_else() -> None:
    begin, end = pages.marks("figures")
    page = f"before\n{begin}\nold\n{end}\nafter\n"
    assert pages.put(page, "figures", "new") == f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    assert pages.put(pages.put(page, "figures", "x"), "figures", "new") == pages.put(page, "figures", "new")


def test_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no place for figures"):
        pages.put("nothing", "figures", "new")


def test_comparison_is_a_picture_with_every_contestant(outcome: Outcome) -> None:
    root = ElementTree.fromstring(charts.comparison(outcome, "a <machine>"))
    texts = [node.text for node in root.iter() if node.text]
    assert {OURS, "loky", add.IN_PROCESS, "a <machine>"} <= set(texts)


def test_longest_bar_is_of_the_largest_value() -> None:
    chart = Chart("t", [Bar("a", 1, "1"), Bar("b", 4, "4")])
    root = ElementTree.fromstring(bar_charts("title", [chart]))
    _, first, second = [float(node.attrib["width"]) for node in root.iter() if node.tag.endswith("rect")]
    assert second == pytest.approx(4 * first, rel=0.01)


def test_line_charts_rise_with_their_values() -> None:
    root = ElementTree.fromstring(
        line_charts("title", [Series("t", "x", "y", [(1, 2), (10, 20), (100, 200)], "n" * 9)])
    )
    dots = [(float(n.attrib["cx"]), float(n.attrib["cy"])) for n in root.iter() if n.tag.endswith("circle")]
    (x1, y1), (x2, y2), (x3, y3) = dots
    assert x1 < x2 < x3
    assert y1 > y2 > y3
    assert (x2 - x1, y1 - y2) == pytest.approx((x3 - x2, y2 - y3), abs=0.2)


def test_line_chart_of_equal_values_can_be_drawn() -> None:
    assert "<polyline" in line_charts("title", [Series("t", "x", "y", [(1, 10), (10, 10)], "")])
