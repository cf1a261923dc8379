"""Whether the end was as the beginning: medians of the first and the last fifth of all periods, and slopes at last."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import linear_regression, median
from typing import Literal, NamedTuple, TypeVar

from tests.faults.figures import Unit
from tests.faults.soak.samples import Period
from tests.faults.table import shown

LEFT = 0.92  # share of the throughput that has to be left, so that a loss of a tenth is noticed
LEAST = 8  # periods in which a slope can be told from what comes and goes
T = TypeVar("T")
_BARS = "▁▂▃▄▅▆▇█"


class Trend(NamedTuple):
    """One figure at the beginning and at the end; not a number if it could not be read, and then nothing holds.

    :ivar first: None where nothing is held against the beginning
    :ivar room: how much more it may be at the end; or what share of it has to be left
    """

    what: str
    first: float | None
    last: float
    room: float
    unit: Unit = ""
    relation: Literal["at most", "at least"] = "at most"

    @property
    def holds(self) -> bool:
        """Whether it is as demanded."""
        if self.relation == "at least":
            return self.last >= (self.first or 0) * self.room
        return self.last <= (self.first or 0) + self.room

    @property
    def row(self) -> str:
        """It as a row of the table."""
        demanded = f"≥ {self.room:g} ×" if self.relation == "at least" else f"≤ + {shown(self.room, self.unit)}"
        first = "" if self.first is None else _shown(self.first, self.unit)
        last = _shown(self.last, self.unit)
        last = last if self.holds else f"**{last}**, does not hold"
        return f"| {self.what} | {demanded} | {first} | {last} |"


def _shown(number: float, unit: Unit) -> str:
    return "not read" if math.isnan(number) else shown(number, unit)


class Figure(NamedTuple):
    """What is looked at in every period.

    :ivar field: of a sample
    :ivar room: how much more it may be at the end
    :ivar slope: how much more it may become a minute at last; nothing is demanded of what comes and goes with workers
    """

    what: str
    field: str
    room: float
    slope: float | None = None
    unit: Unit = ""


FIGURES = [
    Figure("processes", "processes", 1),
    Figure("descriptors of the front-end, threads apart", "front_end_fds", 6, 0.5),
    Figure("descriptors of the nursery", "nursery_fds", 6, 0.5),
    Figure("descriptors of the setup script", "setup_fds", 6, 0.5),
    Figure("descriptors of the object store, threads apart", "store_fds", 6, 0.5),
    Figure("descriptors, most of any worker", "most_fds", 6),
    Figure("memory of the front-end", "front_end_memory", 16, 0.75, "MiB"),
    Figure("memory of the nursery", "nursery_memory", 8, 0.5, "MiB"),
    Figure("memory of the setup script", "setup_memory", 8, 0.5, "MiB"),
    Figure("memory of the object store", "store_memory", 8, 0.5, "MiB"),
    Figure("memory of all processes", "tree_memory", 32, None, "MiB"),
]


def trends(name: str, periods: Sequence[Period]) -> list[Trend]:
    """Return what became of the processes of one server; the first period is for warming up."""
    warm = periods[1:]
    levels = [_level(name, figure, warm) for figure in FIGURES]
    zombies = Trend(f"{name}: zombies at two looks running", 0, lasting_zombies(periods), 0)
    return [*speeds(name, warm), *levels, *slopes(name, warm), zombies]


def _level(name: str, figure: Figure, periods: Sequence[Period]) -> Trend:
    first, last = _ends(_numbers(periods, figure.field))
    return Trend(f"{name}: {figure.what}", _median(first), _median(last), figure.room, figure.unit)


def slopes(name: str, periods: Sequence[Period]) -> list[Trend]:
    """Return what becomes more by the minute in the last two fifths, if there are enough of them."""
    late = periods[-(len(periods) * 2 // 5) :]
    if len(late) < LEAST:
        return []
    minutes = [period.rest.when / 60 for period in late]
    return [
        Trend(f"{name}: {each.what}, a minute", None, slope(minutes, _numbers(late, each.field)), each.slope, each.unit)
        for each in FIGURES
        if each.slope is not None
    ]


def slope(times: Sequence[float], numbers: Sequence[float]) -> float:
    """Return the median of the slopes between any two numbers, which a few that stand out do not change (Theil-Sen)."""
    points = [point for point in zip(times, numbers, strict=True) if not math.isnan(point[1])]
    if 2 * len(points) <= len(numbers):
        return math.nan
    return median((after - before) / (end - begin) for (begin, before), (end, after) in combinations(points, 2))


def speeds(name: str, periods: Sequence[Period]) -> list[Trend]:
    """Return what became of the answers of one server, beside floods: begin and end of the line through all periods."""
    rate, yielded = fitted([period.rate for period in periods]), fitted([period.yielded for period in periods])
    return [
        Trend(f"{name}: answers under load", *rate, LEFT, "/s", "at least"),
        Trend(f"{name}: answers for a second of CPU time", *yielded, LEFT, "", "at least"),
    ]


def fitted(numbers: Sequence[float]) -> tuple[float, float]:
    """Return where the line begins and ends that comes closest to all of some numbers (least squares)."""
    if len(numbers) < 2:
        return numbers[0], numbers[0]
    line = linear_regression(range(len(numbers)), numbers)
    return line.intercept, line.intercept + line.slope * (len(numbers) - 1)


def _ends(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Return the first fifth and the last one, or the first and the last."""
    fifth = max(1, len(items) // 5)
    return items[:fifth], items[-fifth:]


def _numbers(periods: Sequence[Period], field: str) -> list[float]:
    return [number(getattr(period.rest, field)) for period in periods]


def number(value: float | None) -> float:
    """Return a number that is none if nothing could be read."""
    return math.nan if value is None else value


def _median(values: Sequence[float]) -> float:
    """Return the median of what could be read, if that is more than half."""
    read = [value for value in values if not math.isnan(value)]
    return median(read) if 2 * len(read) > len(values) else math.nan


def lasting_zombies(periods: Sequence[Period]) -> int:
    """Count the processes that nobody has buried from one look to the next."""
    looks = [look for period in periods for look in (*period.loaded, period.rest)]
    return len(frozenset[int]().union(*(before.zombies & after.zombies for before, after in pairwise(looks))))


def bars(numbers: Sequence[float]) -> str:
    """Draw numbers from 0 on; a line that is level is one that is flat."""
    highest = max(numbers, default=0) or 1
    return "".join(_BARS[round(number / highest * (len(_BARS) - 1))] for number in numbers)


def lines(name: str, periods: Sequence[Period]) -> list[str]:
    """Return drawings of one server, a character for each period but the first."""
    speed = [period.rate for period in periods[1:]]
    yielded = [period.yielded for period in periods[1:]]
    memory = [_peak(period, "tree_memory") for period in periods[1:]]
    processes = [_peak(period, "processes") for period in periods[1:]]
    return [
        f"- {name}, answers a second under load: `{bars(speed)}` {min(speed):,.0f} to {max(speed):,.0f}",
        f"- {name}, answers for a second of CPU time: `{bars(yielded)}` {min(yielded):,.0f} to {max(yielded):,.0f}",
        f"- {name}, most memory under load: `{bars(memory)}` {min(memory):,.0f} to {max(memory):,.0f} MiB",
        f"- {name}, most processes under load: `{bars(processes)}` {min(processes):,.0f} to {max(processes):,.0f}",
    ]


def _peak(period: Period, field: str) -> float:
    return max(getattr(look, field) or 0 for look in period.loaded)


def markdown(found: Sequence[Trend]) -> str:
    """Return the table."""
    head = ["| what | demanded | first fifth | last fifth |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(trend.row for trend in found)])


def counts(right: Counter[str], excused: Counter[str]) -> str:
    """Return how often what was called, and how many of that had an error on account of a fault, as a table."""
    head = [
        "| calls | answered | of these by the error of a fault done to them |",
        "| --- | ---: | ---: |",
    ]
    total = right + excused
    rows = [f"| {kind} | {number:,} | {excused[kind]:,} |" for kind, number in total.most_common()]
    return "\n".join([*head, *rows, f"| all | {total.total():,} | {excused.total():,} |"])
