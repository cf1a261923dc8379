"""The table of ``make faults`` says what was measured, and says it when that is not enough."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.faults import table
from tests.faults.conftest import scaled_down
from tests.faults.figures import Figure, Figures, percentile


def test_the_worst_is_shown_and_counts_are_added_up() -> None:
    figures = [
        Figure(2, "late", "≤", 0.1, 0.02, "s"),
        Figure(1, "answered", "of", 1000, 1000),
        Figure(2, "late", "≤", 0.1, 0.25, "s"),
        Figure(1, "answered", "of", 500, 500),
        Figure(3, "memory", "≤", 256, 40.126, "MiB"),
    ]
    assert table.markdown(figures).splitlines()[2:] == [
        "| 1 | answered | all 1,500 | 1,500 |",
        "| 2 | late | ≤ 100 ms | **250 ms**, does not hold |",
        "| 3 | memory | ≤ 256 MiB | 40.1 MiB |",
    ]


def test_a_figure_is_kept_whether_or_not_it_holds(tmp_path: Path) -> None:
    figures = Figures(tmp_path / "figures")
    figures.at_most(1, "late", 0.5, 1.0, room=3)
    with pytest.raises(AssertionError, match="late: 2 s, not 1 at most"):
        figures.at_most(1, "late", 2.0, 1.0, room=3)
    with pytest.raises(AssertionError, match="answered: only 2 of 3"):
        figures.count(1, "answered", 2, 3)
    kept = [msgspec.json.decode(line, type=Figure) for line in (tmp_path / "figures").read_bytes().splitlines()]
    assert [figure.holds for figure in kept] == [True, False, False]


def test_room_is_given_where_nobody_wants_the_figures() -> None:
    Figures(None).at_most(1, "late", 2.0, 1.0, room=3)


def test_percentiles() -> None:
    assert percentile([1.0]) == 1
    assert percentile([float(number) for number in range(1000)]) == 990


def test_smaller_scales_are_left_out_only_where_there_is_a_full_one(pytester_items: list[pytest.Item]) -> None:
    assert {item.name for item in scaled_down(pytester_items)} == {"both[1]"}


@pytest.fixture
def pytester_items(request: pytest.FixtureRequest) -> list[pytest.Item]:
    def item(name: str, is_full: bool) -> pytest.Item:
        made: pytest.Item = pytest.Function.from_parent(request.node.parent, name=name, callobj=percentile)
        if is_full:
            made.add_marker("full_scale")
        return made

    return [item("both[1]", False), item("both[2]", True), item("one[1]", False)]
